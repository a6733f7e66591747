"""Worker processes that are replaced when they die (compute node).

TenSEAL holds Python's lock during every operation, so evaluation runs in processes of its own and
the node's event loop stays free. One executor for each worker: when one dies, only its own task
is lost, and run again.
"""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from mpcseg.ckks.parameters import ParameterSet
from mpcseg.engine import worker
from mpcseg.engine.worker import Task, TaskReport
from mpcseg.errors import WorkerError

ATTEMPTS = 3
"""Workers that one task may kill before the round is given up."""


class WorkerProcess:
    """One worker process, started on first use and again whenever it died."""

    def __init__(
        self, parameters: ParameterSet, public_key: Path, relinearisation_keys: Path
    ) -> None:
        self._arguments = (parameters.name, public_key, relinearisation_keys)
        self._executor: ProcessPoolExecutor | None = None
        self.restarts = 0

    @property
    def pid(self) -> int | None:
        """Of the running process; for tests and operators that end it."""
        processes = self._executor._processes if self._executor else None
        return next(iter(processes), None) if processes else None

    async def run(self, tasks: Sequence[Task]) -> TaskReport:
        """Run tasks in the process, all again if it dies meanwhile.

        Raises:
            WorkerError: it died :data:`ATTEMPTS` times on these tasks.
        """
        for _ in range(ATTEMPTS):
            executor = self._executor or self._start()
            try:
                return await asyncio.wrap_future(executor.submit(worker.run, tasks))
            except BrokenProcessPool:
                executor.shutdown(wait=False)
                self._executor = None
                self.restarts += 1
        raise WorkerError(
            f"A worker process died {ATTEMPTS} times on the same task.",
            "Look for the out-of-memory killer in the system log; run fewer workers.",
        )

    def _start(self) -> ProcessPoolExecutor:
        # spawn: a fork would copy gRPC's threads and locks in an unknown state.
        self._executor = ProcessPoolExecutor(
            max_workers=1,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=worker.initialise,
            initargs=self._arguments,
        )
        return self._executor

    def close(self) -> None:
        """End the process without waiting for its task."""
        if self._executor is None:
            return
        for process in list((self._executor._processes or {}).values()):
            process.terminate()
        self._executor.shutdown(wait=True, cancel_futures=True)
        self._executor = None
