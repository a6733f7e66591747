"""Shapes and lengths of the profile columns' figures, known from the agreement alone."""

from __future__ import annotations

from mpcseg.study.column_figures import (
    CategoryFigures,
    CellFigures,
    LabelFigures,
    NumericColumnFigures,
    NumericFigures,
    category_names,
)
from mpcseg.study.figures import Report
from mpcseg.study.spec import StudySpec


def columns_fit(spec: StudySpec, report: Report) -> bool:
    """Whether a report's columns are those of the agreement, with a cell for every segment."""
    n_segments = len(report.segments)
    numeric = tuple(column.name for column in spec.numeric_columns) if n_segments else ()
    categories = category_names(spec) if n_segments else ()
    found = tuple((one.name, one.labels, one.protected) for one in report.categories)
    same = tuple(one.name for one in report.numeric_columns) == numeric and found == categories
    same &= all(len(one.segments) == n_segments for one in report.numeric_columns)
    for one in report.categories:
        rows = (one.overall, *one.segments)
        same &= len(one.segments) == n_segments
        same &= all(len(row.cells) == len(one.labels) for row in rows)
    return same and report.fairness_threshold == spec.fairness.threshold


def longest_numeric(
    spec: StudySpec, n_segments: int, number: float
) -> tuple[NumericColumnFigures, ...]:
    """The longest figures that numeric columns can have.

    Args:
        spec: the agreement.
        n_segments: of which there are figures, at most.
        number: as wide as a number can be.
    """
    cell = NumericFigures(number, number, number, number)
    return tuple(
        NumericColumnFigures(column.name, cell, (cell,) * n_segments)
        for column in spec.numeric_columns
    )


def longest_categories(
    spec: StudySpec, n_segments: int, count: int, number: float
) -> tuple[CategoryFigures, ...]:
    """The longest figures that categories can have; as `longest_numeric`.

    Args:
        spec: the agreement.
        n_segments: of which there are figures, at most.
        count: as wide as a whole number can be.
        number: as wide as a number can be.
    """
    cell = CellFigures(count, number, number, number)
    return tuple(
        CategoryFigures(name, labels, protected, row, (row,) * n_segments)
        for name, labels, protected in category_names(spec)
        for row in [LabelFigures((cell,) * len(labels), cell)]
    )
