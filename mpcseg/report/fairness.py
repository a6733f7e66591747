"""The fairness audit: are the groups of protected columns in each segment as often as everywhere?

Computed by whoever receives the report, of what is in it and of nothing else (docs/columns.md). A
group's representation ratio is its share in a segment divided by its share of everybody. It is
under-represented where that is below the agreed threshold; 0.8 is the four-fifths rule.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from mpcseg.study.column_figures import CategoryFigures, CellFigures, LabelFigures
from mpcseg.study.figures import Report

Verdict = Literal["under-represented", "within", "cannot tell at this noise", "hidden"]

# A verdict is given where noise would have to be this many of its standard deviations off for it to
# be wrong: with a probability of 2.5 % at most, on either side.
DEVIATIONS = 1.96


@dataclass(frozen=True)
class GroupAudit:
    """One group in one segment.

    Attributes:
        column: the protected column.
        segment: its number in the report.
        group: the label, or several of which one alone would be too few to be shown.
        share: in the segment; None where it is hidden, as what follows is.
        overall: share of everybody.
        ratio: the first divided by the second; None as well where nobody has the label.
        noise: standard deviation of the noise in the ratio (delta method); None without noise.
        verdict: by the agreed threshold.
    """

    column: str
    segment: int
    group: str
    share: float | None
    overall: float | None
    ratio: float | None
    noise: float | None
    verdict: Verdict


def audit_fairness(report: Report) -> tuple[GroupAudit, ...]:
    """Audit every group of every protected column in every segment that is shown.

    Args:
        report: as it was received.
    """
    return tuple(
        _audit(category.name, segment.number, group, cell, overall, report.fairness_threshold)
        for category in report.categories
        if category.protected
        for segment, found in zip(report.segments, category.segments, strict=True)
        for group, cell, overall in _groups(category, found)
    )


def _groups(
    category: CategoryFigures, found: LabelFigures
) -> Iterator[tuple[str, CellFigures | None, CellFigures | None]]:
    """Each group in a segment and of everybody; those that are too small to be shown as one."""
    overall = category.overall
    for label, cell, of_all in zip(category.labels, found.cells, overall.cells, strict=True):
        if cell is not None or found.together is None:
            yield label, cell, of_all
    if found.together is not None:
        yield " or ".join(category.hidden_labels), found.together, overall.together


def _audit(
    column: str,
    segment: int,
    group: str,
    cell: CellFigures | None,
    overall: CellFigures | None,
    threshold: float,
) -> GroupAudit:
    share = cell.share if cell else None
    of_all = overall.share if overall else None
    if cell is None or overall is None:
        return GroupAudit(column, segment, group, share, of_all, None, None, "hidden")
    ratio = cell.share / overall.share if overall.share > 0 else None
    return GroupAudit(
        column,
        segment,
        group,
        share,
        of_all,
        ratio,
        _ratio_noise(cell, overall),
        _verdict(cell, overall, threshold),
    )


def _ratio_noise(cell: CellFigures, overall: CellFigures) -> float | None:
    """Standard deviation of share/overall, to the first order.

    The segment is a part of everybody, so that the two errors go together a little: leaving that
    out makes the result rather too large.
    """
    if cell.share_noise is None or overall.share_noise is None or overall.share <= 0:
        return None
    ratio = cell.share / overall.share
    return math.hypot(cell.share_noise, ratio * overall.share_noise) / overall.share


def _verdict(cell: CellFigures, overall: CellFigures, threshold: float) -> Verdict:
    """By share - threshold·overall, which divides by no number that may be close to its noise."""
    surplus = cell.share - threshold * overall.share
    noise = math.hypot(cell.share_noise or 0.0, threshold * (overall.share_noise or 0.0))
    # Nobody anywhere is no representation at all; with noise that is what cannot be told.
    if abs(surplus) < DEVIATIONS * noise:
        return "cannot tell at this noise"
    return "within" if surplus >= 0 else "under-represented"
