"""What the search found, as a table and as plain data; never a value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mpcseg.errors import ExposureError
from mpcseg.verification.exposure.patterns import FORMS
from mpcseg.verification.exposure.search import Outcome


@dataclass(frozen=True)
class Report:
    """The whole search.

    Attributes:
        outcomes: of each place.
        n_values: that were looked for.
        n_patterns: their forms.
        study_seconds: how long the study took.
        search_seconds: how long the search took.
    """

    outcomes: tuple[Outcome, ...]
    n_values: int
    n_patterns: int
    study_seconds: float
    search_seconds: float

    @property
    def n_bytes(self) -> int:
        """Bytes searched, over all places."""
        return sum(outcome.n_bytes for outcome in self.outcomes)

    def verify(self) -> None:
        """Check that nothing was found where it must not be.

        Raises:
            ExposureError: something was; the first place and kind are named.
        """
        exposed = [outcome for outcome in self.outcomes if outcome.found]
        if exposed:
            first = exposed[0].found[0]
            n_places = f" ({len(exposed)} places in all)" if len(exposed) > 1 else ""
            raise ExposureError(
                f"{exposed[0].place}: {first.pattern.kind} stands in {first.place}, as "
                f"{first.pattern.form}{n_places}",
                "Do not run studies on this installation; find out who changed it.",
            )

    def document(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "values": self.n_values,
            "patterns": self.n_patterns,
            "forms": list(FORMS),
            "study_seconds": round(self.study_seconds, 3),
            "search_seconds": round(self.search_seconds, 3),
            "bytes": self.n_bytes,
            "places": [
                {
                    "place": outcome.place,
                    "bytes": outcome.n_bytes,
                    "patterns": outcome.n_patterns,
                    "found": [
                        {"where": e.place, "kind": e.pattern.kind, "form": e.pattern.form}
                        for e in outcome.found
                    ],
                    "allowed_values_found": outcome.allowed,
                    "control": outcome.control,
                }
                for outcome in self.outcomes
            ],
        }


def show_report(console: Console, report: Report) -> None:
    """Show the table, and what was looked for."""
    table = Table(title="Search for values in the clear", show_lines=True)
    table.add_column("place")
    table.add_column("searched", justify="right", no_wrap=True)
    table.add_column("forms", justify="right", no_wrap=True)
    table.add_column("found")
    table.add_column("control")
    for outcome in report.outcomes:
        table.add_row(
            outcome.place,
            _size(outcome.n_bytes),
            f"{outcome.n_patterns:,}",
            _found(outcome),
            escape(outcome.control),
        )
    console.print(table)
    megabytes = report.n_bytes / 1e6
    console.print(
        f"{report.n_values:,} values in {report.n_patterns:,} forms were looked for in "
        f"{megabytes:,.0f} MB: {report.search_seconds:.0f} s, "
        f"{megabytes / report.search_seconds:,.0f} MB/s; the study took "
        f"{report.study_seconds:.0f} s. Forms:",
        highlight=False,
    )
    for form in FORMS:
        console.print(f"  {form}", highlight=False)


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.1f} MB" if n_bytes >= 1e6 else f"{n_bytes / 1e3:,.1f} kB"


def _found(outcome: Outcome) -> str:
    if not outcome.found:
        return "nothing"
    lines = _shortened([f"{e.pattern.kind} as {e.pattern.form}: {e.place}" for e in outcome.found])
    return "[bold red]" + escape("\n".join(lines)) + "[/bold red]"


def _shortened(lines: Sequence[str]) -> list[str]:
    """No line twice, and few."""
    once = list(dict.fromkeys(lines))
    return [*once[:5], *([f"and {len(once) - 5} more"] if len(once) > 5 else [])]
