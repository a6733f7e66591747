"""The tasks of a round, each a frozen record of files in and files out (compute node).

sign → weigh → release, or for moments: moments → release (docs/protocol.md sections 3, 5, 6).
Those of an admission round are in :mod:`mpcseg.engine.admission`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path

from mpcseg.ckks import assignment
from mpcseg.ckks.assignment import SUM_LEVEL
from mpcseg.ckks.circuit import Circuit, Encrypted
from mpcseg.ckks.encryption import PRESENCE_SHAPE, column_shape, feature_shape
from mpcseg.ckks.serialization import CiphertextShape
from mpcseg.ckks.sign import evaluate_sign
from mpcseg.engine.worker import Worker
from mpcseg.reference.columns import ColumnLayout
from mpcseg.reference.sign import sign_for


@dataclass(frozen=True)
class BlockFiles:
    """One block that one party uploaded.

    Attributes:
        features: d ciphertexts.
        presence: one.
        columns: vectors of profile columns.
        party: whose it is, as an index in the agreement.
    """

    features: tuple[Path, ...]
    presence: Path
    columns: tuple[Path, ...] = ()
    party: int = 0


@dataclass(frozen=True)
class Block:
    """What rounds work on: one upload, or several with disjoint slot ranges, added up."""

    uploads: tuple[BlockFiles, ...]

    def load_features(self, worker: Worker, level: int) -> list[Encrypted]:
        """The d features at ``level``."""
        shape = feature_shape(worker.parameters)
        columns = zip(*(upload.features for upload in self.uploads), strict=True)
        return [worker.load(paths, shape, level) for paths in columns]

    def load_presence(self, worker: Worker, level: int) -> Encrypted:
        """Presence at ``level``."""
        paths = tuple(upload.presence for upload in self.uploads)
        return worker.load(paths, PRESENCE_SHAPE, level)

    def load_columns(
        self, worker: Worker, columns: ColumnLayout, vectors: slice, level: int
    ) -> list[Encrypted]:
        """Some vectors of the profile columns at ``level``."""
        chosen = zip(*(upload.columns[vectors] for upload in self.uploads), strict=True)
        return [
            worker.load(paths, column_shape(worker.parameters, columns, vector), level)
            for vector, paths in enumerate(chosen, start=vectors.start)
        ]

    def load_presence_of(self, worker: Worker, party: int) -> Encrypted:
        """One party's part of presence, where it fills some of the block."""
        paths = tuple(upload.presence for upload in self.uploads if upload.party == party)
        return worker.load(paths, PRESENCE_SHAPE)

    @property
    def parties(self) -> frozenset[int]:
        """Whose records are in it."""
        return frozenset(upload.party for upload in self.uploads)


@dataclass(frozen=True)
class SignTask:
    """P(t) for one block and one pair of clusters."""

    block: Block
    hyperplane: tuple[Path, ...]
    sign: tuple[int, ...]
    level: int
    output: Path

    def run(self, worker: Worker) -> None:
        """Write the sign ciphertext."""
        features = self.block.load_features(worker, self.level)
        shape = CiphertextShape(self.level, seeded=True)
        hyperplane = [worker.load((path,), shape) for path in self.hyperplane]
        t = assignment.distance_difference(worker.circuit, features, hyperplane)
        sign = evaluate_sign(worker.circuit, t, sign_for(self.sign))
        worker.save_intermediate(sign, self.output)


@dataclass(frozen=True)
class WeighTask:
    """One cluster's weighted sums over some blocks, not yet relinearised."""

    cluster: int
    n_clusters: int
    blocks: tuple[Block, ...]
    signs: tuple[tuple[Path, ...], ...]
    """For each block, the signs of the k - 1 pairs that name the cluster."""
    squares: bool
    """Also Σ w·x_j², and the sums of profile columns (profile round)."""
    columns: ColumnLayout
    outputs: tuple[Path, ...]
    """One for each sum but those of parties that have no records in these blocks."""

    def run(self, worker: Worker) -> None:
        """Write one partial sum for each column."""
        blocks = zip(self.blocks, self.signs, strict=True)
        rows = (self._products(worker, *pair) for pair in blocks)
        totals = reduce(lambda a, b: _add_columns(worker.circuit, a, b), rows)
        for (_, total), output in zip(sorted(totals.items()), self.outputs, strict=True):
            worker.save_partial(total, output)

    def _products(
        self, worker: Worker, block: Block, signs: tuple[Path, ...]
    ) -> dict[int, Encrypted]:
        """Weighted products of one block, by the place of their sums."""
        circuit = worker.circuit
        loaded = [worker.load_intermediate(path) for path in signs]
        factors = assignment.signs_of_cluster(circuit, self.cluster, self.n_clusters, loaded)
        weight = assignment.assignment_weight(circuit, factors)
        columns = block.load_features(worker, SUM_LEVEL)
        columns.append(block.load_presence(worker, SUM_LEVEL))
        owners: list[int] = []
        if self.squares:
            higher = block.load_features(worker, SUM_LEVEL + 1)
            columns += assignment.squares(circuit, higher)
            owners = sorted(block.parties) if self.columns.n_parties else []
            columns += self._profile_columns(worker, block)
            columns += [block.load_presence_of(worker, party) for party in owners]
        products = assignment.weighted_products(circuit, weight, columns)
        first_party = len(columns) - len(owners)
        places = [*range(first_party), *(first_party + party for party in owners)]
        return dict(zip(places, products, strict=True))

    def _profile_columns(self, worker: Worker, block: Block) -> list[Encrypted]:
        """Of numeric columns z and z², of labels z; as `mpcseg.reference.columns.column_sums`."""
        layout = self.columns
        numeric = slice(0, layout.n_numeric)
        labels = slice(layout.n_numeric, layout.n_vectors)
        higher = block.load_columns(worker, layout, numeric, SUM_LEVEL + 1)
        return [
            *block.load_columns(worker, layout, numeric, SUM_LEVEL),
            *assignment.squares(worker.circuit, higher),
            *block.load_columns(worker, layout, labels, SUM_LEVEL),
        ]


@dataclass(frozen=True)
class MomentsTask:
    """Σp, Σx_j and Σx_j·x_l over some blocks."""

    blocks: tuple[Block, ...]
    outputs: tuple[Path, ...]

    def run(self, worker: Worker) -> None:
        """Write one partial sum for each moment."""
        sums = (dict(enumerate(self._moments(worker, block))) for block in self.blocks)
        totals = reduce(lambda a, b: _add_columns(worker.circuit, a, b), sums)
        for total, output in zip(totals.values(), self.outputs, strict=True):
            worker.save_partial(total, output)

    def _moments(self, worker: Worker, block: Block) -> list[Encrypted]:
        plain = [block.load_presence(worker, 0), *block.load_features(worker, 0)]
        features = block.load_features(worker, SUM_LEVEL)
        return plain + assignment.moment_products(worker.circuit, features)


@dataclass(frozen=True)
class ReleaseTask:
    """Add up partial sums, relinearise, add noise, mask: the ciphertexts that the key node gets."""

    partials: tuple[tuple[Path, ...], ...]
    """For each column, its files: one for each group of blocks that has any of it."""
    outputs: tuple[Path, ...]
    labels: tuple[str, ...]
    noise: tuple[int, ...] = field(repr=False)
    """Of each column, drawn when the round was opened; 0 for none."""
    seed: bytes = field(repr=False)

    def run(self, worker: Worker) -> None:
        """Write one masked slot sum for each column."""
        rows = zip(self.partials, self.outputs, self.labels, self.noise, strict=True)
        for paths, output, label, noise in rows:
            total = reduce(worker.circuit.add, [worker.load_partial(path) for path in paths])
            finished = worker.circuit.finish(total) if total.size == 3 else total
            # The noise came with the task: one that is run again, as its worker died, writes the
            # same release, not another draw of the same sum.
            worker.save_release(finished, output, self.seed, label, noise)


def _add_columns(
    circuit: Circuit, a: Mapping[int, Encrypted], b: Mapping[int, Encrypted]
) -> dict[int, Encrypted]:
    """Add up what has the same place; where one has nothing, the other's is the sum."""
    both = {place: circuit.add(a[place], b[place]) for place in a.keys() & b.keys()}
    return {**a, **b, **both}
