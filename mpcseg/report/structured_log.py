"""A node's log for machines: one JSON object per line, without any value of a record or a result.

Each line has ``time`` (UTC), ``level``, ``node``, ``role``, ``study`` (its digest's first digits),
``study_name``, ``event``, ``round`` (null outside of one) and ``facts``. Only the facts that
`mpcseg.nodes.events` lists are written. Runs on: every node.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import Any, TextIO

from pythonjsonlogger.json import JsonFormatter

from mpcseg.errors import MpcsegError, OutputError
from mpcseg.nodes.events import EVENTS
from mpcseg.report.files import jsonable
from mpcseg.study.spec import StudySpec
from mpcseg.text import one_line

STANDARD_OUTPUT = Path("-")
"""Stands for standard output where a log file is named, as in a container."""

DIGEST_DIGITS = 16
"""Of a study's digest, as in the names of its files."""

_FIELDS = ("time", "level", "node", "role", "study", "study_name", "event", "round", "facts")
_ROUND_TASK = re.compile(r"round (\d+)")


class _PrivateFileHandler(WatchedFileHandler):
    """A log file that only this user may read, and that may be rotated by renaming it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, encoding="utf-8")
        self._has_failed = False

    def _open(self) -> Any:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        return os.fdopen(os.open(self.baseFilename, flags, 0o600), "a", encoding="utf-8")

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802  of logging
        """Say once that lines are lost: the study's record is the audit log, not this file."""
        if not self._has_failed:
            self._has_failed = True
            print(  # noqa: T201
                f"warning: the log {self.baseFilename} cannot be written; lines of it are lost",
                file=sys.stderr,
            )


class LogFile:
    """Where the lines of one process go; a context manager.

    Args:
        path: the file, made if absent and appended to; ``-`` for standard output.

    Raises:
        OutputError: the file cannot be opened.
    """

    def __init__(self, path: Path, stream: TextIO | None = None) -> None:
        handler: logging.Handler
        if path == STANDARD_OUTPUT:
            handler = logging.StreamHandler(stream or sys.stdout)
        else:
            try:
                handler = _PrivateFileHandler(path)
            except OSError as error:
                raise OutputError(
                    f"the log {path} cannot be written: {error.strerror}",
                    "Name a file in a folder that is there and that this user may write to.",
                ) from None
        handler.setFormatter(JsonFormatter(_FIELDS, json_ensure_ascii=False))
        self._handler = handler

    def of(self, spec: StudySpec, node: str, role: str) -> StructuredLog:
        """The log of one study's node."""
        return StructuredLog(self._handler, spec, node, role)

    def __enter__(self) -> LogFile:
        """Return itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close the file."""
        self._handler.close()


class StructuredLog:
    """A ``Progress`` that writes a line for each event and task. Methods from any thread.

    Args:
        handler: writes the lines.
        spec: the study.
        node: the organisation that runs the node.
        role: of the node: party, compute, key.
    """

    def __init__(self, handler: logging.Handler, spec: StudySpec, node: str, role: str) -> None:
        # Not of logging's tree: libraries write there what nobody has looked at.
        self._logger = logging.Logger("mpcseg", logging.INFO)
        self._logger.addHandler(handler)
        self._same = {
            "node": node,
            "role": role,
            "study": spec.digest[:DIGEST_DIGITS],
            "study_name": spec.name,
        }
        self._tasks: dict[str, _Task] = {}
        self._lock = threading.Lock()

    def message(self, text: str) -> None:
        """Log a sentence."""
        self.event("message", text=text)

    def start(self, task: str, total: int, unit: str) -> None:
        """Log that a task begins."""
        with self._lock:
            self._tasks[task] = _Task(total, unit)
        self.event("task_started", task=task, total=total, unit=unit)

    def advance(self, task: str, amount: int = 1) -> None:
        """Count, and log nothing: a line for each unit would be many."""
        with self._lock:
            if task in self._tasks:
                self._tasks[task].done += amount

    def finish(self, task: str) -> None:
        """Log how far a task came, and how long it took."""
        with self._lock:
            ended = self._tasks.pop(task, None)
        if ended is not None:
            self.event("task_finished", task=task, **ended.facts())

    def event(self, kind: str, **facts: object) -> None:
        """Log an event with those of its facts that a log may hold."""
        known = EVENTS.get(kind)
        if known is None or not known.is_logged:
            return
        kept = {name: facts[name] for name in known.facts if name in facts}
        self._logger.log(
            known.level,
            kind,
            extra={
                **self._same,
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "level": logging.getLevelName(known.level).lower(),
                "event": kind,
                "round": _round(kept),
                "facts": _clean(jsonable(kept)),
            },
        )


class _Task:
    def __init__(self, total: int, unit: str) -> None:
        self.total, self.unit, self.done = total, unit, 0
        self._began = time.monotonic()

    def facts(self) -> dict[str, object]:
        seconds = round(time.monotonic() - self._began, 3)
        return {"done": self.done, "total": self.total, "unit": self.unit, "seconds": seconds}


def ending(error: BaseException) -> tuple[str, dict[str, object]]:
    """The event with which a process ends that was left by an error."""
    if isinstance(error, MpcsegError):
        told = error.for_others()  # the operator's screen has more; a log leaves the machine
        facts: dict[str, object] = {
            "code": error.code,
            "exit_status": error.exit_status,
            "text": told.message,
            "hint": told.hint,
        }
        return ("failed" if error.ends_study else "suspended"), facts
    kind = "interrupted" if isinstance(error, KeyboardInterrupt) else type(error).__name__
    return "failed", {"code": "internal", "text": f"ended by {kind}"}


def _round(facts: Mapping[str, object]) -> int | None:
    if isinstance(index := facts.get("index"), int):
        return index
    named = _ROUND_TASK.fullmatch(str(facts.get("task", "")))
    return int(named[1]) if named else None


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return one_line(value)
    if isinstance(value, dict):
        return {name: _clean(entry) for name, entry in value.items()}
    return [_clean(entry) for entry in value] if isinstance(value, list) else value
