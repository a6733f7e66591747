"""Cuts a round into tasks (docs/protocol.md sections 3 and 5). Compute node; no IO."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mpcseg.ckks.assignment import pairs_of_cluster, start_level
from mpcseg.ckks.slot_sum import new_seed
from mpcseg.engine.admission import PartyUploads, upload_tasks
from mpcseg.engine.graph import Node, TaskGraph
from mpcseg.engine.tasks import Block, MomentsTask, ReleaseTask, SignTask, WeighTask
from mpcseg.reference.rounds import ADMISSION_RULES, RoundKind, sums_shape

BLOCKS_PER_SUM = 4
"""Blocks whose weighted sums one task adds up."""

_FIRST_STAGE, _SUM_STAGE, _RELEASE_STAGE = range(3)


@dataclass(frozen=True)
class RoundWork:
    """A round as the compute node runs it.

    Attributes:
        kind: of the round.
        index: of the round within the study; names its files and its releases.
        sign: stage degrees; empty for admission and moments.
        n_clusters: k.
        blocks: of all parties, those that several share added up; admission has no use for them.
        hyperplanes: for each pair of clusters, resolves to its d + 1 files when they have
            arrived; evaluation begins with the first. Empty for admission and moments.
        parties: for admission, each party's uploads.
        radius: for admission, the agreed L2 radius of a record; None for no other bound than
            that of the coordinates.
        stds: standard deviations of the noise, in units of the sums and in their order (of any
            shape that has them row-major); None for no noise.
        seed: secret, of the round's masks, re-randomisation and random functionals; never used
            for another round.
    """

    kind: RoundKind
    index: int
    sign: tuple[int, ...]
    n_clusters: int
    blocks: Sequence[Block]
    hyperplanes: Sequence[Awaitable[Sequence[Path]]] = field(default=(), repr=False)
    parties: Sequence[PartyUploads] = ()
    radius: float | None = None
    stds: NDArray[np.float64] | None = None
    seed: bytes = field(default_factory=new_seed, repr=False)

    @property
    def n_features(self) -> int:
        """D."""
        block = self.parties[0] if self.kind == "admission" else self.blocks[0]
        return len(block.uploads[0].features)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the round's sums."""
        return sums_shape(self.kind, self.n_clusters, self.n_features, len(self.parties))

    @property
    def n_columns(self) -> int:
        """Slot sums for each cluster or party, or in all for moments."""
        return self.shape[-1]

    @property
    def bounds_norm(self) -> bool:
        """Whether the radius says more than the coordinates' bounds do."""
        return self.radius is not None and self.radius < math.sqrt(self.n_features) * (1.0 - 1e-9)

    @property
    def n_tasks(self) -> int:
        """Tasks of the whole round."""
        if self.kind == "admission":
            n_uploads = sum(len(party.uploads) for party in self.parties)
            of_one = self.n_features + self.bounds_norm + 1
            return n_uploads * of_one + math.prod(self.shape)
        groups = len(self.groups())
        if self.kind == "moments":
            return groups + 1
        return len(self.hyperplanes) * len(self.blocks) + self.n_clusters * (groups + 1)

    def groups(self) -> list[range]:
        """Indices of the blocks that are added up in one task."""
        n = len(self.blocks)
        return [range(i, min(i + BLOCKS_PER_SUM, n)) for i in range(0, n, BLOCKS_PER_SUM)]


class RoundTasks:
    """Adds a round's tasks to a graph.

    Args:
        work: the round.
        scratch: folder of the intermediates, deleted after the round.
    """

    def __init__(self, work: RoundWork, scratch: Path) -> None:
        self._work = work
        self._scratch = scratch
        stds = np.zeros(work.shape) if work.stds is None else np.asarray(work.stds, np.float64)
        self._stds: list[float] = stds.ravel().tolist()
        if len(self._stds) != math.prod(work.shape):
            raise ValueError(f"{len(self._stds)} noises for {math.prod(work.shape)} sums")
        self.releases: list[Path] = []
        """Files of the masked slot sums, in the order of the round's sums."""

    def add_sums(self, graph: TaskGraph) -> None:
        """Add everything that comes after the signs; for admission and moments, that is all."""
        if self._work.kind == "moments":
            self._add_moments(graph)
        elif self._work.kind == "admission":
            for index, party in enumerate(self._work.parties):
                self._add_party(graph, index, party)
        else:
            for cluster in range(self._work.n_clusters):
                self._add_cluster(graph, cluster)

    def add_signs(self, graph: TaskGraph, pair: int, hyperplane: Sequence[Path]) -> None:
        """Add the sign tasks of a pair whose hyperplane has arrived."""
        work = self._work
        level = start_level(work.n_clusters, work.sign)
        for index, block in enumerate(work.blocks):
            output = self._sign_file(pair, index)
            task = SignTask(block, tuple(hyperplane), work.sign, level, output)
            graph.add(("sign", pair, index), Node(task, _FIRST_STAGE, affinity=pair))

    def _add_moments(self, graph: TaskGraph) -> None:
        work = self._work
        partials, keys = [], []
        for group in work.groups():
            outputs = self._files(f"moments-{group.start}", work.n_columns)
            blocks = tuple(work.blocks[i] for i in group)
            key = ("moments", group.start)
            graph.add(key, Node(MomentsTask(blocks, outputs), _SUM_STAGE))
            partials.append(outputs)
            keys.append(key)
        self._add_release(graph, "moments", tuple(partials), keys)

    def _add_party(self, graph: TaskGraph, index: int, party: PartyUploads) -> None:
        """Add a party's uploads and its three releases; the tasks of an upload share what it loads.

        Nothing is added up over parties: a cheat must not vanish among the others' records.
        """
        work = self._work
        partials: dict[str, list[tuple[Path]]] = {rule: [] for rule in ADMISSION_RULES}
        keys: dict[str, list[Hashable]] = {rule: [] for rule in ADMISSION_RULES}
        radius = work.radius if work.bounds_norm else None
        for number, upload in enumerate(party.uploads):
            name = f"party-{index}-{number}"
            label, output = f"{work.index}/{name}", self._scratch / name
            tasks = upload_tasks(upload, party.place, radius, label, work.seed, output)
            for key, task in ((("upload", name, i), task) for i, task in enumerate(tasks)):
                graph.add(key, Node(task, _SUM_STAGE, affinity=name))
                for rule, path in task.terms:
                    partials[rule].append((path,))
                    keys[rule].append(key)
        for rule in ADMISSION_RULES:
            self._add_release(graph, f"{index}-{rule}", tuple(partials[rule]), keys[rule])

    def _add_cluster(self, graph: TaskGraph, cluster: int) -> None:
        work = self._work
        pairs = pairs_of_cluster(cluster, work.n_clusters)
        partials, keys = [], []
        for group in work.groups():
            outputs = self._files(f"sum-{cluster}-{group.start}", work.n_columns)
            task = WeighTask(
                cluster=cluster,
                n_clusters=work.n_clusters,
                blocks=tuple(work.blocks[i] for i in group),
                signs=tuple(tuple(self._sign_file(p, i) for p in pairs) for i in group),
                squares=work.kind == "profile",
                outputs=outputs,
            )
            key = ("weigh", cluster, group.start)
            signs = [("sign", pair, i) for pair in pairs for i in group]
            graph.add(key, Node(task, _SUM_STAGE), signs)
            partials.append(outputs)
            keys.append(key)
        self._add_release(graph, f"cluster-{cluster}", tuple(partials), keys)

    def _add_release(
        self,
        graph: TaskGraph,
        name: str,
        partials: tuple[tuple[Path, ...], ...],
        waits_for: Sequence[Hashable],
    ) -> None:
        outputs = self._files(f"release-{name}", len(partials[0]))
        labels = tuple(f"{self._work.index}/{path.name}" for path in outputs)
        first = len(self.releases)
        stds = tuple(self._stds[first : first + len(outputs)])
        task = ReleaseTask(partials, outputs, labels, stds, self._work.seed)
        graph.add(("release", name), Node(task, _RELEASE_STAGE), waits_for)
        self.releases.extend(outputs)

    def _sign_file(self, pair: int, block: int) -> Path:
        return self._scratch / f"sign-{pair}-{block}"

    def _files(self, name: str, count: int) -> tuple[Path, ...]:
        return tuple(self._scratch / f"{name}-{column}" for column in range(count))
