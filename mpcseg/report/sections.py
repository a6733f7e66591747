"""What a report is made of: sections with words, figures and tables, whatever file they end up in.

A part of the report (segments, fairness, drift, …) is a function from what an organisation has
received to a `Section`; pages, spreadsheets and tables for other programs are made of sections and
know nothing of what is in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Cell = str | int | float | None
"""None where there is no value: hidden, or not defined."""


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        name: for programs: a word in lower case with underscores.
        title: for people, with the unit where there is one.
        digits: significant digits that people are shown; None for text and whole numbers.
        is_share: a number between 0 and 1 that people read as a percentage.
    """

    name: str
    title: str
    digits: int | None = None
    is_share: bool = False


@dataclass(frozen=True)
class DataTable:
    """A table in long or wide form, one kind of thing per row.

    Attributes:
        name: for programs, of the file or sheet: a word in lower case with underscores.
        title: for people.
        columns: in order; their names are unique.
        rows: one cell per column.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Figure:
    """A picture, and the same in words for whoever cannot see it.

    Attributes:
        name: unique in the report: a word in lower case with hyphens.
        title: what it shows.
        description: what is to be seen, in a sentence or two, with the numbers that matter.
        chart: a Vega-Lite specification with its data inside (of an Altair chart: `to_dict()`).
    """

    name: str
    title: str
    description: str
    chart: Mapping[str, Any]


@dataclass(frozen=True)
class Section:
    """One part of a report.

    Attributes:
        name: unique in the report: a word in lower case with hyphens.
        title: its heading.
        paragraphs: plain words, what was found first.
        figures: pictures; each stands above the tables.
        tables: of which the pictures are made, and more.
        notes: how it is to be read, and what it does not say.
    """

    name: str
    title: str
    paragraphs: tuple[str, ...] = ()
    figures: tuple[Figure, ...] = ()
    tables: tuple[DataTable, ...] = ()
    notes: tuple[str, ...] = ()
