"""The privacy ledger: what the rounds of a study have spent, and whether there is enough left.

The compute node and the key node keep one each. It is written before a round's sums leave the
node, and outlives the process: a second run of the same agreement goes on where the first one
stopped, since both have answered about the same records.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from mpcseg.durable import on_disk, write_private
from mpcseg.errors import BudgetError, ConfigError, ProtocolError
from mpcseg.privacy.accounting import epsilon_for
from mpcseg.privacy.budget import NoisePlan
from mpcseg.reference.rounds import RoundKind

# Adding up a plan's rounds is off by rounding errors of this order.
_ROUNDING = 1e-9

# A budget of the largest epsilon that can be agreed is below, any round's cost above.
_SMALLEST_RHO, _LARGEST_RHO = 1e-30, 1e4


@dataclass(frozen=True)
class Spending:
    """One round that was paid for.

    Attributes:
        kind: of the round.
        index: of the round in its run.
        sign: degrees of its composite sign; empty for admission and moments.
        rho: what it cost, in zCDP; infinite for a round without noise.
        run: which run of the study: the number of the entry that began it in the node's audit log.
    """

    kind: RoundKind
    index: int
    sign: tuple[int, ...]
    rho: float
    run: int = 0


class Ledger:
    """Spendings of one agreement, in order.

    Args:
        plan: from the agreement.
        study_digest: of the agreement; a stored ledger of another one is refused.
        entries: what was spent before.

    Attributes:
        run: the run of the study that spends now; a round of a run is paid for once, however many
            processes the run takes.
    """

    def __init__(
        self, plan: NoisePlan, study_digest: str = "", entries: Iterable[Spending] = ()
    ) -> None:
        self._plan, self._digest = plan, study_digest
        self._entries = list(entries)
        self.run = 0

    @property
    def entries(self) -> tuple[Spending, ...]:
        """All spendings so far."""
        return tuple(self._entries)

    @property
    def spent_rho(self) -> float:
        """Total cost so far, in zCDP."""
        return math.fsum(entry.rho for entry in self._entries)

    @property
    def epsilon(self) -> float:
        """What was spent so far as epsilon, at the agreed delta; infinite without noise."""
        return epsilon_for(self.spent_rho, self._plan.delta)

    def verify_affordable(self, kind: RoundKind, sign: tuple[int, ...] = ()) -> None:
        """Refuse a round that the budget does not cover. Called before the round runs.

        Raises:
            BudgetError: the round would spend more than was agreed.
        """
        self._verify(self._plan.rho(kind, sign), f"a round of the kind {kind}")

    def verify_study_affordable(self) -> None:
        """Refuse a run that the budget would not carry to its end. Called before the first round.

        Raises:
            BudgetError: an earlier run of the same agreement has spent too much.
        """
        self._verify(self._plan.study_rho, "another run of this study")

    def begin_run(self, number: int) -> None:
        """Spend for a new run from here on.

        Raises:
            ConfigError: a later run, or one of this number, has spent before: the log whose entries
                number the runs was cut or lost, and its rounds would pass for paid.
        """
        if any(entry.run >= number for entry in self._entries):
            raise ConfigError(
                "the privacy ledger knows of runs that the audit log beside it does not",
                "Put the log back as this node left it; without it, agree on the study anew.",
            )
        self.run = number

    def spending(self, index: int) -> Spending | None:
        """What this run has paid for a round; None if it has not."""
        own = (entry for entry in self._entries if (entry.run, entry.index) == (self.run, index))
        return next(own, None)

    def spend(self, kind: RoundKind, index: int, sign: tuple[int, ...] = ()) -> Spending:
        """Enter a round, before any of its sums leaves the node; once in a run.

        Raises:
            BudgetError: as `verify_affordable`; nothing is entered then.
            ProtocolError: this run has paid for another round of this number.
        """
        paid = self.spending(index)
        if paid is not None:
            if (paid.kind, paid.sign) != (kind, tuple(sign)):
                raise ProtocolError(f"round {index} was paid for as another kind of round")
            return paid
        self.verify_affordable(kind, sign)
        spending = Spending(kind, index, tuple(sign), self._plan.rho(kind, sign), self.run)
        self._entries.append(spending)
        return spending

    def save(self, path: Path) -> None:
        """Write the ledger: a new file with mode 0600 takes the old one's place at once.

        Raises:
            StorageError: it cannot be written; the old one stays.
        """
        with on_disk(path):
            write_private(path, (json.dumps(self._document(), indent=2) + "\n").encode())

    @classmethod
    def load(cls, path: Path, plan: NoisePlan, study_digest: str) -> Ledger:
        """Read the ledger of an earlier run, or begin one if there is no file.

        Raises:
            ConfigError: the file is no ledger, or belongs to another agreement.
        """
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return cls(plan, study_digest)
        try:
            document = json.loads(content.decode("utf-8"))
            entries = [_spending(entry) for entry in document["entries"]]
            _verify_total(math.fsum(entry.rho for entry in entries))
            digest = document["study"]
        except (
            ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError,
        ) as error:  # fmt: skip
            raise ConfigError(
                f"{path} is not a privacy ledger",
                "It must not be edited. Without it nobody knows what the study has spent.",
            ) from error
        if digest != study_digest:
            raise ConfigError(
                f"{path} is the privacy ledger of another study",
                "Give every study a folder of its own.",
            )
        return cls(plan, study_digest, entries)

    def _verify(self, rho: float, what: str) -> None:
        if not self._plan.is_noised:
            return
        total = self._plan.total_rho
        if self.spent_rho + rho > total * (1 + _ROUNDING):
            raise BudgetError(
                f"{what} would exceed the agreed privacy budget: epsilon {self.epsilon:.3g} of "
                f"{self._plan.epsilon:g} is spent (delta {self._plan.delta:g})",
                "Nobody may ask more of these records under this agreement; sign a new one.",
            )

    def _document(self) -> dict[str, Any]:
        return {
            "study": self._digest,
            "delta": self._plan.delta,
            "agreed_epsilon": finite(self._plan.epsilon),
            "spent_epsilon": finite(self.epsilon),
            "spent_rho": finite(self.spent_rho),
            "entries": [asdict(entry) | {"rho": finite(entry.rho)} for entry in self._entries],
        }


def finite(number: float) -> float | None:
    """A cost as JSON has it, which has no infinity: null is one without bound."""
    return None if math.isinf(number) else number


def _verify_total(rho: float) -> None:
    """Refuse sums that no study can have spent, and that have no epsilon in floating point."""
    if rho != 0 and not math.isinf(rho) and not _SMALLEST_RHO <= rho <= _LARGEST_RHO:
        raise ValueError("no study spends that")


def _spending(entry: dict[str, Any]) -> Spending:
    kind, index, sign, rho = entry["kind"], entry["index"], entry["sign"], entry["rho"]
    run = entry["run"]
    if kind not in get_args(RoundKind) or not isinstance(index, int):
        raise ValueError("not a round")
    if not isinstance(run, int):
        raise ValueError("not a run")
    cost = math.inf if rho is None else float(rho)
    if not cost >= 0:
        raise ValueError("a round costs something")
    return Spending(kind, index, tuple(int(degree) for degree in sign), cost, run)
