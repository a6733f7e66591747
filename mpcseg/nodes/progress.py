"""How a node tells the outside what it is doing, whoever shows it.

A node calls a ``Progress`` and knows nothing about terminals, bars, logs or metrics. The compute
and the party node only ever pass names, counts and seconds; the key node's ``round`` events also
hold what the rounds released (docs/protocol.md section 1: the key node sees the slot sums). Names
of events, and what a log may hold of each, are in `mpcseg.nodes.events`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Progress(Protocol):
    """Where a node reports to. Methods may be called from any thread and return at once."""

    def message(self, text: str) -> None:
        """Say one plain sentence."""
        ...

    def start(self, task: str, total: int, unit: str) -> None:
        """Begin a task ("keys", "encrypt", "upload", "round 3", ...) of ``total`` units."""
        ...

    def advance(self, task: str, amount: int = 1) -> None:
        """Report ``amount`` more units of a started task as done."""
        ...

    def finish(self, task: str) -> None:
        """End a started task, complete or not."""
        ...

    def event(self, kind: str, **facts: object) -> None:
        """Report something that happened, as named facts ("round", "listening", "joined", ...)."""
        ...


class SilentProgress:
    """A ``Progress`` for a node that nobody watches."""

    def message(self, text: str) -> None:
        """Drop the sentence."""

    def start(self, task: str, total: int, unit: str) -> None:
        """Drop the start."""

    def advance(self, task: str, amount: int = 1) -> None:
        """Drop the advance."""

    def finish(self, task: str) -> None:
        """Drop the finish."""

    def event(self, kind: str, **facts: object) -> None:
        """Drop the event."""


class NamedProgress:
    """Passes everything on under a name: several studies on one screen.

    Args:
        other: where to.
        name: of the study; it stands before sentences and tasks.
    """

    def __init__(self, other: Progress, name: str) -> None:
        self._other, self._name = other, name

    def message(self, text: str) -> None:
        """Say the sentence under the name."""
        self._other.message(f"{self._name}: {text}")

    def start(self, task: str, total: int, unit: str) -> None:
        """Begin the task under the name."""
        self._other.start(f"{self._name}: {task}", total, unit)

    def advance(self, task: str, amount: int = 1) -> None:
        """Report more of the task under the name."""
        self._other.advance(f"{self._name}: {task}", amount)

    def finish(self, task: str) -> None:
        """End the task under the name."""
        self._other.finish(f"{self._name}: {task}")

    def event(self, kind: str, **facts: object) -> None:
        """Report the event with the study's name as a fact."""
        self._other.event(kind, study=self._name, **facts)


class SeveralProgress:
    """Passes everything on to several others, in order: a screen, a log, metrics."""

    def __init__(self, others: Sequence[Progress]) -> None:
        self._others = tuple(others)

    def message(self, text: str) -> None:
        """Pass the sentence on."""
        for other in self._others:
            other.message(text)

    def start(self, task: str, total: int, unit: str) -> None:
        """Pass the start on."""
        for other in self._others:
            other.start(task, total, unit)

    def advance(self, task: str, amount: int = 1) -> None:
        """Pass the advance on."""
        for other in self._others:
            other.advance(task, amount)

    def finish(self, task: str) -> None:
        """Pass the finish on."""
        for other in self._others:
            other.finish(task)

    def event(self, kind: str, **facts: object) -> None:
        """Pass the event on."""
        for other in self._others:
            other.event(kind, **facts)
