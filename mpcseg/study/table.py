"""Reading the agreed columns of a party's customer table, with every cell checked.

Runs at the party node, on its own disk. Nothing here ever puts a cell's content into a message:
what is wrong is said with the file, the column and the numbers of the records. They are counted
from 1, without the heading and without blank lines.
"""

from __future__ import annotations

import csv
import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from mpcseg.errors import (
    DuplicateIdError,
    EmptyTableError,
    MissingColumnError,
    MissingValueError,
    NotANumberError,
    UnreadableTableError,
)

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
_SHOWN_ROWS = 5
_COUNTED = "(not counting the heading)"
_BLOCK_BYTES = 1 << 22


@dataclass(frozen=True)
class Table:
    """The used columns of a customer table; every value is a finite number.

    Attributes:
        values: shape (n, d), original units, float64; columns in the order asked for.
        identifiers: n texts, or None where no identifier column was named.
    """

    values: npt.NDArray[np.float64] = field(repr=False)
    identifiers: list[str] | None = field(repr=False)


def read_table(path: Path, id_column: str | None, columns: Sequence[str]) -> Table:
    """Read columns of a CSV or Parquet file and check every cell.

    Args:
        path: ``.csv`` (comma-separated, UTF-8, with a heading) or ``.parquet``.
        id_column: the column of identifiers, checked to be unique; None where there is none.
        columns: the numeric columns to read; no others are looked at.

    Raises:
        UnreadableTableError: absent, not a table, of another kind, or with uneven rows.
        MissingColumnError: a column is not there.
        EmptyTableError: no records.
        MissingValueError: an empty cell, a NaN or an infinity.
        NotANumberError: text, a yes-or-no value or a date where a number must stand.
        DuplicateIdError: an identifier that stands twice.
    """
    wanted = list(dict.fromkeys([*([id_column] if id_column else []), *columns]))
    try:
        read = _READERS[path.suffix.lower()]
    except KeyError:
        raise UnreadableTableError(
            f"{path} is neither .csv nor .parquet", "Export the table as CSV or Parquet."
        ) from None
    try:
        arrow = read(path, wanted)
    except OSError as error:
        raise UnreadableTableError(
            f"{path} cannot be read: {error.strerror or 'unknown reason'}",
            "Check the path and that this user may read the file.",
        ) from None
    if arrow.num_rows == 0:
        raise EmptyTableError(f"{path} has no records", "Check how the table was exported.")
    identifiers = _identifiers(arrow, path, id_column) if id_column else None
    values = np.empty((arrow.num_rows, len(columns)))
    for index, column in enumerate(columns):
        values[:, index] = _numbers(arrow.column(column).combine_chunks(), path, column)
    return Table(values, identifiers)


def rows_text(mask: npt.NDArray[np.bool_]) -> str:
    """Which records a mask marks: ``record 7 (…)`` or ``records 7, 9 and 40 more (…)``.

    Args:
        mask: shape (n,); at least one entry is set.
    """
    numbers = np.flatnonzero(mask) + 1
    shown = ", ".join(str(number) for number in numbers[:_SHOWN_ROWS])
    if len(numbers) == 1:
        return f"record {shown} {_COUNTED}"
    if len(numbers) <= _SHOWN_ROWS:
        return f"records {shown} {_COUNTED}"
    return f"records {shown} and {len(numbers) - _SHOWN_ROWS} more {_COUNTED}"


def records_text(n_records: int) -> str:
    """A number of records as text: ``1 record`` or ``1,000 records``."""
    return "1 record" if n_records == 1 else f"{n_records:,} records"


# --- files ---------------------------------------------------------------------------------


def _read_csv(path: Path, wanted: list[str]) -> Any:
    """Every cell as text: what is a number is decided in one place, `_numbers`.

    Arrow's reader, unlike the one in pandas, refuses a row that is longer than the heading when
    only some columns are read. An unquoted 1,234 would otherwise shift the cells behind it.
    """
    _verify_heading(path, wanted)
    uneven: list[int] = []

    def remember(row: Any) -> str:
        uneven.append(row.number)
        return "skip"

    try:
        table = pyarrow.csv.read_csv(
            path,
            read_options=pyarrow.csv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES),
            parse_options=pyarrow.csv.ParseOptions(
                newlines_in_values=True, invalid_row_handler=remember
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                include_columns=wanted,
                column_types=dict.fromkeys(wanted, pa.string()),
                strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid:  # its message quotes the file's content
        raise UnreadableTableError(
            f"{path} is not a comma-separated UTF-8 table",
            "Export it as CSV with commas, UTF-8 and one heading line.",
        ) from None
    if uneven:
        row = uneven[0] - 1 if uneven[0] else None  # Arrow counts the heading as row 1
        raise UnreadableTableError(
            f"{path}: {f'record {row} {_COUNTED}' if row else 'a record'} has more or fewer "
            "cells than the heading"
            + (f" ({len(uneven)} such records)" if len(uneven) > 1 else ""),
            "A comma inside a cell, as in 1,234, needs quotes; a decimal comma must be a point.",
        )
    return table


def _verify_heading(path: Path, wanted: list[str]) -> None:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            heading = next((row for row in csv.reader(file) if row), None)
    except (UnicodeDecodeError, csv.Error):
        raise UnreadableTableError(
            f"{path} is not UTF-8 text", "Export it as CSV in UTF-8."
        ) from None
    if heading is None:
        raise EmptyTableError(f"{path} is empty", "Check how the table was exported.")
    _verify_columns(path, heading, wanted)


def _read_parquet(path: Path, wanted: list[str]) -> Any:
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            _verify_columns(path, file.schema_arrow.names, wanted)
            return file.read(columns=wanted)
    except pa.ArrowInvalid:
        raise UnreadableTableError(f"{path} is not a Parquet file", "Export it again.") from None


_READERS = {".csv": _read_csv, ".parquet": _read_parquet}


def _verify_columns(path: Path, heading: list[str], wanted: list[str]) -> None:
    """Refuse missing and repeated columns.

    The heading is never quoted: in a file without one it would be somebody's record. A name close
    to the wanted one can only be a heading.
    """
    for column in wanted:
        if heading.count(column) > 1:
            raise UnreadableTableError(
                f"{path}: column '{column}' stands {heading.count(column)} times in the heading",
                "Keep one of them.",
            )
    missing = [column for column in wanted if column not in heading]
    if not missing:
        return
    folded = {name.strip().casefold(): name for name in heading}
    close = difflib.get_close_matches(missing[0].casefold(), folded, n=1, cutoff=0.75)
    if close:
        hint = f"Did you mean '{folded[close[0]]}'? A party may map its own column names."
    elif len(heading) == 1:
        hint = "The heading has one cell only: is the table separated by something but commas?"
    else:
        hint = "Check the first line of the file; a party may map its own column names."
    names = ", ".join(f"'{column}'" for column in missing)
    raise MissingColumnError(f"{path} has no column {names}", hint)


# --- cells ---------------------------------------------------------------------------------


def _numbers(cells: Any, path: Path, column: str) -> npt.NDArray[np.float64]:
    """One column as finite numbers; ``cells`` is an Arrow array."""
    kind = cells.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        values = _parsed(cells, path, column)
    elif any(test(kind) for test in _NUMERIC_TYPES):
        values = _cast(cells)
    else:
        raise NotANumberError(f"{path}: column '{column}' is of type {kind}", _OTHER_HINT)
    bad = ~np.isfinite(values)
    if bad.any():
        raise MissingValueError(
            f"{path}: column '{column}' has an empty cell, a NaN or an infinity in "
            f"{rows_text(bad)}",
            "Drop these records or fill the cells in before the study.",
        )
    return values


def _cast(cells: Any) -> npt.NDArray[np.float64]:
    """Numbers of any Arrow type as float64, null as NaN."""
    numbers: npt.NDArray[np.float64] = pc.fill_null(
        pc.cast(cells, pa.float64(), safe=False), float("nan")
    ).to_numpy(zero_copy_only=False)
    return numbers


def _parsed(cells: Any, path: Path, column: str) -> npt.NDArray[np.float64]:
    """Text as float64; an empty cell and the words nan and inf become NaN."""
    cells = pc.utf8_trim_whitespace(pc.fill_null(cells, ""))
    is_number = pc.match_substring_regex(cells, _NUMBER)
    is_missing = pc.or_(pc.equal(cells, ""), pc.match_substring_regex(cells, _NOT_FINITE))
    bad = pc.invert(pc.or_(is_number, is_missing))
    if pc.any(bad).as_py():
        first = cells.filter(bad)[0].as_py()
        hint = next((text for pattern, text in _HINTS if _matches(first, pattern)), _OTHER_HINT)
        raise NotANumberError(
            f"{path}: column '{column}' holds text where a number must stand, in "
            f"{rows_text(bad.to_numpy(zero_copy_only=False))}",
            hint,
        )
    # A leading + is fine for a person and unknown to Arrow's cast.
    plain = pc.replace_substring_regex(cells, r"^\+", "")
    return _cast(pc.if_else(is_number, plain, pa.scalar(None, pa.string())))


def _matches(text: str, pattern: str) -> bool:
    return bool(pc.match_substring_regex(pa.scalar(text), pattern).as_py())


def _identifiers(table: Any, path: Path, column: str) -> list[str]:
    cells = table.column(column).combine_chunks()
    identifiers = pd.Series(cells.to_pylist(), dtype="object")
    is_null = identifiers.isna().to_numpy()
    identifiers = identifiers.astype(str).str.strip()
    empty = is_null | (identifiers == "").to_numpy()
    if empty.any():
        raise MissingValueError(
            f"{path}: column '{column}' has no identifier in {rows_text(empty)}",
            "Give each record its identifier, or drop these records.",
        )
    repeated = identifiers.duplicated(keep=False).to_numpy()
    if repeated.any():
        raise DuplicateIdError(
            f"{path}: column '{column}' has the same identifier more than once, in "
            f"{rows_text(repeated)}",
            "Each customer must be one record: merge or drop the repeated ones.",
        )
    return identifiers.to_list()
