"""The order of a round's tasks: what is ready, and who takes what next (compute node).

No IO and no clock: the pool asks, the graph answers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

from mpcseg.engine.worker import Task


@dataclass(frozen=True)
class Node:
    """A task and what decides when it runs.

    Attributes:
        task: what to run.
        stage: ready tasks of later stages go first; they free what earlier ones wrote.
        affinity: tasks of one affinity share loaded ciphertexts, so a worker stays with them.
    """

    task: Task
    stage: int
    affinity: Hashable = None


class TaskGraph:
    """Tasks of one round, what each waits for, and which are ready.

    A prerequisite is any hashable: another task's key, or an event outside the graph (the arrival
    of a hyperplane) that is reported with :meth:`finish` too.
    """

    def __init__(self) -> None:
        self.total = 0
        self.finished = 0
        self._nodes: dict[Hashable, Node] = {}
        self._missing: dict[Hashable, set[Hashable]] = {}
        self._dependants: dict[Hashable, list[Hashable]] = {}
        self._ready: dict[Hashable, None] = {}
        self._running: Counter[Hashable] = Counter()

    def add(self, key: Hashable, node: Node, waits_for: Iterable[Hashable] = ()) -> None:
        """Add a task that becomes ready when everything in ``waits_for`` is finished."""
        self.total += 1
        self._nodes[key] = node
        missing = set(waits_for)
        for prerequisite in missing:
            self._dependants.setdefault(prerequisite, []).append(key)
        if missing:
            self._missing[key] = missing
        else:
            self._ready[key] = None

    @property
    def complete(self) -> bool:
        """Every task has finished."""
        return self.finished == self.total

    def take(self, affinity: Hashable = None) -> tuple[Hashable, Node] | None:
        """The task that a worker with this affinity runs next; None if none is ready."""
        if not self._ready:
            return None

        def cost(key: Hashable) -> tuple[int, bool, bool]:
            node = self._nodes[key]
            return -node.stage, node.affinity != affinity, self._running[node.affinity] > 0

        key = min(self._ready, key=cost)
        del self._ready[key]
        self._running[self._nodes[key].affinity] += 1
        return key, self._nodes[key]

    def finish(self, key: Hashable) -> None:
        """Report that a task, or an event that tasks wait for, is done."""
        if key in self._nodes:
            self.finished += 1
            self._running[self._nodes[key].affinity] -= 1
        for dependant in self._dependants.pop(key, ()):
            missing = self._missing[dependant]
            missing.discard(key)
            if not missing:
                del self._missing[dependant]
                self._ready[dependant] = None
