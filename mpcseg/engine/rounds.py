"""Cuts a round into tasks (docs/protocol.md sections 3 and 5). Compute node; no IO."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Collection, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from mpcseg.ckks.assignment import pairs_of_cluster, start_level
from mpcseg.ckks.slot_sum import new_seed
from mpcseg.engine.admission import PartyUploads, UploadTask, upload_tasks
from mpcseg.engine.graph import Node, TaskGraph
from mpcseg.engine.tasks import Block, MomentsTask, ReleaseTask, SignTask, WeighTask
from mpcseg.reference.columns import NO_COLUMNS, ColumnLayout
from mpcseg.reference.rounds import (
    ADMISSION_RULES,
    SQUARE_KINDS,
    RoundKind,
    block_groups,
    sums_shape,
)

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
        columns: profile columns.
        noise: integer noise of each sum, in their order; empty for none.
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
    columns: ColumnLayout = NO_COLUMNS
    noise: tuple[int, ...] = field(default=(), repr=False)
    seed: bytes = field(default_factory=new_seed, repr=False)

    @property
    def n_features(self) -> int:
        """Features of a block (d)."""
        block = self.parties[0] if self.kind == "admission" else self.blocks[0]
        return len(block.uploads[0].features)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the round's sums."""
        n_parties = len(self.parties)
        return sums_shape(self.kind, self.n_clusters, self.n_features, n_parties, self.columns)

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
            of_one = self.n_features + self.columns.n_numeric + self.bounds_norm + 1
            return n_uploads * of_one + math.prod(self.shape)
        groups = len(self.groups())
        if self.kind == "moments":
            return groups + 1
        return len(self.hyperplanes) * len(self.blocks) + self.n_clusters * (groups + 1)

    def groups(self) -> list[range]:
        """Indices of the blocks whose sums are added up in one task."""
        return block_groups(len(self.blocks))


@dataclass(frozen=True)
class Unit:
    """What a replay recomputes by itself: all that is done to some uploads, up to partial sums.

    Attributes:
        name: within the round: of an upload of a party (admission) or of a group of blocks.
        files: names of the partial sums, in the order of the manifest.
    """

    name: str
    files: tuple[str, ...]


class RoundTasks:
    """Adds a round's tasks to a graph.

    Args:
        work: the round.
        scratch: folder of signs and releases, deleted after the round.
        evidence: folder of the partial sums, which are kept.
        chosen: the units to compute, by name; None for all.
    """

    def __init__(
        self,
        work: RoundWork,
        scratch: Path,
        evidence: Path,
        chosen: Collection[str] | None = None,
    ) -> None:
        self._work = work
        self._scratch = scratch
        self._evidence = evidence
        self._chosen = chosen
        n_sums = math.prod(work.shape)
        self._noise = work.noise or (0,) * n_sums
        if len(self._noise) != n_sums:
            raise ValueError(f"{len(self._noise)} noises for {n_sums} sums")
        self.releases: list[Path] = []
        """Files of the masked slot sums, in the order of the round's sums."""

    @cached_property
    def units(self) -> list[Unit]:
        """All units of the round, chosen or not."""
        if self._work.kind == "admission":
            return [
                Unit(name, tuple(path.name for task in tasks for _, path in task.terms))
                for name, tasks in self._uploads()
            ]
        return [
            Unit(
                _group_name(group),
                tuple(path.name for row in self._partials(group) for path in row.values()),
            )
            for group in self._work.groups()
        ]

    @property
    def n_chosen_blocks(self) -> int:
        """Blocks of the chosen units."""
        return sum(map(len, self._chosen_groups()))

    def add_sums(self, graph: TaskGraph) -> None:
        """Add everything that comes after the signs; for admission and moments, that is all."""
        self.add_partials(graph)
        self.add_releases(graph)

    def add_signs(self, graph: TaskGraph, pair: int, hyperplane: Sequence[Path]) -> None:
        """Add the sign tasks of a pair whose hyperplane has arrived."""
        work = self._work
        level = start_level(work.n_clusters, work.sign)
        for group in self._chosen_groups():
            for index in group:
                output = self._sign_file(pair, index)
                block = work.blocks[index]
                task = SignTask(block, tuple(hyperplane), work.sign, level, output)
                graph.add(("sign", pair, index), Node(task, _FIRST_STAGE, affinity=pair))

    def add_partials(self, graph: TaskGraph) -> None:
        """Add the tasks that write partial sums."""
        if self._work.kind == "admission":
            for name, tasks in self._uploads():
                if self._is_chosen(name):
                    for task in tasks:
                        node = Node(task, _SUM_STAGE, affinity=name)
                        graph.add(_key(task.terms[0][1]), node)
            return
        for group in self._chosen_groups():
            blocks = tuple(self._work.blocks[i] for i in group)
            for cluster, row in enumerate(self._partials(group)):
                outputs = tuple(row.values())
                if self._work.kind == "moments":
                    node = Node(MomentsTask(blocks, outputs), _SUM_STAGE)
                    graph.add(_key(outputs[0]), node)
                else:
                    self._add_weighing(graph, cluster, group, outputs)

    def add_releases(self, graph: TaskGraph, *, partials_are_there: bool = False) -> None:
        """Add the tasks that add up partial sums.

        Args:
            graph: where to.
            partials_are_there: no task of the graph writes them.
        """
        for name, partials, writers in self._sums():
            keys = [] if partials_are_there else [_key(path) for path in writers]
            self._add_release(graph, name, partials, keys)

    def _sums(self) -> Iterator[tuple[str, tuple[tuple[Path, ...], ...], list[Path]]]:
        """Each sum or row of sums: its name, its partial sums, and files that name their tasks."""
        work = self._work
        if work.kind == "admission":
            # Nothing is added up over parties: a cheat must not vanish among the others' records.
            for index in range(len(work.parties)):
                tasks = [task for name, some in self._uploads(index) for task in some]
                for rule in ADMISSION_RULES:
                    terms = [
                        (path, task.terms[0][1])
                        for task in tasks
                        for of, path in task.terms
                        if of == rule
                    ]
                    paths = tuple(path for path, _ in terms)
                    yield f"{index}-{rule}", (paths,), [writer for _, writer in terms]
            return
        rows = zip(*(self._partials(group) for group in work.groups()), strict=True)
        for cluster, row in enumerate(rows):
            name = "moments" if work.kind == "moments" else f"cluster-{cluster}"
            partials = tuple(
                tuple(files[column] for files in row if column in files)
                for column in range(work.n_columns)
            )
            yield name, partials, [files[0] for files in row]

    def _uploads(self, party: int | None = None) -> Iterator[tuple[str, list[UploadTask]]]:
        """Every upload's unit and tasks; the tasks of an upload share what it loads."""
        work = self._work
        radius = work.radius if work.bounds_norm else None
        for index, uploads in enumerate(work.parties):
            if party not in (None, index):
                continue
            for number, upload in enumerate(uploads.uploads):
                name = f"party-{index}-{number}"
                label, output = f"{work.index}/{name}", self._evidence / name
                tasks = upload_tasks(
                    upload, uploads.place, radius, label, work.columns, work.seed, output
                )
                yield name, list(tasks)

    def _partials(self, group: range) -> list[dict[int, Path]]:
        """Files of a group's partial sums by column: a row for each cluster, or one of moments.

        A party that has no records in these blocks has no sum there.
        """
        work = self._work
        names = (
            [f"moments-{group.start}"]
            if work.kind == "moments"
            else [f"sum-{cluster}-{group.start}" for cluster in range(work.n_clusters)]
        )
        files = [_files(self._evidence, name, work.n_columns) for name in names]
        n_parties = work.columns.n_parties if work.kind == "profile" else 0
        first_party = work.n_columns - n_parties
        there = {party for index in group for party in work.blocks[index].parties}
        columns = [*range(first_party), *(first_party + p for p in range(n_parties) if p in there)]
        return [{column: row[column] for column in columns} for row in files]

    def _add_weighing(
        self, graph: TaskGraph, cluster: int, group: range, outputs: tuple[Path, ...]
    ) -> None:
        work = self._work
        pairs = pairs_of_cluster(cluster, work.n_clusters)
        task = WeighTask(
            cluster=cluster,
            n_clusters=work.n_clusters,
            blocks=tuple(work.blocks[i] for i in group),
            signs=tuple(tuple(self._sign_file(p, i) for p in pairs) for i in group),
            squares=work.kind in SQUARE_KINDS,
            columns=work.columns if work.kind == "profile" else NO_COLUMNS,
            outputs=outputs,
        )
        signs = [("sign", pair, i) for pair in pairs for i in group]
        graph.add(_key(outputs[0]), Node(task, _SUM_STAGE), signs)

    def _add_release(
        self,
        graph: TaskGraph,
        name: str,
        partials: tuple[tuple[Path, ...], ...],
        waits_for: Sequence[Hashable],
    ) -> None:
        outputs = _files(self._scratch, f"release-{name}", len(partials))
        labels = tuple(f"{self._work.index}/{path.name}" for path in outputs)
        first = len(self.releases)
        noise = self._noise[first : first + len(outputs)]
        task = ReleaseTask(partials, outputs, labels, noise, self._work.seed)
        graph.add(("release", name), Node(task, _RELEASE_STAGE), waits_for)
        self.releases.extend(outputs)

    def _is_chosen(self, unit: str) -> bool:
        return self._chosen is None or unit in self._chosen

    def _chosen_groups(self) -> list[range]:
        return [group for group in self._work.groups() if self._is_chosen(_group_name(group))]

    def _sign_file(self, pair: int, block: int) -> Path:
        return self._scratch / f"sign-{pair}-{block}"


def _group_name(group: range) -> str:
    return f"blocks-{group.start}-{group.stop - 1}"


def _key(output: Path) -> Hashable:
    """Names a task of partial sums by the first file that it writes."""
    return ("partial", output.name)


def _files(folder: Path, name: str, count: int) -> tuple[Path, ...]:
    return tuple(folder / f"{name}-{column}" for column in range(count))
