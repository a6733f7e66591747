"""How numbers and lists are written for people: every released digit, and none that was not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from mpcseg.privacy.release import significant
from mpcseg.report.sections import Cell, Column, DataTable

MISSING = "–"
"""What stands where there is no value."""


def number(value: float, digits: int | None = None) -> str:
    """A number with thousands separated and without an exponent.

    Args:
        value: finite.
        digits: significant digits; all that it has if not given, as for released values, which the
            key node has rounded.
    """
    rounded = value if digits is None or isinstance(value, int) else significant(value, digits)
    text = f"{Decimal(repr(rounded)):,f}"
    return text.removesuffix(".0").replace("-", "−")


def share(value: float, digits: int | None = None) -> str:
    """A number between 0 and 1 as a percentage, with the digits that it has."""
    rounded = value if digits is None else significant(value, digits)
    text = f"{Decimal(repr(rounded)) * 100:f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) + "%"


def signed(value: float) -> str:
    """A deviation with its sign, in standard deviations."""
    return ("+" if value > 0 else "") + number(value) + " sd"


def noisy(text: str, noise: float | None) -> str:
    """A number with its noise beside it, where there is any."""
    return text if noise is None else f"{text} ± {number(noise)}"


def listed(parts: Sequence[str]) -> str:
    """Words in a row: "a, b and c"."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def counted(count: int, noun: str) -> str:
    """A count and its noun: "1 segment", "2 segments"."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def shown(cell: Cell, column: Column) -> str:
    """A table's cell for people."""
    if cell is None:
        return MISSING
    if isinstance(cell, str):
        return cell
    return share(cell, column.digits) if column.is_share else number(cell, column.digits)


def for_people(table: DataTable) -> DataTable:
    """A table without the columns in which nothing stands, such as noise where none was added."""
    kept = [
        place
        for place in range(len(table.columns))
        if any(row[place] is not None for row in table.rows)
    ]
    return replace(
        table,
        columns=tuple(table.columns[place] for place in kept),
        rows=tuple(tuple(row[place] for place in kept) for row in table.rows),
    )
