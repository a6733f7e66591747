"""Nodes as processes of their own, which a test can end without a word."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from mpcseg.errors import MpcsegError
from mpcseg.nodes.party import run_party
from mpcseg.nodes.progress import SilentProgress

# Live gRPC threads do not survive a fork; a server that has only imported everything has none, and
# spares each node some seconds.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["mpcseg.nodes.compute", "mpcseg.nodes.key", "mpcseg.nodes.party", "tests.nodes.studies"]
)


class Reporter(SilentProgress):
    """Writes what a node reports to a file, line by line; ends the process at one of them."""

    def __init__(self, path: Path, deadly: str = "") -> None:
        self._path = path
        self._deadly = deadly

    def _write(self, line: str) -> None:
        with self._path.open("a") as file:
            file.write(line + "\n")
        if self._deadly and line.startswith(self._deadly):
            os.kill(os.getpid(), signal.SIGKILL)

    def message(self, text: str) -> None:
        self._write(f"message {text}")

    def start(self, task: str, total: int, unit: str) -> None:
        self._write(f"start {task}")

    def advance(self, task: str, amount: int = 1) -> None:
        self._write(f"advance {task}")

    def event(self, kind: str, **facts: object) -> None:
        self._write(f"event {kind} {facts.get('address', '')}")


@dataclass
class NodeProcess:
    """A node in a process; its outcome is a word in a file."""

    process: BaseProcess
    report: Path
    outcome: Path

    def wait_line(self, start: str, seconds: float = 120.0) -> str:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for line in self.report.read_text().splitlines() if self.report.exists() else ():
                if line.startswith(start):
                    return line.removeprefix(start).strip()
            time.sleep(0.02)
        raise AssertionError((start, self.report.read_text() if self.report.exists() else None))

    def result(self, seconds: float = 180.0) -> str:
        """Return "done", an error's code with its message, or "killed"."""
        self.process.join(seconds)
        assert self.process.exitcode is not None, self.report.read_text()
        return self.outcome.read_text() if self.outcome.exists() else "killed"


def spawn(
    folder: Path, node: Callable[..., Any], *arguments: Any, deadly: str = "", **options: Any
) -> NodeProcess:
    """Start a node in a process; ``progress`` is its last positional argument."""
    folder.mkdir(parents=True)
    if node is run_party:
        options.setdefault("audit", folder / "audit")
    report, outcome = folder / "report", folder / "outcome"
    process = _CONTEXT.Process(
        target=_run, args=(node, arguments, options, Reporter(report, deadly), outcome)
    )
    process.start()
    return NodeProcess(process, report, outcome)


def _run(
    node: Callable[..., Any],
    arguments: tuple[Any, ...],
    options: dict[str, Any],
    progress: Reporter,
    outcome: Path,
) -> None:
    try:
        node(*arguments, progress, **options)
    except MpcsegError as error:
        outcome.write_text(f"{error.code}: {error.message}")
    else:
        outcome.write_text("done")
