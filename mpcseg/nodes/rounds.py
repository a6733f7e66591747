"""Runs the rounds that the key node asks for on the engine. Compute node.

A round's evaluation begins as soon as the first pair's hyperplane is complete.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from mpcseg.durable import is_of_the_disk, storage_error
from mpcseg.engine import (
    Engine,
    RoundEvidence,
    RoundSecrets,
    draw_noise,
    release_scales,
    secrets_of_round,
)
from mpcseg.errors import MpcsegError
from mpcseg.nodes.blob_store import BlobStore
from mpcseg.nodes.planning import StudyPlan
from mpcseg.nodes.progress import Progress
from mpcseg.nodes.round_work import StudyUploads, round_work, study_uploads
from mpcseg.nodes.study_rules import RoundOrder
from mpcseg.nodes.study_state import StudyState
from mpcseg.wire.names import BlobKind, BlobName

_START_SECONDS = 15.0


class RoundRunner:
    """One round after the other, each as a task of the event loop.

    Args:
        state: of the study; told how a round goes and what it releases.
        store: where the blobs are.
        engine: evaluates; started by ``start``.
        plan: of the study; has the noise of every round's sums.
        spend: enters a round into the privacy ledger, on disk; called in a thread, before
            anything of the round is sent.
        evaluated: puts what there is to show for a round on record; called in a thread, before
            anything of the round is sent.
        progress: the compute node's own.
        changed: called after the state has changed.

    Attributes:
        seconds: of evaluation, by round.
    """

    def __init__(  # noqa: PLR0913  a runner is made of all of these
        self,
        state: StudyState,
        store: BlobStore,
        engine: Engine,
        plan: StudyPlan,
        *,
        spend: Callable[[RoundOrder], None],
        evaluated: Callable[[RoundOrder, RoundEvidence], None],
        progress: Progress,
        changed: Callable[[], None],
    ) -> None:
        self._state = state
        self._store = store
        self._engine = engine
        self._plan = plan
        self._spend = spend
        self._evaluated = evaluated
        self._progress = progress
        self._changed = changed
        self._start: asyncio.Task[None] | None = None
        self._round: asyncio.Task[None] | None = None
        self._order: RoundOrder | None = None
        self._pairs: list[asyncio.Future[Sequence[Path]]] = []
        self._entries: list[dict[int, Path]] = []
        self._restarts = 0
        self.seconds: list[float] = []

    @property
    def sign(self) -> tuple[int, ...]:
        """Degrees of the latest round's sign polynomial; empty before the first."""
        return self._order.sign if self._order else ()

    @property
    def n_clusters(self) -> int:
        """Clusters of the latest round; before the first, the most that there can be."""
        rules = self._state.rules
        return rules.clusters_of(self._order) if self._order else rules.n_clusters

    def start(self) -> None:
        """Start the engine's workers, as the keys have come; rounds wait for them."""
        key = self._state.rules.key
        public_key = self._store.path(key, BlobName(BlobKind.PUBLIC_KEY))
        relinearisation = self._store.path(key, BlobName(BlobKind.RELINEARISATION_KEYS))
        self._start = asyncio.create_task(
            self._guarded(self._engine.start(public_key, relinearisation))
        )

    def open(self, order: RoundOrder) -> None:
        """Begin a round that the state has admitted."""
        n_pairs = self._state.rules.n_pairs(order)
        loop = asyncio.get_running_loop()
        self._order = order
        self._pairs = [loop.create_future() for _ in range(n_pairs)]
        self._entries = [{} for _ in range(n_pairs)]
        self._round = asyncio.create_task(self._guarded(self._run(order)))

    def resume(self) -> None:
        """Go on where the state is, which was rebuilt: with the workers, and with an open round."""
        state = self._state
        if state.attestation is None or not state.is_running:
            return
        self.start()
        order = state.rounds.under_way
        if order is None:
            self._order = state.rounds.orders[-1] if state.rounds.orders else None
            return
        self.open(order)
        for header in state.blobs_of(state.rules.key):
            if header.name.kind is BlobKind.HYPERPLANE:
                self.arrived(header.name, self._store.path(state.rules.key, header.name))

    def arrived(self, name: BlobName, path: Path) -> None:
        """Note an accepted entry of a hyperplane; the last one of a pair lets its work begin."""
        entries = self._entries[name.item]
        entries[name.part] = path
        if len(entries) == self._state.rules.n_features + 1:
            self._pairs[name.item].set_result([entries[part] for part in sorted(entries)])

    async def close(self) -> None:
        """Stop whatever runs, and the workers."""
        if self._start is not None:
            # A process that is being started cannot be ended before it has begun.
            await asyncio.wait([self._start], timeout=_START_SECONDS)
        tasks = [task for task in (self._start, self._round) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for pair in self._pairs:
            pair.cancel()
        await asyncio.to_thread(self._engine.close)

    @functools.cached_property
    def _uploads(self) -> StudyUploads:
        """What the parties uploaded.

        First asked for by the first round, when all are committed and none can change.
        """
        rules = self._state.rules
        places = dict(zip(rules.parties, rules.slot_ranges, strict=True))
        n_blocks = self._state.n_blocks
        return study_uploads(self._store, places, n_blocks, rules.n_features, rules.columns)

    def _secrets(self, order: RoundOrder) -> RoundSecrets:
        """The round's seed and noise, drawn when it is opened for the first time."""
        rules, noise = self._state.rules, self._plan.noise
        parameters = self._plan.circuit.parameters

        def fresh() -> tuple[int, ...]:
            stds: list[float] = (
                noise.stds(order.kind, order.sign, order.n_clusters).ravel().tolist()
            )
            scales = release_scales(
                parameters,
                order.kind,
                order.sign,
                n_clusters=rules.clusters_of(order),
                n_features=rules.n_features,
                n_parties=len(rules.parties),
                radius=noise.radius,
                columns=rules.columns,
            )
            return draw_noise(parameters, stds, scales)

        return secrets_of_round(self._store.evidence_folder(order.index), fresh)

    async def _run(self, order: RoundOrder) -> None:
        secrets = await asyncio.to_thread(self._secrets, order)
        work = round_work(
            order,
            self._state.rules.clusters_of(order),
            self._uploads,
            self._plan.noise.radius,
            secrets,
            self._pairs,
        )
        if self._start is not None:
            await self._start
        began = time.monotonic()
        task = f"round {work.index}"
        started = False
        reported = 0

        def on_progress(done: int, total: int) -> None:
            nonlocal started, reported
            if not started:
                started = True
                self._progress.start(task, total, "tasks")
            self._progress.advance(task, done - reported)
            reported = done
            self._tell_restarts()
            self._state.round_progress(work.index, done, total)
            self._changed()

        evidence = self._store.evidence_folder(work.index)
        done = await self._engine.run_round(work, evidence, on_progress)
        headers = list(done.evidence.releases)
        await asyncio.to_thread(self._spend, order)
        await asyncio.to_thread(self._store.write_releases, headers, done.blobs)
        await asyncio.to_thread(self._evaluated, order, done.evidence)
        self._progress.finish(task)
        self.seconds.append(time.monotonic() - began)
        self._state.release(work.index, headers)
        self._progress.event(
            "round",
            index=work.index,
            round_kind=work.kind,
            releases=len(headers),
            seconds=round(self.seconds[-1], 3),
        )
        self._changed()

    def _tell_restarts(self) -> None:
        restarts = self._engine.worker_restarts
        if restarts > self._restarts:
            self._progress.event("worker_restarted", restarts=restarts - self._restarts)
            self._restarts = restarts

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        """Run to the end, or end the study for everybody with what went wrong.

        What is wrong with this node alone ends this process, and not the study.
        """
        try:
            await work
        except Exception as error:
            self._fail(error)
        self._changed()

    def _fail(self, error: Exception) -> None:
        if not isinstance(error, MpcsegError):
            # Whatever it is: nobody may wait for ever.
            error = failure(error, self._store.root, self._progress)
        if not error.ends_study:
            self._state.suspend(error)
            return
        try:
            self._state.abort(error)
        except MpcsegError as unwritten:
            self._state.suspend(unwritten)


def failure(error: Exception, storage: Path, progress: Progress) -> MpcsegError:
    """What an error that is no ``MpcsegError`` means: a failing disk, or a defect."""
    if isinstance(error, OSError) and is_of_the_disk(error):
        return storage_error(error, str(error.filename or storage))
    return unexpected(error, progress)


def unexpected(error: Exception, progress: Progress) -> MpcsegError:
    """Report an error that is no ``MpcsegError`` on this node, and return what others are told."""
    where = error.__traceback__
    while where is not None and where.tb_next is not None:
        where = where.tb_next
    place = f"{where.tb_frame.f_code.co_filename}:{where.tb_lineno}" if where else "unknown place"
    progress.message(f"internal error: {type(error).__name__} at {place}")
    return MpcsegError("the compute node failed inside; its operator sees where")
