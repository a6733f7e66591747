"""The segment report as a whole: which sections it has, and in which order.

Whoever adds a part to the report writes a function from `Received` to a `Section`, or to None where
this study has nothing of the kind, and enters it in `SECTIONS`. Pages, spreadsheets and tables
follow from that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mpcseg.report.account import hidden_section, provenance_section, reading_section
from mpcseg.report.choice import choice_section
from mpcseg.report.columns import columns_section
from mpcseg.report.drift_section import changes_section
from mpcseg.report.fairness_section import fairness_section
from mpcseg.report.hierarchy import hierarchy_section
from mpcseg.report.map import map_section
from mpcseg.report.profiles import profile_section
from mpcseg.report.quality import budget_section, quality_section
from mpcseg.report.received import Received
from mpcseg.report.rules import rules_section
from mpcseg.report.sections import Section
from mpcseg.report.segments import sizes_section
from mpcseg.report.summary import summary_section

SECTIONS: tuple[Callable[[Received], Section | None], ...] = (
    summary_section,
    sizes_section,
    profile_section,
    rules_section,
    map_section,
    changes_section,
    choice_section,
    columns_section,
    fairness_section,
    hierarchy_section,
    quality_section,
    hidden_section,
    budget_section,
    reading_section,
    provenance_section,
)


@dataclass(frozen=True)
class ReportDocument:
    """A report, ready to be written in any format.

    Attributes:
        study: the study's name.
        title: of the document.
        subtitle: for whom it was made, and when.
        made_at: of the results, UTC, as in 2025-03-31T12:00:00Z.
        sections: in order.
    """

    study: str
    title: str
    subtitle: str
    made_at: str
    sections: tuple[Section, ...]


def report_document(received: Received) -> ReportDocument:
    """Make the report of what an organisation has received.

    Raises:
        AgreementError: this organisation does not receive the report.
    """
    results = received.results
    made = (section(received) for section in SECTIONS)
    return ReportDocument(
        study=results.study,
        title=f"Segments of {results.study}",
        subtitle=f"For {results.recipient}, of results made {results.made_at}",
        made_at=results.made_at,
        sections=tuple(section for section in made if section is not None),
    )
