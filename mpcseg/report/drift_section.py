"""Drift and migration as sections of a report. Run at a recipient."""

from __future__ import annotations

from typing import Any

import altair as alt

from mpcseg.report.charts import chart_of
from mpcseg.report.drift import Drift
from mpcseg.report.drift import drift as compared
from mpcseg.report.drift_tables import drift_table, migration_table
from mpcseg.report.drift_words import summary, verdict
from mpcseg.report.migration import Migration
from mpcseg.report.received import Received
from mpcseg.report.sections import Figure, Section
from mpcseg.report.style import BLUE, CHART_WIDTH, FAINT, diverging, ink_on

_BEFORE, _NOW = "before", "now"
# In standard deviations: from there on the blue of `diverging` grows no darker.
_DARKEST = -2.0


def changes_section(received: Received) -> Section | None:
    """What has changed since the study that this one follows, where its results are at hand."""
    if received.former is None:
        return None
    return drift_section(compared(received.spec, received.former, received.results))


def drift_section(drift: Drift) -> Section:
    """What has changed since the former study."""
    both = [segment for segment in drift.segments if segment.moves]
    figures = [_shares_figure(drift)]
    if both:
        figures.append(_moves_figure(drift))
    return Section(
        name="drift",
        title=f"What has changed since {drift.former_study}",
        paragraphs=(
            *summary(drift),
            *(verdict(drift, segment) for segment in drift.segments),
        ),
        figures=tuple(figures),
        tables=(drift_table(drift),),
        notes=(
            "Segments of the two studies belong together where they are closest; each began where "
            "the former study's ended.",
            "A move is that of a segment's mean, in standard deviations (sd) of all customers of "
            "the former study. It counts if it is "
            f"{drift.limits.move:g} sd or more, and {drift.limits.z:g} or more beyond what noise, "
            "rounding and the chance of who is a customer explain (z).",
            "Rounds that stopped before the segments stood still make segments move a little more "
            "than that, with nothing changed.",
            "The former study's results were read from a file that was opened before: their "
            "signature was not checked again for this section.",
        ),
    )


def migration_section(migration: Migration, organisation: str) -> Section | None:
    """Who went where, of one organisation's own customers; None where nobody is in both."""
    if not migration.n_both:
        return None
    stayed = dict.fromkeys(migration.former_segments, 0)
    totals = dict(stayed)
    for (former, _), count in migration.counts.items():
        totals[former] += count
        stayed[former] = max(stayed[former], count)
    together = sum(stayed.values()) / migration.n_both
    return Section(
        name="migration",
        title=f"Where customers of {organisation} went",
        paragraphs=(
            f"{migration.n_both:,} customers of {organisation} have a label in both studies; "
            f"{together:.1%} of them are where most of their former segment is.",
            f"{sum(migration.joined.values()):,} have a label now and had none before; "
            f"{sum(migration.left.values()):,} had one and have none now.",
        ),
        figures=(_migration_figure(migration, totals),),
        tables=(migration_table(migration),),
        notes=(
            f"These are exact numbers of {organisation}'s own customers, counted from its own two "
            "files of labels on its own machine. They are protected by no noise, and are for "
            f"{organisation} alone.",
        ),
    )


def _cell(deviation: float) -> dict[str, str]:
    """Colour of a cell, and of the number in it."""
    colour = diverging(deviation)
    return {"colour": colour, "ink": ink_on(colour)}


def _label(number: int | None) -> str:
    return f"segment {number}"


def _shares_figure(drift: Drift) -> Figure:
    rows: list[dict[str, Any]] = []
    for segment in drift.segments:
        name = _label(segment.number) if segment.number else f"former {segment.former}"
        for when, share in ((_BEFORE, segment.former_share), (_NOW, segment.share)):
            if share is not None:
                rows.append({"segment": name, "when": when, "share": share})
    chart = (
        chart_of(rows)
        .mark_bar()
        .encode(
            x=alt.X("share:Q", title="of all customers", axis=alt.Axis(format="%")),
            y=alt.Y("when:N", title=None, sort=[_BEFORE, _NOW]),
            row=alt.Row("segment:N", title=None, sort=None, header=alt.Header(labelAngle=0)),
            color=alt.Color(
                "when:N",
                legend=None,
                scale=alt.Scale(domain=[_BEFORE, _NOW], range=[FAINT, BLUE]),
            ),
        )
        .properties(width=CHART_WIDTH)
    )
    said = "; ".join(
        f"{_label(s.number)} from {s.former_share:.1%} to {s.share:.1%}"
        for s in drift.segments
        if s.share is not None and s.former_share is not None
    )
    return Figure(
        name="drift-shares",
        title="Shares of the segments, before and now",
        description=f"Two bars per segment, its share before and now: {said}.",
        chart=chart.to_dict(),
    )


def _moves_figure(drift: Drift) -> Figure:
    rows: list[dict[str, Any]] = [
        {"segment": _label(segment.number), "feature": name, "move": step, **_cell(step)}
        for segment in drift.segments
        for name, step in zip(drift.features, segment.moves or (), strict=False)
        if step == step  # noqa: PLR0124  NaN is not
    ]
    farthest = max(rows, key=lambda row: abs(row["move"]), default=None)
    base = chart_of(rows).encode(
        x=alt.X("segment:N", title=None, sort=None, axis=alt.Axis(labelAngle=0, orient="top")),
        y=alt.Y("feature:N", title=None, sort=list(drift.features)),
    )
    heat = base.mark_rect().encode(color=alt.Color("colour:N", scale=None))
    text = base.mark_text().encode(
        text=alt.Text("move:Q", format="+.2f"), color=alt.Color("ink:N", scale=None)
    )
    said = (
        f"The largest move is that of {farthest['segment']} in {farthest['feature']}: "
        f"{farthest['move']:+.2f} sd."
        if farthest
        else ""
    )
    return Figure(
        name="drift-moves",
        title="Moves of the segments' means, in standard deviations",
        description=f"A table of colours, a row per feature and a column per segment. {said}",
        chart=(heat + text).properties(width=CHART_WIDTH).to_dict(),
    )


def _migration_figure(migration: Migration, totals: dict[int, int]) -> Figure:
    rows: list[dict[str, Any]] = [
        {
            "before": f"formerly {former}",
            "now": _label(number),
            "count": count,
            **_cell(_DARKEST * count / totals[former]),
        }
        for (former, number), count in sorted(migration.counts.items())
    ]
    base = chart_of(rows).encode(
        x=alt.X("now:N", title=None, axis=alt.Axis(labelAngle=0, orient="top")),
        y=alt.Y("before:N", title=None),
    )
    heat = base.mark_rect().encode(color=alt.Color("colour:N", scale=None))
    text = base.mark_text().encode(
        text=alt.Text("count:Q", format=","), color=alt.Color("ink:N", scale=None)
    )
    largest = max(rows, key=lambda row: row["count"])
    return Figure(
        name="migration",
        title="Own customers: rows where they were, columns where they are",
        description=(
            "A table of colours, darker for a larger part of the row. Most are those "
            f"{largest['before']} who are in {largest['now']} now: {largest['count']:,}."
        ),
        chart=(heat + text).properties(width=CHART_WIDTH).to_dict(),
    )
