"""Cells of a customer table made into numbers and texts, the same for every kind of source.

Runs at the party node. Cells come as Arrow arrays. Nothing here ever puts a cell's content into a
message: what is wrong is said with the table, the column and the numbers of the records.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mpcseg.errors import (
    MissingValueError,
    NotANumberError,
    TransformDomainError,
    UnreadableTableError,
)

Mask = npt.NDArray[np.bool_]

# Only plain decimal numbers. A parser that takes '1_000', '0x1F' or 'True' for a number would
# accept a column that is not what the study means.
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_NOT_FINITE = r"^(?i:[+-]?(nan|inf|infinity))$"
_THOUSANDS = r"^[+-]?[0-9]{1,3}([ ,'.][0-9]{3})+([.,][0-9]+)?$"
_DECIMAL_COMMA = r"^[+-]?[0-9]+,[0-9]+$"
_BOOLEAN = r"^(?i:true|false|yes|no)$"
_PLACEHOLDER = r"^(?i:n/?a|#n/?a|null|none|nil|missing|unknown|-+|\?+)$"

# The first pattern that fits the first bad cell decides the hint; the cell itself is not shown.
_HINTS = (
    (
        _THOUSANDS,
        "The cells look like numbers with thousands separators: write 1234.5, not 1,234.5.",
    ),
    (_DECIMAL_COMMA, "The cells look like numbers with a decimal comma: write 1.5, not 1,5."),
    (_BOOLEAN, "The cells look like yes-or-no values: write 1 and 0."),
    (
        _PLACEHOLDER,
        "The cells look like a mark for 'not known': drop these records or fill them in.",
    ),
)
_OTHER_HINT = "Write plain numbers such as 1234.5, without units, currency signs or separators."

_NUMERIC_TYPES = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
_TEXT_TYPES = (pa.types.is_string, pa.types.is_large_string)
_SHOWN_ROWS = 5
_LARGEST_EXACT = 2.0**53

COUNTED_IN_FILE = "(not counting the heading)"
COUNTED_IN_DATABASE = "(in the order in which the database gives them)"


@dataclass(frozen=True)
class Place:
    """Where some rows stand, for messages.

    Attributes:
        table: what messages call the table.
        numbers: shape (n,), the rows' numbers, counted from 1 and without blank lines.
        counted: how they are counted, in parentheses.
    """

    table: str
    numbers: npt.NDArray[np.int64] = field(repr=False)
    counted: str = COUNTED_IN_FILE

    def where(self, mask: Mask) -> Place:
        """The rows that a mask of shape (n,) marks."""
        return Place(self.table, self.numbers[mask], self.counted)

    def text(self) -> str:
        """``record 7 (…)`` or ``records 7, 9 and 40 more (…)``; there is at least one."""
        shown = ", ".join(str(number) for number in self.numbers[:_SHOWN_ROWS])
        if len(self.numbers) == 1:
            return f"record {shown} {self.counted}"
        if len(self.numbers) <= _SHOWN_ROWS:
            return f"records {shown} {self.counted}"
        return f"records {shown} and {len(self.numbers) - _SHOWN_ROWS} more {self.counted}"


def records_text(n_records: int) -> str:
    """A number of records as text: ``1 record`` or ``1,000 records``."""
    return "1 record" if n_records == 1 else f"{n_records:,} records"


def finite_numbers(cells: Any, place: Place, column: str) -> npt.NDArray[np.float64]:
    """One column as finite numbers.

    Args:
        cells: an Arrow array of n cells.
        place: of the n rows.
        column: the column's name.

    Raises:
        MissingValueError: an empty cell, a NaN or an infinity.
        NotANumberError: text, a yes-or-no value or a date where a number must stand.
    """
    kind = cells.type
    if is_text(cells):
        values = _parsed(cells, place, column)
    elif _is_numeric(cells) or pa.types.is_null(kind):
        values = _cast(cells)
    else:
        raise NotANumberError(f"{place.table}: column '{column}' is of type {kind}", _OTHER_HINT)
    bad = ~np.isfinite(values)
    if bad.any():
        raise MissingValueError(
            f"{place.table}: column '{column}' has an empty cell, a NaN or an infinity in "
            f"{place.where(bad).text()}",
            "Drop these records or fill the cells in before the study.",
        )
    return values


def verify_domain(
    values: npt.NDArray[np.float64], transform: str, place: Place, column: str
) -> None:
    """Check that the agreed transform is defined for every value of a column.

    Raises:
        TransformDomainError: a value where it is not.
    """
    bad = values <= -1
    if transform == "log1p" and bad.any():
        raise TransformDomainError(
            f"{place.table}: column '{column}' is -1 or less in {place.where(bad).text()}, where "
            "log1p is not defined",
            "Correct these records, or agree on transform 'identity' for this feature.",
        )


def texts(cells: Any) -> npt.NDArray[np.object_]:
    """Cells as trimmed texts, shape (n,); "" for an empty cell.

    Identifiers are compared in this form. A number is written the shortest way, so that 7 and 7.0
    are one customer wherever a table that has gone through another tool says 7.0.

    Args:
        cells: an Arrow array of n cells.
    """
    kind = cells.type
    if not (is_text(cells) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
        cells = pa.array([shortest(cell) for cell in cells.to_pylist()], pa.string())
    trimmed = _trimmed(pc.cast(cells, pa.large_string()))
    return np.array(trimmed.to_pylist(), dtype=np.object_)


def consenting(cells: Any, value: str, place: Place, column: str) -> Mask:
    """Which rows hold exactly the agreed consent, shape (n,).

    Text must be the agreed text letter for letter, but for blanks around it: with ``true`` agreed,
    ``True`` is none. A number must equal the agreed number, so that 1 and 1.0 are the same to a
    column of numbers, but not to a column of text. A yes-or-no column consents by true or false,
    whatever the case of the agreed word, and never by 1. An empty cell is no consent.

    Args:
        cells: an Arrow array of n cells.
        value: the agreed value.
        place: of the n rows.
        column: the column's name.

    Raises:
        UnreadableTableError: a column of dates or other things that are none of the three.
    """
    value = value.strip()
    nobody = np.zeros(len(cells), dtype=np.bool_)
    if not value or pa.types.is_null(cells.type):
        return nobody
    if is_text(cells):
        agreed = pc.equal(_trimmed(cells), pa.scalar(value, cells.type))
    elif _is_numeric(cells):
        if not _matches(value, _NUMBER):
            return nobody
        return np.asarray(_cast(cells) == float(value), dtype=np.bool_)
    elif pa.types.is_boolean(cells.type):
        if value.casefold() not in ("true", "false"):
            return nobody
        agreed = pc.equal(
            pc.fill_null(cells, value.casefold() == "false"), value.casefold() == "true"
        )
    else:
        raise UnreadableTableError(
            f"{place.table}: column '{column}' is of type {cells.type}, which says no consent",
            "Give consent as a text, a number or a yes-or-no value.",
        )
    mask: Mask = agreed.to_numpy(zero_copy_only=False)
    return mask


def comparable(cells: Any) -> list[object]:
    """Cells for telling equal rows from different ones: numbers by value, None where empty.

    Args:
        cells: an Arrow array.

    Raises:
        NotANumberError: of a type that Python cannot read.
    """
    if _is_numeric(cells):
        return [None if math.isnan(value) else value for value in _cast(cells).tolist()]
    if not is_text(cells):
        try:
            return list(cells.to_pylist())
        except (OverflowError, ValueError):  # a time beyond what Python can name
            raise NotANumberError(
                f"a column is of type {cells.type}, and holds values that cannot be read",
                "Give features as numbers.",
            ) from None
    trimmed = _trimmed(cells)
    is_number = pc.match_substring_regex(trimmed, _NUMBER).to_pylist()
    return [
        (float(text) if number else text) if text else None
        for text, number in zip(trimmed.to_pylist(), is_number, strict=True)
    ]


def is_text(cells: Any) -> bool:
    """Whether an Arrow array holds text."""
    return any(test(cells.type) for test in _TEXT_TYPES)


def _is_numeric(cells: Any) -> bool:
    return any(test(cells.type) for test in _NUMERIC_TYPES)


def _trimmed(cells: Any) -> Any:
    return pc.utf8_trim_whitespace(pc.fill_null(cells, ""))


def shortest(cell: object) -> str | None:
    """A cell as text: a whole number without its fraction, yes-or-no as true or false.

    Args:
        cell: what Arrow or a database driver gives; None where there is nothing.
    """
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return None
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float | Decimal) and math.isfinite(cell):
        whole = int(cell)
        if whole == cell and abs(whole) < _LARGEST_EXACT:
            return str(whole)
    return str(cell)


def _cast(cells: Any) -> npt.NDArray[np.float64]:
    """Numbers of any Arrow type as float64, null as NaN."""
    numbers: npt.NDArray[np.float64] = pc.fill_null(
        pc.cast(cells, pa.float64(), safe=False), float("nan")
    ).to_numpy(zero_copy_only=False)
    return numbers


def _parsed(cells: Any, place: Place, column: str) -> npt.NDArray[np.float64]:
    """Text as float64; an empty cell and the words nan and inf become NaN."""
    cells = _trimmed(cells)
    is_number = pc.match_substring_regex(cells, _NUMBER)
    is_missing = pc.or_(pc.equal(cells, ""), pc.match_substring_regex(cells, _NOT_FINITE))
    bad = pc.invert(pc.or_(is_number, is_missing))
    if pc.any(bad).as_py():
        first = cells.filter(bad)[0].as_py()
        hint = next((text for pattern, text in _HINTS if _matches(first, pattern)), _OTHER_HINT)
        raise NotANumberError(
            f"{place.table}: column '{column}' holds text where a number must stand, in "
            f"{place.where(bad.to_numpy(zero_copy_only=False)).text()}",
            hint,
        )
    # A leading + is fine for a person and unknown to Arrow's cast.
    plain = pc.replace_substring_regex(cells, r"^\+", "")
    return _cast(pc.if_else(is_number, plain, pa.scalar(None, cells.type)))


def _matches(text: str, pattern: str) -> bool:
    return bool(pc.match_substring_regex(pa.scalar(text), pattern).as_py())
