"""The tasks of a round, each a frozen record of files in and files out (compute node).

sign → weigh → release, or for moments: moments → release (docs/protocol.md sections 3, 5, 6).
Those of an admission round are in :mod:`mpcseg.engine.admission`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path

from mpcseg.ckks import assignment
from mpcseg.ckks.assignment import SUM_LEVEL
from mpcseg.ckks.circuit import Circuit, Encrypted
from mpcseg.ckks.encryption import PRESENCE_SHAPE, feature_shape
from mpcseg.ckks.serialization import CiphertextShape
from mpcseg.ckks.sign import evaluate_sign
from mpcseg.engine.worker import Worker
from mpcseg.reference.sign import sign_for


@dataclass(frozen=True)
class BlockFiles:
    """One block that one party uploaded: d feature ciphertexts and presence."""

    features: tuple[Path, ...]
    presence: Path


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
    """Also Σ w·x_j² (profile round)."""
    outputs: tuple[Path, ...]

    def run(self, worker: Worker) -> None:
        """Write one partial sum for each column."""
        blocks = zip(self.blocks, self.signs, strict=True)
        _write_sums(worker, (self._products(worker, *pair) for pair in blocks), self.outputs)

    def _products(self, worker: Worker, block: Block, signs: tuple[Path, ...]) -> list[Encrypted]:
        circuit = worker.circuit
        loaded = [worker.load_intermediate(path) for path in signs]
        factors = assignment.signs_of_cluster(circuit, self.cluster, self.n_clusters, loaded)
        weight = assignment.assignment_weight(circuit, factors)
        columns = block.load_features(worker, SUM_LEVEL)
        columns.append(block.load_presence(worker, SUM_LEVEL))
        if self.squares:
            higher = block.load_features(worker, SUM_LEVEL + 1)
            columns += assignment.squares(circuit, higher)
        return assignment.weighted_products(circuit, weight, columns)


@dataclass(frozen=True)
class MomentsTask:
    """Σp, Σx_j and Σx_j·x_l over some blocks."""

    blocks: tuple[Block, ...]
    outputs: tuple[Path, ...]

    def run(self, worker: Worker) -> None:
        """Write one partial sum for each moment."""
        sums = (self._moments(worker, block) for block in self.blocks)
        _write_sums(worker, sums, self.outputs)

    def _moments(self, worker: Worker, block: Block) -> list[Encrypted]:
        plain = [block.load_presence(worker, 0), *block.load_features(worker, 0)]
        features = block.load_features(worker, SUM_LEVEL)
        return plain + assignment.moment_products(worker.circuit, features)


@dataclass(frozen=True)
class ReleaseTask:
    """Add up partial sums, relinearise, add noise, mask: the ciphertexts that the key node gets."""

    partials: tuple[tuple[Path, ...], ...]
    """For each group of blocks, one file a column."""
    outputs: tuple[Path, ...]
    labels: tuple[str, ...]
    noise: tuple[int, ...] = field(repr=False)
    """Of each column, drawn when the round was opened; 0 for none."""
    seed: bytes = field(repr=False)

    def run(self, worker: Worker) -> None:
        """Write one masked slot sum for each column."""
        columns = zip(*self.partials, strict=True)
        rows = zip(columns, self.outputs, self.labels, self.noise, strict=True)
        for paths, output, label, noise in rows:
            total = reduce(worker.circuit.add, [worker.load_partial(path) for path in paths])
            finished = worker.circuit.finish(total) if total.size == 3 else total
            # The noise came with the task: one that is run again, as its worker died, writes the
            # same release, not another draw of the same sum.
            worker.save_release(finished, output, self.seed, label, noise)


def _write_sums(worker: Worker, blocks: Iterable[list[Encrypted]], outputs: Sequence[Path]) -> None:
    """Add up the blocks column by column and write each total."""
    totals = reduce(lambda a, b: _add_columns(worker.circuit, a, b), blocks)
    for total, output in zip(totals, outputs, strict=True):
        worker.save_partial(total, output)


def _add_columns(
    circuit: Circuit, a: Sequence[Encrypted], b: Sequence[Encrypted]
) -> list[Encrypted]:
    return [circuit.add(x, y) for x, y in zip(a, b, strict=True)]
