"""Which rounds were asked for and released: the part of the study's state that is about rounds.

Runs on: compute node. A state machine without IO.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from mpcseg.errors import ProtocolError
from mpcseg.nodes.study_rules import RoundOrder, StudyRules
from mpcseg.reference.rounds import RoundKind
from mpcseg.wire.events import ReleaseReady, RoundProgress
from mpcseg.wire.names import BlobHeader, BlobName


class Budget(Protocol):
    """The privacy ledger, as far as it decides whether a round may run."""

    def verify_affordable(self, kind: RoundKind, sign: tuple[int, ...] = ()) -> None:
        """Raise ``BudgetError`` for a round that would overspend."""
        ...

    def spending(self, index: int) -> object | None:
        """What this run of the study has paid for a round; None if it has not."""
        ...


class RoundBook:
    """The rounds of one study, one at a time.

    Args:
        rules: what the agreement fixes.
        budget: what the rounds may spend.

    Attributes:
        orders: the rounds that were asked for, in order.
    """

    def __init__(self, rules: StudyRules, budget: Budget) -> None:
        self._rules = rules
        self._budget = budget
        self._releases: dict[BlobName, BlobHeader] = {}
        self._released = 0
        self._hundredth = -1
        self._progress: RoundProgress | None = None
        self.orders: list[RoundOrder] = []

    @property
    def n_released(self) -> int:
        """How many rounds are released."""
        return self._released

    @property
    def running(self) -> RoundProgress | None:
        """How far the round that runs is; None between rounds, and before its first task."""
        return None if self.is_idle else self._progress

    @property
    def is_idle(self) -> bool:
        """Whether every round that was asked for is released."""
        return self._released == len(self.orders)

    @property
    def under_way(self) -> RoundOrder | None:
        """The round that was asked for and is not released."""
        return None if self.is_idle else self.orders[-1]

    @property
    def is_complete(self) -> bool:
        """Whether the profile round, the last one, is released."""
        return self.is_idle and bool(self.orders) and self.orders[-1].kind == "profile"

    def open(self, order: RoundOrder) -> bool:
        """Begin a round; False if it was begun before.

        Raises:
            ProtocolError: not the next round, the one before is still running, more rounds than
                agreed, or a sign polynomial that was not planned.
            BudgetError: the round would spend more than was agreed.
        """
        if order in self.orders:
            return False
        if order.index != len(self.orders) or not self.is_idle:
            raise ProtocolError(
                f"round {order.index} was asked for after {len(self.orders)} rounds, "
                f"of which {self._released} are done"
            )
        self._rules.verify_next(self.orders, order)
        if self._budget.spending(order.index) is None:
            self._budget.verify_affordable(order.kind, order.sign)
        self.orders.append(order)
        self._releases.clear()
        self._hundredth = -1
        self._progress = None
        return True

    def verify_hyperplane_wanted(self, what: str) -> RoundOrder:
        """Return the open round, if it takes hyperplanes.

        Raises:
            ProtocolError: no round is open, or one that takes none.
        """
        if self.is_idle or not self.orders[-1].takes_hyperplanes:
            raise ProtocolError(f"{what}, but no round that takes it is open")
        return self.orders[-1]

    def progress(self, index: int, done: int, total: int) -> RoundProgress | None:
        """Return what to tell about how far a round is, at most a hundred times."""
        self._progress = RoundProgress(index, done, total)
        hundredth = 100 * done // max(total, 1)
        if hundredth <= self._hundredth:
            return None
        self._hundredth = hundredth
        return self._progress

    def release(self, index: int, headers: Iterable[BlobHeader]) -> ReleaseReady:
        """A round's masked slot sums are ready for the key node."""
        if self.is_idle or index != len(self.orders) - 1:
            raise ProtocolError(f"round {index} was released out of order")
        self._released = index + 1
        self._releases = {header.name: header for header in headers}
        return ReleaseReady(index, len(self._releases))

    def header(self, name: BlobName) -> BlobHeader | None:
        """Return the header of a release of the latest round."""
        return self._releases.get(name)
