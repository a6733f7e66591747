"""Worker processes that are replaced when they die (compute node).

TenSEAL holds Python's lock during every operation, so evaluation runs in processes of its own and
the node's event loop stays free. When one dies, only its own task is lost, and run again.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

from mpcseg.ckks.parameters import ParameterSet
from mpcseg.engine.worker import Task, TaskReport, serve
from mpcseg.errors import WorkerError

ATTEMPTS = 3
"""Workers that one task may kill before the round is given up."""

# spawn: a fork would copy gRPC's threads and locks in an unknown state.
_CONTEXT = multiprocessing.get_context("spawn")


class _DiedError(Exception):
    """The process ended without an answer."""


class WorkerProcess:
    """One worker process, started on first use and again whenever it died."""

    def __init__(
        self, parameters: ParameterSet, public_key: Path, relinearisation_keys: Path
    ) -> None:
        self._arguments = (parameters.name, public_key, relinearisation_keys)
        self._busy = threading.Lock()
        self._process: SpawnProcess | None = None
        self._connection: Connection[Task | None, TaskReport | Exception] | None = None
        self._closed = False
        self.restarts = 0

    @property
    def pid(self) -> int | None:
        """Of the running process; for tests and operators that end it."""
        return self._process.pid if self._process else None

    async def run(self, task: Task | None = None) -> TaskReport:
        """Run a task in the process, again if the process dies meanwhile.

        Args:
            task: what to run; None only starts the process and has it load the keys.

        Raises:
            WorkerError: it died :data:`ATTEMPTS` times on this task, or failed in a way that is
                not a task's own error.
            MpcsegError: what the task raised.
        """
        for _ in range(ATTEMPTS):
            try:
                answer = await asyncio.to_thread(self._exchange, task)
            except _DiedError:
                continue
            if isinstance(answer, Exception):
                raise answer
            return answer
        raise WorkerError(
            f"A worker process died {ATTEMPTS} times on the same task.",
            "Look for the out-of-memory killer in the system log; run fewer workers.",
        )

    def _exchange(self, task: Task | None) -> TaskReport | Exception:
        # A caller that was cancelled leaves its thread here until the task is done.
        with self._busy:
            process, connection = self._started()
            try:
                connection.send(task)
                wait([connection, process.sentinel])
                return connection.recv()
            except (OSError, EOFError):
                # Its end of the pipe is gone. It may take a moment more to be gone itself.
                process.kill()
                process.join()
                self._bury()
                raise _DiedError from None

    def _started(self) -> tuple[SpawnProcess, Connection[Task | None, TaskReport | Exception]]:
        if self._closed:
            raise _DiedError
        if self._process is None or self._connection is None:
            self._connection, theirs = _CONTEXT.Pipe()
            process = _CONTEXT.Process(
                target=serve, args=(theirs, *self._arguments), name="mpcseg worker", daemon=True
            )
            process.start()
            # Not before: only a process that was started can be ended by `close`.
            self._process = process
            if self._closed:
                process.terminate()
            # Its end is open in the child alone, so that each notices when the other is gone.
            theirs.close()
        return self._process, self._connection

    def _bury(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._process = self._connection = None
        if not self._closed:
            self.restarts += 1

    def close(self) -> None:
        """End the process without waiting for its task; it is not started again."""
        self._closed = True
        if (process := self._process) is not None:
            process.terminate()
            process.join()
