"""Reading columns of a party's customer table; every source gives Arrow cells.

Runs at the party node, on its own disk or from its own database. Only the columns that are asked
for are read. What is in the cells is checked by `mpcseg.customers.cells`, the same for all sources.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from mpcseg.customers.cells import (
    COUNTED_IN_DATABASE,
    COUNTED_IN_FILE,
    Place,
    finite_numbers,
    records_text,
    texts,
)
from mpcseg.customers.columns import verify_columns
from mpcseg.customers.database import (
    database_chunks,
    of_one_type,
    url_of_environment,
)
from mpcseg.customers.source import ENVIRONMENT, TableSource
from mpcseg.errors import (
    DuplicateIdError,
    EmptyTableError,
    MissingValueError,
    UnreadableTableError,
)

__all__ = ["Table", "open_chunks", "place_of", "read_cells", "read_table", "records_text"]


_BLOCK_BYTES = 1 << 22
_BATCH_ROWS = 1 << 16


def place_of(source: TableSource, first: int, n_rows: int) -> Place:
    """Where rows of a table stand, for messages.

    Args:
        source: the table.
        first: how many rows came before.
        n_rows: how many these are.
    """
    numbers = np.arange(first + 1, first + n_rows + 1, dtype=np.int64)
    counted = COUNTED_IN_DATABASE if source.is_database else COUNTED_IN_FILE
    return Place(source.name, numbers, counted)


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
    """Read columns of a CSV or Parquet file and check every cell; leaves nobody out.

    Args:
        path: ``.csv`` or ``.parquet``.
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
    source = TableSource(path, id_column)
    cells = read_cells(source, list(dict.fromkeys([*([id_column] if id_column else []), *columns])))
    place = place_of(source, 0, cells.num_rows)
    identifiers = None
    if id_column:
        identifiers = texts(cells.column(id_column))
        verify_identified(identifiers, place, id_column)
        repeated = pd.Series(identifiers).duplicated(keep=False).to_numpy()
        if repeated.any():
            raise stands_twice(place.where(repeated), id_column)
    values = np.empty((cells.num_rows, len(columns)))
    for index, column in enumerate(columns):
        values[:, index] = finite_numbers(cells.column(column).combine_chunks(), place, column)
    return Table(values, None if identifiers is None else identifiers.tolist())


def verify_identified(identifiers: npt.NDArray[np.object_], place: Place, column: str) -> None:
    """Refuse rows without an identifier.

    Args:
        identifiers: shape (n,), texts.
        place: of the n rows.
        column: the column of identifiers.

    Raises:
        MissingValueError: there is such a row.
    """
    empty = np.asarray(identifiers == "", dtype=np.bool_)
    if empty.any():
        raise MissingValueError(
            f"{place.table}: column '{column}' has no identifier in {place.where(empty).text()}",
            "Give each record its identifier, or drop these records.",
        )


def stands_twice(place: Place, column: str) -> DuplicateIdError:
    """The error for rows that have one identifier and differ.

    Args:
        place: of these rows.
        column: the column of identifiers.
    """
    return DuplicateIdError(
        f"{place.table}: column '{column}' has the same identifier more than once, in "
        f"{place.text()}",
        "Each customer must be one record: merge or drop the repeated ones.",
    )


def read_cells(source: TableSource, wanted: Sequence[str]) -> pa.Table:
    """Read columns of a table whole.

    Args:
        source: the table.
        wanted: the columns; no others are looked at.

    Raises:
        EmptyTableError: no records.
        DataError: what `open_chunks` raises.
    """
    chunks = [chunk for chunk in open_chunks(source, wanted) if chunk.num_rows]
    if not chunks:
        raise no_records(source)
    return of_one_type(chunks).combine_chunks()


def no_records(source: TableSource) -> EmptyTableError:
    """The error for a table without rows.

    Args:
        source: the table.
    """
    return EmptyTableError(f"{source.name} has no records", "Check how the table was made.")


def open_chunks(source: TableSource, wanted: Sequence[str]) -> Iterator[pa.Table]:
    """Read columns of a table piece by piece, in memory that does not grow with it.

    Args:
        source: the table.
        wanted: the columns; no others are looked at.

    Yields:
        Tables of some thousand rows, columns in the order asked for; texts are plain texts. Cells
        of a CSV file are all texts; those of a database may differ in type from piece to piece.

    Raises:
        ConfigError: no database URL in the environment, where it was said to be.
        UnreadableTableError: absent, not a table, of another kind, or with uneven rows.
        EmptyTableError: a file without even a heading.
        MissingColumnError: a column is not there.
        DatabaseError: the database cannot be reached or read.
    """
    if isinstance(source.data, pd.DataFrame):
        yield _frame_cells(source.data, wanted, source.name)
        return
    if source.is_database:
        url = str(source.data)
        url = url_of_environment() if url == ENVIRONMENT else url
        yield from database_chunks(url, source.table or "", wanted, source.name)
        return
    path = Path(source.data)
    read = {".csv": _csv_chunks, ".parquet": _parquet_chunks}.get(path.suffix.lower())
    if read is None:
        raise UnreadableTableError(
            f"{path} is neither .csv nor .parquet", "Export the table as CSV or Parquet."
        )
    try:
        for chunk in read(path, wanted):
            yield chunk.select(list(wanted))
    except OSError as error:
        raise UnreadableTableError(
            f"{path} cannot be read: {error.strerror or 'unknown reason'}",
            "Check the path and that this user may read the file.",
        ) from None


# --- files ---------------------------------------------------------------------------------


def _csv_chunks(path: Path, wanted: Sequence[str]) -> Iterator[pa.Table]:
    """Every cell as text: what is a number is decided in one place, `finite_numbers`.

    Arrow's reader, unlike the one in pandas, refuses a row that is longer than the heading when
    only some columns are read. An unquoted 1,234 would otherwise shift the cells behind it.
    """
    _verify_heading(path, wanted)
    uneven: list[int | None] = []

    def remember(row: Any) -> str:
        uneven.append(row.number)
        return "skip"

    try:
        with pyarrow.csv.open_csv(
            path,
            read_options=pyarrow.csv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES),
            parse_options=pyarrow.csv.ParseOptions(
                newlines_in_values=True, invalid_row_handler=remember
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                include_columns=list(wanted),
                column_types=dict.fromkeys(wanted, pa.string()),
                strings_can_be_null=False,
            ),
        ) as batches:
            for batch in batches:
                if not uneven:  # else the rows are read for the error alone
                    yield pa.Table.from_batches([batch])
    except pa.ArrowInvalid:  # its message quotes the file's content
        raise UnreadableTableError(
            f"{path} is not a comma-separated UTF-8 table",
            "Export it as CSV with commas, UTF-8 and one heading line.",
        ) from None
    if uneven:
        row = uneven[0] - 1 if uneven[0] else None  # Arrow counts the heading as row 1
        raise UnreadableTableError(
            f"{path}: {f'record {row} {COUNTED_IN_FILE}' if row else 'a record'} has more or fewer "
            "cells than the heading"
            + (f" ({len(uneven)} such records)" if len(uneven) > 1 else ""),
            "A comma inside a cell, as in 1,234, needs quotes; a decimal comma must be a point.",
        )


def _verify_heading(path: Path, wanted: Sequence[str]) -> None:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            heading = next((row for row in csv.reader(file) if row), None)
            # To the end: Arrow hands a row of the wrong length on as text, and fails aloud there.
            while file.read(_BLOCK_BYTES):
                pass
    except (UnicodeDecodeError, csv.Error):
        raise UnreadableTableError(
            f"{path} is not UTF-8 text", "Export it as CSV in UTF-8."
        ) from None
    if heading is None:
        raise EmptyTableError(f"{path} is empty", "Check how the table was exported.")
    hint = "Check the first line of the file; a party may map its own column names."
    if len(heading) == 1:
        hint = "The heading has one cell only: is the table separated by something but commas?"
    verify_columns(str(path), heading, wanted, hint)


def _parquet_chunks(path: Path, wanted: Sequence[str]) -> Iterator[pa.Table]:
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            verify_columns(
                str(path),
                file.schema_arrow.names,
                wanted,
                "Check the file's columns; a party may map its own column names.",
            )
            for batch in file.iter_batches(_BATCH_ROWS, columns=list(wanted)):
                batch.validate(full=True)  # the reader looks neither into texts nor at categories
                columns = [_decoded(batch.column(name)) for name in wanted]
                yield pa.table(columns, names=list(wanted))
    except (pa.ArrowException, UnicodeDecodeError):  # the latter for a column's name
        raise UnreadableTableError(
            f"{path} is not a sound Parquet file", "Export it again."
        ) from None


def _frame_cells(frame: pd.DataFrame, wanted: Sequence[str], name: str) -> pa.Table:
    """The columns of a table in memory, whole: it is there already."""
    heading = [str(column) for column in frame.columns]
    verify_columns(name, heading, wanted, "A party may map its own column names.")
    try:
        columns = [pa.array(frame[column], from_pandas=True) for column in wanted]
    except pa.ArrowException:  # its message quotes a cell
        raise UnreadableTableError(
            f"{name} has cells of several kinds in one column",
            "Make each column numbers, texts or dates alone.",
        ) from None
    return pa.table([_decoded(column) for column in columns], names=list(wanted))


def _decoded(cells: Any) -> Any:
    """Categories, as pandas writes them, and views of texts as the texts that they stand for."""
    if pa.types.is_dictionary(cells.type):
        cells = cells.dictionary_decode()
    return cells.cast(pa.large_string()) if pa.types.is_string_view(cells.type) else cells
