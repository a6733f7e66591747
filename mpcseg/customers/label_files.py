"""Where labels are written: a CSV or Parquet file that is there whole or not at all."""

from __future__ import annotations

import csv
import io
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet

from mpcseg.customers.database import as_type
from mpcseg.errors import OutputError
from mpcseg.private import open_private


class CsvLabels:
    """Labels as CSV, a heading and a line each.

    Args:
        file: open for writing.
        schema: identifiers first, then the labels' columns.
    """

    def __init__(self, file: BinaryIO, schema: pa.Schema) -> None:
        self._schema = schema
        self._text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
        self._lines = csv.writer(self._text, lineterminator="\n")
        self._lines.writerow(schema.names)

    def write(self, identifiers: Any, columns: Sequence[Any]) -> None:
        """Append labels.

        Args:
            identifiers: an Arrow array, chunked or not.
            columns: the other columns, NumPy arrays as long.
        """
        cells = as_type(identifiers, self._schema.types[0]).to_pylist()
        self._lines.writerows(zip(cells, *map(_texts, columns), strict=True))

    def close(self) -> None:
        """Finish; the file stays open."""
        self._text.detach()


def _texts(column: Any) -> list[Any]:
    if column.dtype.kind == "f":
        return [f"{value:.6g}" for value in column.tolist()]
    if column.dtype.kind == "b":
        return ["true" if value else "false" for value in column.tolist()]
    values: list[Any] = column.tolist()
    return values


class ParquetLabels:
    """Labels as Parquet, identifiers in their own type.

    Args:
        file: open for writing.
        schema: identifiers first, then the labels' columns.
    """

    def __init__(self, file: BinaryIO, schema: pa.Schema) -> None:
        self._schema = schema
        self._file = pyarrow.parquet.ParquetWriter(file, schema)

    def write(self, identifiers: Any, columns: Sequence[Any]) -> None:
        """Append labels; as for CSV."""
        cells = as_type(identifiers, self._schema.types[0])
        self._file.write_table(pa.table([cells, *columns], schema=self._schema))

    def close(self) -> None:
        """Finish; the file stays open."""
        self._file.close()


Writer = CsvLabels | ParquetLabels

_KINDS: dict[str, type[CsvLabels] | type[ParquetLabels]] = {
    ".csv": CsvLabels,
    ".parquet": ParquetLabels,
}


def label_writer(output: Path, *, overwrite: bool) -> type[CsvLabels] | type[ParquetLabels]:
    """The writer of the file's kind; refuses, before anything is read, what cannot be written.

    Raises:
        OutputError: of another kind than CSV or Parquet, there already, or in no folder.
    """
    try:
        writer = _KINDS[output.suffix.lower()]
    except KeyError:
        raise OutputError(
            f"{output} is neither .csv nor .parquet", "Labels are written as CSV or Parquet."
        ) from None
    if output.exists() and not (overwrite and output.is_file()):
        raise _exists(output)
    if not output.parent.is_dir():
        raise OutputError(
            f"{output} cannot be written: there is no folder {output.parent}",
            f"Run: mkdir -p {output.parent}",
        )
    return writer


def _exists(output: Path) -> OutputError:
    return OutputError(f"{output} exists already", "Name another file, or say --overwrite.")


@contextmanager
def whole_file(output: Path, *, overwrite: bool) -> Iterator[BinaryIO]:
    """A file that takes its name when it is complete, and is gone if it never is.

    Raises:
        OutputError: it cannot be written, or came into being meanwhile.
    """
    temporary = output.with_name(f".{output.name}.{secrets.token_hex(8)}")
    try:
        try:
            with open_private(temporary, new=True) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            if output.exists() and not overwrite:  # it came while the labels were made
                raise _exists(output)
            temporary.replace(output)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"{output} cannot be written: {error.strerror or 'unknown reason'}",
            "Choose a place that this user may write to.",
        ) from None
