"""Real node processes and their end: whatever happens, none outlives the demonstration."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from mpcseg.demo.workspace import NodeFolder
from mpcseg.errors import (
    MpcsegError,
    NodeError,
    NodeUnreachableError,
    NodeVanishedError,
    StudyAbortedError,
    subclasses,
)
from mpcseg.nodes.lifetime import END_WITH_STDIN
from mpcseg.private import open_private

MPCSEG = (sys.executable, "-m", "mpcseg")

CONSEQUENCES = (StudyAbortedError, NodeVanishedError, NodeUnreachableError)
"""Errors by which a node says that another one went away: not the cause where there is one."""

# How long the others may take to notice a failure, and to end when they are told to.
_NOTICE_SECONDS = 4.0
_END_SECONDS = 10.0


@dataclass
class Child:
    """One node's process.

    Attributes:
        node: the node.
        step: what it does, the first two words of its command line.
        process: its process, which leads a process group of its own.
        stderr: the last lines that it wrote for a person.
        ended: set once the process and everything that it started are gone.
    """

    node: NodeFolder
    step: str
    process: subprocess.Popen[bytes]
    stderr: deque[str] = field(default_factory=lambda: deque(maxlen=100))
    ended: threading.Event = field(default_factory=threading.Event)

    def failure(self) -> MpcsegError | None:
        """What the ended process died of, in its own words; None after a success."""
        status = self.process.returncode
        if not status:
            return None
        label = f"{self.node.role} node {self.node.name}"
        if status < 0:
            reason = signal.Signals(-status).name
            return NodeVanishedError(
                f"{label} was killed ({reason})", "Is there enough memory? Try again."
            )
        message, hint = self._last_words()
        known = {error.exit_status: error for error in subclasses().values()}
        error = known.get(status, NodeError)
        return error(f"{label}: {message or f'ended with exit status {status}'}", hint)

    def _last_words(self) -> tuple[str, str]:
        message = hint = ""
        for line in self.stderr:
            if line.startswith("error: "):
                message, hint = line.removeprefix("error: "), ""
            elif line.startswith("hint: "):
                hint = line.removeprefix("hint: ")
        return message, hint


class Children:
    """Node processes, from their start to their certain end. A context manager.

    Args:
        logs: folder for all that the nodes print, byte for byte, in a file for each command and
            stream; None to keep none.
    """

    def __init__(self, logs: Path | None = None) -> None:
        self._logs = logs
        self._children: list[Child] = []
        self._reports: queue.SimpleQueue[tuple[Child, dict[str, Any] | None]] = queue.SimpleQueue()

    def __enter__(self) -> Children:
        """Return itself; nothing is started yet."""
        return self

    def __exit__(self, *exception: object) -> None:
        """End what still runs: ask first, then kill with all worker processes."""
        try:
            for child in self._running():
                child.process.terminate()
            deadline = time.monotonic() + _END_SECONDS
            while self._running() and time.monotonic() < deadline:
                time.sleep(0.05)
        finally:  # also when somebody loses patience and presses Ctrl-C again
            for child in self._running():
                _kill_group(child)
            for child in self._children:
                child.ended.wait()

    def start(
        self,
        node: NodeFolder,
        command: Sequence[str],
        *,
        program: Sequence[str] = MPCSEG,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> int:
        """Start a command of a node.

        Args:
            node: which one.
            command: of mpcseg, such as ``party run --config …``.
            program: what runs it.
            environment: what to set beside this process's own.
            folder: where it is started; by default where this process is.

        Returns:
            The number of its process.
        """
        process = subprocess.Popen(  # noqa: S603  our own program with paths that we made
            [*program, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            # A group of its own, so that Ctrl-C reaches the demonstration alone, and everything
            # that a node started can be ended with it.
            start_new_session=True,
            env={**os.environ, **(environment or {}), END_WITH_STDIN: "1"},
        )
        child = Child(node, " ".join(command[:2]), process)
        self._children.append(child)
        threading.Thread(target=self._follow, args=(child,), daemon=True).start()
        return process.pid

    def reports(self) -> Iterator[tuple[NodeFolder, dict[str, Any]]]:
        """Yield what the nodes report until all have ended well.

        The end of a command is a report too: ``{"report": "ended", "step": "party run"}``.

        Raises:
            MpcsegError: a node failed; the error that caused it, with the node's own words.
        """
        n_ended = 0
        while n_ended < len(self._children):  # more may be started between two reports
            child, report = self._reports.get()
            if report is not None:
                yield child.node, report
                continue
            n_ended += 1
            if child.process.returncode:
                raise self._cause()
            yield child.node, {"report": "ended", "step": child.step}

    def _cause(self) -> MpcsegError:
        """The failure that began it, which need not be the first that was noticed."""
        deadline = time.monotonic() + _NOTICE_SECONDS
        while time.monotonic() < deadline and self._running():
            time.sleep(0.05)
        # The compute node passes on why another node stopped the study: that node comes first.
        children = sorted(self._children, key=lambda child: child.node.role == "compute")
        failures = [child.failure() for child in children if child.ended.is_set()]
        errors = [error for error in failures if error is not None]
        causes = [error for error in errors if not isinstance(error, CONSEQUENCES)]
        return [*causes, *errors][0]

    def _running(self) -> list[Child]:
        return [child for child in self._children if not child.ended.is_set()]

    def _follow(self, child: Child) -> None:
        """Pass on what one node reports until it ends; runs in a thread of its own."""
        readers = [
            threading.Thread(target=self._read_reports, args=(child,), daemon=True),
            threading.Thread(target=self._read_errors, args=(child,), daemon=True),
        ]
        for reader in readers:
            reader.start()
        # Wait without reaping: as long as the process is there, though dead, its group's number
        # is its own, and whatever it left behind can be killed without hitting anybody else.
        os.waitid(os.P_PID, child.process.pid, os.WEXITED | os.WNOWAIT)
        _kill_group(child)
        child.process.wait()
        for reader in readers:
            reader.join()
        for stream in (child.process.stdin, child.process.stdout, child.process.stderr):
            if stream is not None:
                stream.close()
        child.ended.set()
        self._reports.put((child, None))

    def _read_reports(self, child: Child) -> None:
        for line in self._lines(child, child.process.stdout, "out"):
            try:
                report = json.loads(line)
            except json.JSONDecodeError:
                if child.step == "party results":  # each shows the segments, which come at the end
                    continue
                # A library that prints; a person may want to see it.
                report = {"report": "message", "text": line.rstrip()}
            if isinstance(report, dict):
                self._reports.put((child, report))

    def _read_errors(self, child: Child) -> None:
        for line in self._lines(child, child.process.stderr, "err"):
            child.stderr.append(line.rstrip("\n"))

    def _lines(self, child: Child, stream: IO[bytes] | None, name: str) -> Iterator[str]:
        """Lines of a stream as they come, and into its log."""
        file = f"{child.node.name} {child.step}.{name}".replace(" ", "-")
        kept = open_private(self._logs / file) if self._logs else contextlib.nullcontext()
        with kept as log:
            for line in stream or ():
                if log is not None:
                    log.write(line)
                    log.flush()
                yield line.decode("utf-8", "replace")


def _kill_group(child: Child) -> None:
    """Kill a node that has not been reaped yet, with all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.process.pid, signal.SIGKILL)
