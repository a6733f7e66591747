"""Sizes and profiles of the segments, as figures and tables."""

from __future__ import annotations

from typing import Any

import altair as alt

from mpcseg.report.charts import chart_of
from mpcseg.report.received import Received
from mpcseg.report.sections import Figure, Section
from mpcseg.report.style import BLUE, CHART_WIDTH, INK
from mpcseg.report.wording import counted, noisy, number, share

_BAR = 34


def sizes_section(received: Received) -> Section | None:
    """How many customers each segment has, with the noise in the count."""
    table = received.table
    if not table.segments:
        return None
    notes = [
        "Sizes are sums of approximate assignment weights, so that they can miss the number of "
        "customers by a little, and need not add up to the total."
    ]
    if table.is_noised:
        notes.append(
            "The line on each bar is ± one standard deviation of the noise that protects single "
            "customers: about two times out of three the size without noise lies on it."
        )
    largest = table.segments[0]
    return Section(
        name="sizes",
        title="Sizes of the segments",
        figures=(
            Figure(
                name="sizes",
                title="Customers per segment",
                description=(
                    f"Bars of {counted(len(table.segments), 'segment')}. The largest, segment "
                    f"{largest.number}, has {noisy(number(largest.size), largest.noise)} customers "
                    f"({share(largest.share)}); the smallest, segment {table.segments[-1].number}, "
                    f"has {noisy(number(table.segments[-1].size), table.segments[-1].noise)}."
                ),
                chart=_sizes_chart(received),
            ),
        ),
        notes=tuple(notes),
    )


def _sizes_chart(received: Received) -> dict[str, Any]:
    rows: list[dict[str, Any]] = [
        {
            "segment": f"Segment {segment.number}",
            "size": segment.size,
            "low": max(segment.size - (segment.noise or 0), 0),
            "high": segment.size + (segment.noise or 0),
            "label": noisy(number(segment.size), segment.noise),
        }
        for segment in received.table.segments
    ]
    largest = max(row["high"] for row in rows) or 1
    base = chart_of(rows).encode(
        y=alt.Y("segment:N", sort=None, title=None, axis=alt.Axis(ticks=False, domain=False)),
    )
    scale = alt.Scale(domain=[0, largest * 1.45], nice=False)
    bars = base.mark_bar(color=BLUE).encode(
        x=alt.X(
            "size:Q",
            scale=scale,
            title="customers",
            axis=alt.Axis(tickCount=4, tickMinStep=1, format=",d"),
        )
    )
    layers = [bars]
    if received.table.is_noised:
        layers.append(
            base.mark_rule(color=INK, strokeWidth=2).encode(
                x=alt.X("low:Q", scale=scale), x2="high:Q"
            )
        )
    layers.append(
        base.mark_text(align="left", dx=6).encode(x=alt.X("high:Q", scale=scale), text="label:N")
    )
    chart = alt.layer(*layers).properties(width=CHART_WIDTH, height=_BAR * len(rows))
    return chart.to_dict()
