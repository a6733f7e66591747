"""Runs rounds on the worker processes of a compute node."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path

from mpcseg.ckks.parameters import ParameterSet
from mpcseg.engine.evidence import RoundResult, write_evidence
from mpcseg.engine.graph import TaskGraph
from mpcseg.engine.pool import WorkerProcess
from mpcseg.engine.round_secrets import NOISE_FILE, SEED_FILE
from mpcseg.engine.rounds import RoundTasks, RoundWork
from mpcseg.errors import ProtocolError

Progress = Callable[[int, int], None]
"""Called with finished and total tasks, from the event loop."""


class Engine:
    """Evaluates rounds on ciphertexts. Compute node; needs no secret key.

    Args:
        parameters: of the study.
        storage: folder for signs and releases; ciphertexts, and deleted after each round.
        workers: processes; one for each core is best.
    """

    def __init__(self, parameters: ParameterSet, storage: Path, workers: int) -> None:
        self._parameters = parameters
        self._storage = storage
        self._n_workers = workers
        self._workers: list[WorkerProcess] = []
        self._restarts = 0  # of workers that are closed
        self._peaks: dict[int, float] = {}

    async def start(self, public_key: Path, relinearisation_keys: Path) -> None:
        """Start the worker processes and have them load the keys.

        Raises:
            MalformedBlobError: the files are not keys of this parameter set.
            WorkerError: the processes do not start.
        """
        self._workers = [
            WorkerProcess(self._parameters, public_key, relinearisation_keys)
            for _ in range(self._n_workers)
        ]
        await asyncio.gather(*(worker.run() for worker in self._workers))

    @property
    def worker_pids(self) -> list[int]:
        """Of the processes that run now."""
        return [worker.pid for worker in self._workers if worker.pid is not None]

    @property
    def worker_restarts(self) -> int:
        """How often a worker died and was replaced."""
        return self._restarts + sum(worker.restarts for worker in self._workers)

    @property
    def peak_rss_mb(self) -> float:
        """Sum of the worker processes' largest resident memory so far."""
        return sum(sorted(self._peaks.values())[-self._n_workers :])

    async def run_round(
        self, work: RoundWork, evidence: Path, on_progress: Progress
    ) -> RoundResult:
        """Evaluate a round.

        Args:
            work: the round; a pair's evaluation starts when its hyperplane has arrived.
            evidence: folder of the round's seed and noise, for its partial sums and manifest; what
                an earlier process left of those is removed.
            on_progress: called after each task.

        Returns:
            Masked slot sums and what there is to show for them.

        Raises:
            MalformedBlobError: an uploaded ciphertext is not what it must be.
            WorkerError: a worker dies again and again.
        """
        async with self._scratch(work) as scratch:
            await asyncio.to_thread(_forget_partials, evidence)
            tasks = RoundTasks(work, scratch, evidence)
            graph = TaskGraph()
            tasks.add_sums(graph)
            run = _Run(work, tasks, graph, work.n_tasks, on_progress)
            digests = await run.finish(self._workers, self._peaks)
            blobs = await asyncio.to_thread(_read_all, tasks.releases)
            kept = await asyncio.to_thread(
                write_evidence, evidence, work, self._parameters.name, tasks.units, digests, blobs
            )
        return RoundResult(blobs, kept)

    async def recompute_units(
        self, work: RoundWork, units: Collection[str], on_progress: Progress
    ) -> dict[str, str]:
        """Evaluate some units of a round once more, up to their partial sums. Any machine.

        Args:
            work: the round, with the seed that it was run with.
            units: their names.
            on_progress: called after each task.

        Returns:
            Hex SHA-256 of each partial sum, by file name; the sums themselves are not kept.

        Raises:
            MalformedBlobError: an uploaded ciphertext is not what it must be.
            WorkerError: a worker dies again and again.
        """
        async with self._scratch(work) as scratch:
            tasks = RoundTasks(work, scratch, scratch, units)
            graph = TaskGraph()
            tasks.add_partials(graph)
            n_signs = len(work.hyperplanes) * tasks.n_chosen_blocks
            run = _Run(work, tasks, graph, graph.total + n_signs, on_progress)
            return await run.finish(self._workers, self._peaks)

    async def recompute_releases(
        self, work: RoundWork, evidence: Path, on_progress: Progress
    ) -> list[bytes]:
        """Add up, re-randomise and mask a round's partial sums once more. Any machine.

        Args:
            work: the round, with the seed that it was run with; its noise is left out.
            evidence: folder of the partial sums.
            on_progress: called after each task.

        Returns:
            What was released, but for the noise, in the order of the round's sums.

        Raises:
            MalformedBlobError: a partial sum is not what it must be.
            WorkerError: a worker dies again and again.
        """
        async with self._scratch(work) as scratch:
            tasks = RoundTasks(replace(work, noise=(), hyperplanes=()), scratch, evidence)
            graph = TaskGraph()
            tasks.add_releases(graph, partials_are_there=True)
            run = _Run(replace(work, hyperplanes=()), tasks, graph, graph.total, on_progress)
            await run.finish(self._workers, self._peaks)
            return await asyncio.to_thread(_read_all, tasks.releases)

    @contextlib.asynccontextmanager
    async def _scratch(self, work: RoundWork) -> AsyncIterator[Path]:
        """A folder that is empty, and gone afterwards."""
        if not self._workers:
            raise ProtocolError("A round was asked for before the evaluation keys were there.")
        scratch = self._storage / f"round-{work.index}"
        await asyncio.to_thread(_make_empty, scratch)
        try:
            yield scratch
        finally:
            await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)

    def close(self) -> None:
        """End the worker processes; a round that runs is given up."""
        for worker in self._workers:
            worker.close()
        self._restarts = self.worker_restarts
        self._workers = []


def _make_empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)  # its mode is not for parents
    folder.mkdir(mode=0o700)


def _forget_partials(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for path in folder.iterdir():
        if path.name not in (SEED_FILE, NOISE_FILE):
            path.unlink()


def _read_all(paths: Sequence[Path]) -> list[bytes]:
    return [path.read_bytes() for path in paths]


class _Run:
    """One round under way: hyperplanes that arrive, workers that take tasks.

    Args:
        work: the round.
        tasks: its tasks; those of signs are added as hyperplanes arrive.
        graph: all other tasks.
        n_tasks: of both.
        on_progress: called after each task.
    """

    def __init__(
        self,
        work: RoundWork,
        tasks: RoundTasks,
        graph: TaskGraph,
        n_tasks: int,
        on_progress: Progress,
    ) -> None:
        self._work = work
        self._tasks = tasks
        self._graph = graph
        self._n_tasks = n_tasks
        self._on_progress = on_progress
        self._changed = asyncio.Condition()
        self._digests: dict[str, str] = {}

    async def finish(
        self, workers: Sequence[WorkerProcess], peaks: dict[int, float]
    ) -> dict[str, str]:
        """Run all tasks; returns the digest of each partial sum written, by file name."""
        try:
            async with asyncio.TaskGroup() as group:
                for pair, arrival in enumerate(self._work.hyperplanes):
                    group.create_task(self._await_hyperplane(pair, arrival))
                for worker in workers:
                    group.create_task(self._work_off(worker, peaks))
        except BaseExceptionGroup as failures:
            # The first failure cancelled the others; it is the one to tell.
            raise failures.exceptions[0] from None
        return self._digests

    async def _await_hyperplane(self, pair: int, arrival: Awaitable[Sequence[Path]]) -> None:
        hyperplane = await arrival
        async with self._changed:
            self._tasks.add_signs(self._graph, pair, hyperplane)
            self._changed.notify_all()

    async def _work_off(self, worker: WorkerProcess, peaks: dict[int, float]) -> None:
        affinity = None
        while True:
            async with self._changed:
                while (taken := self._graph.take(affinity)) is None:
                    if self._graph.complete:
                        return
                    await self._changed.wait()
            key, node = taken
            affinity = node.affinity
            report = await worker.run(node.task)
            peaks[report.worker] = report.peak_rss_mb
            self._digests.update(report.digests)
            async with self._changed:
                self._graph.finish(key)
                self._changed.notify_all()
            self._on_progress(self._graph.finished, self._n_tasks)
