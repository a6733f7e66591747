"""Which scale each sum of a round is released at, before there is a ciphertext.

There is no formula for it: a round's own tasks are run, one after the other, on a worker that has
neither keys nor files. Numbers in the clear stand for its ciphertexts, and the same circuits track
their scales. The key node asks, for it divides by the scale of what it decrypts and weighs its own
noise by it (docs/protocol.md sections 6 and 7): a scale that a release merely states will not do.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import numpy as np

from mpcseg.ckks.assignment import hyperplane_scales, start_level
from mpcseg.ckks.circuit import Circuit, Encrypted
from mpcseg.ckks.parameters import TARGET_SCALE, ParameterSet
from mpcseg.ckks.serialization import CiphertextShape
from mpcseg.ckks.simulation import ClearBackend
from mpcseg.ckks.slot_sum import SEED_BYTES
from mpcseg.engine.admission import PartyUploads
from mpcseg.engine.graph import TaskGraph
from mpcseg.engine.rounds import RoundTasks, RoundWork
from mpcseg.engine.tasks import Block, BlockFiles
from mpcseg.engine.worker import Worker
from mpcseg.reference.columns import NO_COLUMNS, ColumnLayout
from mpcseg.reference.hyperplanes import cluster_pairs
from mpcseg.reference.rounds import RoundKind


def release_scales(  # noqa: PLR0913  the terms of an agreement
    parameters: ParameterSet,
    kind: RoundKind,
    sign: tuple[int, ...],
    *,
    n_clusters: int,
    n_features: int,
    n_parties: int,
    radius: float | None = None,
    columns: ColumnLayout = NO_COLUMNS,
) -> list[float]:
    """Scales of a round's releases, in the order of its sums. Any node.

    One upload stands for all: circuits add blocks, and parts of a shared block, only where they
    have the same scale.

    Args:
        parameters: of the study.
        kind: of the round.
        sign: stage degrees; empty for admission and moments.
        n_clusters: k.
        n_features: d.
        n_parties: of the study.
        radius: agreed L2 radius of a record, if there is one.
        columns: profile columns.
    """
    # One for each party whose own sum is released, in a block that they share.
    uploads = [_upload(n_features, columns, party) for party in range(columns.n_parties or 1)]
    work = RoundWork(
        kind,
        0,
        sign,
        n_clusters,
        [Block(tuple(uploads))],
        parties=[PartyUploads((uploads[0],))],
        radius=radius,
        columns=columns,
        seed=bytes(SEED_BYTES),
    )
    paths = [p for upload in uploads for p in (*upload.features, upload.presence, *upload.columns)]
    arrived = dict.fromkeys(paths, TARGET_SCALE)
    tasks = RoundTasks(work, Path("scratch"), Path("evidence"))
    graph = TaskGraph()
    tasks.add_sums(graph)
    if sign:
        u_scale, v_scale = hyperplane_scales(parameters, start_level(n_clusters, sign))
        plane = {Path(f"u-{j}"): u_scale for j in range(n_features)} | {Path("v"): v_scale}
        arrived |= plane
        for pair in range(len(cluster_pairs(n_clusters))):
            tasks.add_signs(graph, pair, list(plane))
    worker = _DryWorker(parameters, arrived)
    while (taken := graph.take()) is not None:
        key, node = taken
        node.task.run(worker)
        graph.finish(key)
    scales = [worker.released[path] for path in tasks.releases]
    # Each party's uploads go through the same tasks by themselves, which do take their time.
    return scales * n_parties if kind == "admission" else scales


def _upload(n_features: int, columns: ColumnLayout, party: int) -> BlockFiles:
    return BlockFiles(
        tuple(Path(f"feature-{party}-{j}") for j in range(n_features)),
        Path(f"presence-{party}"),
        tuple(Path(f"column-{party}-{j}") for j in range(columns.n_vectors)),
        party,
    )


class _DryWorker(Worker):
    """Runs tasks on one slot in the clear; what a task would write is kept here, by its path.

    Args:
        parameters: of the study.
        arrived: scales at which uploads and hyperplanes arrive; nodes refuse others.
    """

    def __init__(self, parameters: ParameterSet, arrived: dict[Path, float]) -> None:
        # Not the worker's own: that one loads keys.
        self.parameters = parameters
        self.circuit = Circuit(parameters, ClearBackend(parameters))
        self.released: dict[Path, float] = {}
        self._arrived = arrived
        self._written: dict[Path, Encrypted] = {}
        self._cache = OrderedDict()

    def _load_one(self, path: Path, shape: CiphertextShape, level: int) -> Encrypted:
        fresh = Encrypted(np.zeros(1), shape.level, self._arrived[path])
        return self.circuit.lower(fresh, level)

    def load_intermediate(self, path: Path) -> Encrypted:
        return self._written[path]

    def save_intermediate(self, encrypted: Encrypted, path: Path) -> None:
        self._written[path] = encrypted

    def load_partial(self, path: Path) -> Encrypted:
        return self._written[path]

    def save_partial(self, encrypted: Encrypted, path: Path) -> None:
        self._written[path] = encrypted

    def save_release(
        self,
        encrypted: Encrypted,
        path: Path,
        seed: bytes,  # noqa: ARG002
        label: str,  # noqa: ARG002
        noise: int,  # noqa: ARG002
    ) -> None:
        self.released[path] = encrypted.scale
