"""What the segments are like: a heat map, a view of each among the others, and all numbers."""

from __future__ import annotations

import math
from typing import Any

import altair as alt

from mpcseg.report.charts import chart_of
from mpcseg.report.received import Received
from mpcseg.report.sections import Column, DataTable, Figure, Section
from mpcseg.report.style import CHART_WIDTH, FAINT, INK, MUTED, diverging, ink_on
from mpcseg.report.wording import listed, number, signed

_ROW = 44
_PANEL_ROW = 24
_PANELS_BESIDE = 2
_MENTIONED = 3
_NOISE_DIGITS = 1
"""Of the noise in a cell of the heat map; the table beneath has all of them."""
_COLUMNS = 8
"""Segments up to which each has a column of the heat map; more have a row each."""


def profile_section(received: Received) -> Section | None:
    """The means of every feature in every segment, with their noise; None without segments."""
    table = received.table
    if not table.segments:
        return None
    notes = [
        "Deviations are a segment's mean minus that of all customers, in standard deviations (sd) "
        "of all customers, after the agreed transform; 0 is the average customer.",
        "Means are in original units. For a feature that is transformed by log1p, the mean is that "
        "of the logarithms mapped back, which a few very large values do not drag along; “low” "
        "and “high” are one standard deviation below and above it, kept within the agreed bounds.",
    ]
    if table.is_noised:
        notes.append(
            "± is one standard deviation of the noise that protects single customers. Differences "
            "of less than about twice that may be noise alone."
        )
    return Section(
        name="profiles",
        title="Profiles of the segments",
        figures=(_heat_map(received), _lines(received)),
        tables=(_profile_table(received),),
        notes=tuple(notes),
    )


def _heat_map(received: Received) -> Figure:
    table = received.table
    rows: list[dict[str, Any]] = []
    for segment in table.segments:
        for summary in segment.features:
            colour = diverging(summary.deviation)
            noise = summary.deviation_noise
            rows.append(
                {
                    "segment": str(segment.number),
                    "feature": summary.feature,
                    "colour": colour,
                    "ink": ink_on(colour),
                    "value": signed(summary.deviation).removesuffix(" sd"),
                    "noise": "" if noise is None else f"± {number(noise, _NOISE_DIGITS)}",
                }
            )
    has_noise = any(row["noise"] for row in rows)
    n_columns, n_rows = len(table.segments), len(table.feature_names)
    if n_columns <= _COLUMNS:
        base = chart_of(rows).encode(
            x=alt.X(
                "segment:N", sort=None, title="segment", axis=_axis(labelAngle=0, orient="top")
            ),
            y=alt.Y("feature:N", sort=None, title=None, axis=_axis()),
        )
    else:
        n_columns, n_rows = n_rows, n_columns
        base = chart_of(rows).encode(
            x=alt.X("feature:N", sort=None, title=None, axis=_axis(orient="top")),
            y=alt.Y("segment:N", sort=None, title="segment", axis=_axis()),
        )
    ink = alt.Color("ink:N", scale=None)
    size = max(8, min(13, round(CHART_WIDTH / n_columns / 4.5)))
    value = base.mark_text(fontSize=size, dy=-7 if has_noise else 0)
    layers: list[alt.Chart] = [
        base.mark_rect(stroke="#ffffff", strokeWidth=1).encode(
            color=alt.Color("colour:N", scale=None)
        ),
        value.encode(text="value:N", color=ink),
    ]
    if has_noise:
        noise_text = base.mark_text(fontSize=max(8, size - 2), dy=9)
        layers.append(noise_text.encode(text="noise:N", color=ink))
    chart = alt.layer(*layers).properties(width=CHART_WIDTH, height=_ROW * n_rows)
    beneath = ", and beneath it ± its noise" if has_noise else ""
    return Figure(
        name="profile-heat-map",
        title="Means per segment, in standard deviations from the average customer",
        description=(
            f"{_extremes(received)} Orange cells are above the average and blue ones below, the "
            f"stronger the farther; each holds its number{beneath}."
        ),
        chart=chart.to_dict(),
    )


def _extremes(received: Received) -> str:
    """The means that are farthest from the average, in words."""
    cells = sorted(
        ((summary, segment) for segment in received.table.segments for summary in segment.features),
        key=lambda cell: -abs(cell[0].deviation),
    )
    named = [
        f"{summary.feature} in segment {segment.number} ({signed(summary.deviation)})"
        for summary, segment in cells[:_MENTIONED]
    ]
    return f"Farthest from the average: {listed(named)}."


def _lines(received: Received) -> Figure:
    """Parallel coordinates, a panel per segment: no colour is needed, however many there are."""
    table = received.table
    rows: list[dict[str, Any]] = []
    for panel in table.segments:
        for segment in table.segments:
            for place, summary in enumerate(segment.features):
                noise = summary.deviation_noise or 0.0
                rows.append(
                    {
                        "panel": f"segment {panel.number}",
                        "segment": segment.number,
                        "own": segment.number == panel.number,
                        "place": place,
                        "feature": summary.feature,
                        "deviation": summary.deviation,
                        "low": summary.deviation - noise,
                        "high": summary.deviation + noise,
                    }
                )
    sides = [abs(row[side]) for row in rows for side in ("low", "high")]
    limit = max(1.0, math.ceil(max(sides) * 2) / 2)
    x = alt.X(
        "deviation:Q",
        title=None,
        scale=alt.Scale(domain=[-limit, limit]),
        axis=alt.Axis(values=[-limit, 0, limit], grid=True),
    )
    y = alt.Y("feature:N", sort=None, title=None, axis=_axis(grid=False))
    base, own, others = alt.Chart(), alt.datum.own, ~alt.datum.own
    line = {"order": alt.Order("place:Q"), "detail": "segment:N", "x": x, "y": y}
    mine = base.transform_filter(own)
    layered = alt.layer(
        base.mark_rule(color=MUTED, strokeDash=[3, 3]).encode(x=alt.datum(0)),
        base.transform_filter(others).mark_line(color=FAINT, strokeWidth=1).encode(**line),
        mine.mark_line(color=INK, strokeWidth=2).encode(**line),
        mine.mark_rule(color=INK, strokeWidth=5, opacity=0.45).encode(
            x=alt.X("low:Q"), x2="high:Q", y=y
        ),
        mine.mark_circle(color=INK, size=55, opacity=1).encode(x=x, y=y),
    ).properties(
        width=CHART_WIDTH // _PANELS_BESIDE - 20,
        height=_PANEL_ROW * len(table.feature_names),
    )
    chart = layered.facet(
        data=alt.InlineData(values=rows),
        facet=alt.Facet("panel:N", sort=None, title=None),
        columns=_PANELS_BESIDE,
    ).resolve_axis(x="independent")
    thick = "; the thick bar behind a dot is ± its noise" if _has_noise(received) else ""
    return Figure(
        name="profile-lines",
        title="Each segment's profile among the others, in standard deviations from the average",
        description=(
            "One panel per segment: a black line with dots joins its means from feature to "
            "feature, grey lines are the other segments, and the dashed line at 0 is the average "
            f"customer{thick}. In standard deviations, as in the figure above."
        ),
        chart=chart.to_dict(),
    )


def _has_noise(received: Received) -> bool:
    return any(
        summary.deviation_noise is not None
        for segment in received.table.segments
        for summary in segment.features
    )


def _axis(**options: Any) -> alt.Axis:
    return alt.Axis(ticks=False, domain=False, labelPadding=6, **options)


def kinds_of_mean(received: Received) -> dict[str, str]:
    """By feature, of what its mean is: a mean of logarithms is below that of the values."""
    kinds = {"identity": "values", "log1p": "logarithms"}
    return {feature.name: kinds[feature.transform] for feature in received.spec.features}


def _profile_table(received: Received) -> DataTable:
    kinds = kinds_of_mean(received)
    rows = tuple(
        (
            segment.number,
            summary.feature,
            kinds[summary.feature],
            summary.centre,
            summary.noise,
            *summary.ends,
            summary.deviation,
            summary.deviation_noise,
            summary.spread,
            summary.remark,
        )
        for segment in received.table.segments
        for summary in segment.features
    )
    digits = received.spec.release.significant_digits
    return DataTable(
        name="profiles",
        title="Every feature of every segment",
        columns=(
            Column("segment", "Segment"),
            Column("feature", "Feature"),
            Column("mean_of", "Mean of"),
            Column("mean", "Mean, original units", digits),
            Column("mean_noise", "± noise, original units", digits),
            Column("low", "Low, mean − sd", digits),
            Column("high", "High, mean + sd", digits),
            Column("deviation", "From the average, in sd", digits),
            Column("deviation_noise", "± noise, in sd", digits),
            Column("spread", "Spread within, in sd", digits),
            Column("remark", "Remark"),
        ),
        rows=rows,
    )
