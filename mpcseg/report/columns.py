"""Profile columns as a section of the report: means, spreads and shares per segment."""

from __future__ import annotations

from typing import Any

import altair as alt

from mpcseg.report.charts import chart_of
from mpcseg.report.received import Received
from mpcseg.report.sections import Column, DataTable, Figure, Section
from mpcseg.report.style import BLUE, CHART_WIDTH, INK
from mpcseg.report.wording import counted, listed, number, share
from mpcseg.study.column_figures import (
    CategoryFigures,
    CellFigures,
    LabelFigures,
    NumericColumnFigures,
    NumericFigures,
)
from mpcseg.study.figures import Report

_ROW = 22
EVERYBODY = "Everybody"


def columns_section(received: Received) -> Section | None:
    """What is told of columns that were not clustered on; None where none are agreed."""
    report = received.results.report
    if report is None or not (report.numeric_columns or report.categories):
        return None
    figures = [_numeric_figure(column, report) for column in report.numeric_columns]
    figures += [_category_figure(category, report) for category in report.categories]
    tables = []
    if report.numeric_columns:
        tables.append(_numeric_table(report))
    if report.categories:
        tables.append(_category_table(report))
    return Section(
        name="columns",
        title="Columns that were not clustered on",
        paragraphs=tuple(_hidden(category) for category in report.categories if _hidden(category)),
        figures=tuple(figures),
        tables=tuple(tables),
        notes=_notes(received, report),
    )


def _notes(received: Received, report: Report) -> tuple[str, ...]:
    notes = [
        "These columns had no part in finding the segments. A difference between segments says "
        "what goes together, and not why."
    ]
    if report.numeric_columns and report.n_hidden:
        notes.append(
            "Where segments are hidden, means of everybody are not told: theirs would follow."
        )
    if received.table.is_noised:
        notes.append(
            "Numbers have noise that protects single customers; its standard deviation stands "
            "beside each of them. Shares are fitted to the size of their segment, and none is "
            "negative."
        )
    return tuple(notes)


def _hidden(category: CategoryFigures) -> str:
    if not category.hidden_labels:
        return ""
    labels = listed(category.hidden_labels)
    told = "together only" if category.segments[0].together else "not at all"
    return (
        f"Of {category.name}, {labels} are told {told}: in some segment one of them has too few "
        "customers to be shown, or would tell of one that has."
    )


def _segments(report: Report) -> list[str]:
    return [f"Segment {segment.number}" for segment in report.segments]


def _numeric_rows(column: NumericColumnFigures, report: Report) -> list[tuple[str, NumericFigures]]:
    rows = list(zip(_segments(report), column.segments, strict=True))
    return rows if column.overall is None else [*rows, (EVERYBODY, column.overall)]


def _category_rows(category: CategoryFigures, report: Report) -> list[tuple[str, LabelFigures]]:
    rows = list(zip(_segments(report), category.segments, strict=True))
    return [*rows, (EVERYBODY, category.overall)]


def _label_rows(
    category: CategoryFigures, row: LabelFigures
) -> list[tuple[str, CellFigures | None]]:
    """Labels with their cells; those that are hidden also as one."""
    rows = list(zip(category.labels, row.cells, strict=True))
    return rows if row.together is None else [*rows, (_together(category), row.together)]


def _together(category: CategoryFigures) -> str:
    return " or ".join(category.hidden_labels)


def _numeric_figure(column: NumericColumnFigures, report: Report) -> Figure:
    rows = _numeric_rows(column, report)
    data: list[dict[str, Any]] = [
        {
            "segment": segment,
            "centre": cell.centre,
            "low": cell.centre if cell.low is None else cell.low,
            "high": cell.centre if cell.high is None else cell.high,
            "label": number(cell.centre),
        }
        for segment, cell in rows
    ]
    base = chart_of(data).encode(y=alt.Y("segment:N", sort=None, title=None))
    chart = alt.layer(
        base.mark_rule(color=INK, strokeWidth=2).encode(
            x=alt.X("low:Q", title=column.name, scale=alt.Scale(zero=False, padding=24)),
            x2="high:Q",
        ),
        base.mark_point(color=BLUE, filled=True, size=70, opacity=1).encode(x="centre:Q"),
        base.mark_text(dy=-11).encode(x="centre:Q", text="label:N"),
    ).properties(width=CHART_WIDTH, height=2 * _ROW * len(rows))
    said = "; ".join(f"{segment} {number(cell.centre)}" for segment, cell in rows)
    return Figure(
        name=f"column-{report.numeric_columns.index(column) + 1}",
        title=f"{column.name}: mean, and mean ± one standard deviation",
        description=f"Means of {column.name}: {said}.",
        chart=chart.to_dict(),
    )


def _category_figure(category: CategoryFigures, report: Report) -> Figure:
    data: list[dict[str, Any]] = [
        {
            "segment": segment,
            "value": label,
            "share": cell.share,
            "low": max(cell.share - (cell.share_noise or 0), 0),
            "high": min(cell.share + (cell.share_noise or 0), 1),
            "label": share(cell.share),
        }
        for segment, row in _category_rows(category, report)
        for label, cell in _label_rows(category, row)
        if cell is not None
    ]
    base = chart_of(data).encode(y=alt.Y("value:N", sort=None, title=None))
    scale = alt.Scale(domain=[0, 1.25], nice=False)
    axis = alt.Axis(format="%", values=[0, 0.25, 0.5, 0.75, 1])
    layers = [
        base.mark_bar(color=BLUE).encode(
            x=alt.X("share:Q", scale=scale, axis=axis, title="share of the segment's customers")
        )
    ]
    if any(row["high"] > row["low"] for row in data):
        layers.append(
            base.mark_rule(color=INK, strokeWidth=2).encode(
                x=alt.X("low:Q", scale=scale), x2="high:Q"
            )
        )
    layers.append(
        base.mark_text(align="left", dx=6).encode(x=alt.X("high:Q", scale=scale), text="label:N")
    )
    shown = list(dict.fromkeys(row["value"] for row in data))
    chart = (
        alt.layer(*layers)
        .properties(width=CHART_WIDTH * 0.8, height=_ROW * max(len(shown), 1))
        .facet(row=alt.Row("segment:N", sort=None, title=None, header=alt.Header(labelAngle=0)))
    )
    place = report.categories.index(category) + 1
    n_segments = counted(len(report.segments), "segment")
    return Figure(
        name=f"category-{place}",
        title=f"{category.name}: shares per segment",
        description=(
            f"Bars of the shares of {listed(shown)} in {n_segments} and of everybody."
            if shown
            else f"Nothing of {category.name} can be shown."
        ),
        chart=chart.to_dict(),
    )


def _numeric_table(report: Report) -> DataTable:
    return DataTable(
        name="columns_numeric",
        title="Means and spreads",
        columns=(
            Column("column", "column"),
            Column("segment", "segment"),
            Column("mean", "mean"),
            Column("noise", "± noise"),
            Column("low", "mean − sd"),
            Column("high", "mean + sd"),
        ),
        rows=tuple(
            (column.name, segment, cell.centre, cell.noise, cell.low, cell.high)
            for column in report.numeric_columns
            for segment, cell in _numeric_rows(column, report)
        ),
    )


def _category_table(report: Report) -> DataTable:
    return DataTable(
        name="columns_categories",
        title="Numbers of customers and shares",
        columns=(
            Column("column", "column"),
            Column("segment", "segment"),
            Column("value", "value"),
            Column("size", "customers"),
            Column("size_noise", "± noise"),
            Column("share", "share", is_share=True),
            Column("share_noise", "± noise in the share", is_share=True),
        ),
        rows=tuple(
            (category.name, segment, label, *_cells(cell))
            for category in report.categories
            for segment, row in _category_rows(category, report)
            for label, cell in _label_rows(category, row)
        ),
    )


def _cells(cell: CellFigures | None) -> tuple[int | float | None, ...]:
    if cell is None:
        return (None,) * 4
    return (cell.size, cell.noise, cell.share, cell.share_noise)
