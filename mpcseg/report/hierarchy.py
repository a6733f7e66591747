"""Many segments joined into fewer: Ward's hierarchy and merging by density, as a section."""

from __future__ import annotations

from typing import Any

import altair as alt

from mpcseg.report.charts import chart_of
from mpcseg.report.received import Received
from mpcseg.report.sections import Cell, Column, DataTable, Figure, Section
from mpcseg.report.style import BLUE, CHART_WIDTH, FAINT
from mpcseg.report.wording import counted, number, share
from mpcseg.shapes.hierarchy import Hierarchy
from mpcseg.shapes.merged import MergedSegments
from mpcseg.shapes.merging import hierarchy_of, merged_by
from mpcseg.study.statistics import SegmentStatistics, released_statistics

MANY = 8
"""Segments from which on joining them is worth a section."""

_DIGITS = 3
_LEAF = 24  # pixels
_BETWEEN = 10.0  # scipy puts leaves at 5, 15, 25, …


def hierarchy_section(received: Received) -> Section | None:
    """How segments can be joined; None for fewer than `MANY` segments with customers."""
    report = received.results.report
    if report is None or len(report.segments) < MANY:
        return None
    statistics = released_statistics(received.spec, received.results)
    filled = statistics.select(statistics.filled)
    if filled.n_segments < MANY:
        return None
    tree = hierarchy_of(filled)
    by_method = [
        merged_by(received.spec, received.results, method) for method in ("ward", "density")
    ]
    ward, density = by_method
    return Section(
        name="hierarchy",
        title="Segments joined into larger ones",
        paragraphs=(
            f"By Ward's method, which keeps segments compact, {counted(tree.n_leaves, 'segment')} "
            f"fall into {len(ward.segments):,} before the largest gap. By density, which follows "
            f"shapes of any kind, {_parted(density)}.",
        ),
        figures=(_figure(tree, filled, len(ward.segments)),),
        tables=(_joinings(tree, filled), _merged(by_method)),
        notes=(
            "Computed from the released sizes, means and spreads; nothing more was released.",
            "Another number of segments, and a file to label customers by: mpcseg shapes.",
            *dict.fromkeys(note for merged in by_method for note in merged.notes[1:]),
        ),
    )


def _parted(density: MergedSegments) -> str:
    if len(density.segments) == 1:
        return "no valley parts any of them"
    return f"valleys part them into {len(density.segments):,}"


def _shares(tree: Hierarchy, filled: SegmentStatistics) -> list[float]:
    """What each joining adds to the spread within segments, by the spread of all customers."""
    spreads = filled.standardised(filled.spreads)
    within = float(filled.sizes @ (spreads**2).sum(axis=1))
    total = within + float(tree.costs.sum())
    return [float(cost) / total if total else 0.0 for cost in tree.costs]


def _figure(tree: Hierarchy, filled: SegmentStatistics, n_segments: int) -> Figure:
    drawn, shares = tree.drawing(), _shares(tree, filled)
    # scipy has heights of sqrt(2·cost); readers get what a joining adds.
    top = float(tree.linkage[-1, 2]) ** 2 or 1.0
    largest = shares[-1]
    lines = [
        {"join": join, "place": place, "across": across, "added": height**2 / top * largest}
        for join, (acrosses, heights) in enumerate(
            zip(drawn["icoord"], drawn["dcoord"], strict=True)
        )
        for place, (across, height) in enumerate(zip(acrosses, heights, strict=True))
    ]
    leaves = [
        {
            "across": (place + 0.5) * _BETWEEN,
            "added": 0.0,
            "label": f"{filled.numbers[leaf]} ({filled.sizes[leaf]:,.0f})",
        }
        for place, leaf in enumerate(drawn["leaves"])
    ]
    y = alt.Y(
        "across:Q",
        scale=alt.Scale(domain=[0, _BETWEEN * tree.n_leaves], nice=False),
        axis=None,
    )
    x = alt.X(
        "added:Q",
        scale=alt.Scale(type="sqrt", domain=[0, largest or 1.0], nice=False),
        title="spread added by joining, of all",
        axis=alt.Axis(format=".0%", tickCount=4, grid=False),
    )
    layers = [
        chart_of(lines).mark_line(color=BLUE).encode(x=x, y=y, detail="join:N", order="place:Q"),
        chart_of(leaves).mark_text(align="right", dx=-6).encode(x=x, y=y, text="label:N"),
    ]
    if 1 < n_segments <= len(shares):
        # Between the last joining that is made and the first that is not.
        cut = [{"added": (shares[-n_segments] + shares[-n_segments + 1]) / 2}]
        layers.append(
            chart_of(cut).mark_rule(color=FAINT, strokeDash=[4, 3]).encode(x=alt.X("added:Q"))
        )
    chart = alt.layer(*layers).properties(width=CHART_WIDTH, height=_LEAF * tree.n_leaves)
    return Figure(
        name="dendrogram",
        title="Which segments are joined first",
        description=(
            f"A tree of {counted(tree.n_leaves, 'segment')}, named by number and customers. What "
            "is joined farther to the left is more alike. The last joining alone adds "
            f"{share(largest, _DIGITS)} of the spread of all customers. The dashed line cuts the "
            f"tree into {counted(n_segments, 'segment')}."
        ),
        chart=chart.to_dict(),
    )


def _joinings(tree: Hierarchy, filled: SegmentStatistics) -> DataTable:
    members: list[list[int]] = [[int(one)] for one in filled.numbers]
    rows: list[tuple[Any, ...]] = []
    for (first, second, _, _), added in zip(tree.linkage, _shares(tree, filled), strict=True):
        pair = sorted((members[int(first)], members[int(second)]))
        rows.append((tree.n_leaves - len(rows) - 1, *map(_named, pair), added))
        members.append(sorted(pair[0] + pair[1]))
    return DataTable(
        name="joinings",
        title="Joinings by Ward's method, the cheapest first",
        columns=(
            Column("segments_left", "Segments left"),
            Column("first", "Joins segments"),
            Column("second", "with"),
            Column("added_spread", "Spread added, of all", _DIGITS, is_share=True),
        ),
        rows=tuple(rows),
    )


def _merged(by_method: list[MergedSegments]) -> DataTable:
    has_noise = any(one.size_noise is not None for one in by_method[0].segments)
    columns = [
        Column("method", "Method"),
        Column("segment", "Merged segment"),
        Column("members", "Made of"),
        Column("size", "Customers"),
        Column("share", "Of those shown", _DIGITS, is_share=True),
    ]
    if has_noise:
        columns += [
            Column("size_noise", "± noise"),
            Column("together", "Stays together within the noise", _DIGITS, is_share=True),
        ]
    rows: list[tuple[Cell, ...]] = []
    for merged in by_method:
        for one in merged.segments:
            noise = (one.size_noise, one.together) if has_noise else ()
            named = _named(list(one.members))
            rows.append((merged.method, one.number, named, one.size, one.share, *noise))
    return DataTable(
        name="merged_segments",
        title="Merged segments",
        columns=tuple(columns),
        rows=tuple(rows),
    )


def _named(numbers: list[int]) -> str:
    return ", ".join(number(one) for one in numbers)
