"""The fairness audit as a section of the report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from mpcseg.report.charts import chart_of
from mpcseg.report.fairness import DEVIATIONS, GroupAudit, audit_fairness
from mpcseg.report.received import Received
from mpcseg.report.sections import Column, DataTable, Figure, Section
from mpcseg.report.style import BLUE, CHART_WIDTH, FAINT, INK, ORANGE
from mpcseg.report.wording import counted, noisy, number, share

_ROW = 26
_DIGITS = 3


def fairness_section(received: Received) -> Section | None:
    """How groups of protected columns are represented; None where none is agreed as protected."""
    report = received.results.report
    if report is None or not any(category.protected for category in report.categories):
        return None
    audits = audit_fairness(report)
    threshold = report.fairness_threshold
    return Section(
        name="fairness",
        title="Fairness audit",
        paragraphs=_paragraphs(audits, threshold),
        figures=tuple(
            _figure(place, column, audits, threshold)
            for place, column in enumerate(dict.fromkeys(one.column for one in audits), start=1)
            if any(one.ratio is not None for one in audits if one.column == column)
        ),
        tables=(_table(audits),),
        notes=(
            "The representation ratio is a group's share in a segment divided by its share of "
            f"everybody. Under {number(threshold)} it counts as under-represented; "
            f"{number(0.8)} is the four-fifths rule.",
            f"A verdict is given where noise would have to be {number(DEVIATIONS)} of its standard "
            "deviations off for it to be wrong. ± beside a ratio is the standard deviation of the "
            "noise, to the first order.",
            "Groups of few customers differ by chance as well, which is not in the ±. A ratio says "
            "nothing about why, nor whether a segment is treated better or worse.",
        ),
    )


def _paragraphs(audits: Sequence[GroupAudit], threshold: float) -> tuple[str, ...]:
    found = [one for one in audits if one.verdict == "under-represented"]
    unsure = sum(one.verdict == "cannot tell at this noise" for one in audits)
    hidden = sum(one.verdict == "hidden" for one in audits)
    told = [
        f"Under-represented in segment {one.segment}: {one.group} ({one.column}), "
        f"{share(one.share or 0.0)} there and {share(one.overall or 0.0)} of everybody, ratio "
        f"{noisy(number(one.ratio or 0.0, _DIGITS), _rounded(one.noise))}."
        for one in found
    ]
    if not told:
        told = [f"No group is found to be under {number(threshold)} of its share of everybody."]
    if unsure:
        told.append(f"For {counted(unsure, 'group')} in a segment the noise leaves it open.")
    if hidden:
        told.append(
            f"Nothing is told of {counted(hidden, 'group')} in a segment: too few customers."
        )
    return tuple(told)


def _rounded(noise: float | None) -> float | None:
    return None if noise is None else float(f"{noise:.2g}")


def _figure(place: int, column: str, audits: Sequence[GroupAudit], threshold: float) -> Figure:
    data: list[dict[str, Any]] = [
        {
            "group": f"Segment {one.segment}: {one.group}",
            "ratio": one.ratio,
            "low": max(one.ratio - DEVIATIONS * (one.noise or 0.0), 0.0),
            "high": one.ratio + DEVIATIONS * (one.noise or 0.0),
            "colour": ORANGE if one.verdict == "under-represented" else BLUE,
            "label": f"{number(one.ratio, _DIGITS)} {one.verdict}",
        }
        for one in audits
        if one.column == column and one.ratio is not None
    ]
    largest = max(row["high"] for row in data)
    scale = alt.Scale(domain=[0, max(largest, 1.0) * 1.7], nice=False)
    axis = alt.Axis(labelLimit=260)
    base = chart_of(data).encode(y=alt.Y("group:N", sort=None, title=None, axis=axis))
    x = alt.X("ratio:Q", scale=scale, title="share in the segment / share of everybody")
    chart = alt.layer(
        chart_of([{"threshold": threshold}])
        .mark_rule(color=FAINT, strokeDash=[4, 4])
        .encode(x=alt.X("threshold:Q", scale=scale)),
        base.mark_rule(color=INK, strokeWidth=2).encode(x=alt.X("low:Q", scale=scale), x2="high:Q"),
        base.mark_point(filled=True, size=70, opacity=1).encode(
            x=x, color=alt.Color("colour:N", scale=None)
        ),
        base.mark_text(align="left", dx=8).encode(x=alt.X("high:Q", scale=scale), text="label:N"),
    ).properties(width=CHART_WIDTH, height=_ROW * len(data))
    said = "; ".join(f"{row['group']} {row['label']}" for row in data)
    return Figure(
        name=f"fairness-{place}",
        title=f"{column}: representation in the segments",
        description=f"Ratios, with 1.96 standard deviations of the noise. {said}.",
        chart=chart.to_dict(),
    )


def _table(audits: Sequence[GroupAudit]) -> DataTable:
    return DataTable(
        name="fairness",
        title="Representation of groups",
        columns=(
            Column("column", "column"),
            Column("segment", "segment"),
            Column("group", "group"),
            Column("share", "share in the segment", is_share=True),
            Column("overall", "share of everybody", is_share=True),
            Column("ratio", "ratio", digits=_DIGITS),
            Column("noise", "± noise in the ratio", digits=2),
            Column("verdict", "verdict"),
        ),
        rows=tuple(
            (
                one.column,
                one.segment,
                one.group,
                one.share,
                one.overall,
                one.ratio,
                one.noise,
                one.verdict,
            )
            for one in audits
        ),
    )
