"""A report into its files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from mpcseg.report.data_files import (
    all_tables,
    csv_table,
    parquet_table,
    report_json,
    spreadsheet,
)
from mpcseg.report.document import ReportDocument
from mpcseg.report.files import write_bytes
from mpcseg.report.formats import Format
from mpcseg.report.page import html
from mpcseg.report.pdf import pdf
from mpcseg.report.sections import DataTable

TABLES_FOLDER = "tables"

_WHOLE: dict[Format, Callable[[ReportDocument], bytes]] = {
    Format.HTML: lambda document: html(document).encode(),
    Format.PDF: pdf,
    Format.XLSX: spreadsheet,
    Format.JSON: lambda document: report_json(document).encode(),
}
_PER_TABLE: dict[Format, Callable[[DataTable], bytes]] = {
    Format.CSV: lambda table: csv_table(table).encode(),
    Format.PARQUET: parquet_table,
}


def write_report(
    document: ReportDocument, folder: Path, formats: Sequence[Format]
) -> tuple[Path, ...]:
    """Write a report: ``report.html`` and the like, and ``tables/NAME.csv`` and ``.parquet``.

    Args:
        document: the report.
        folder: made if absent; it and the files are for this user only. Files of an earlier report
            are replaced.
        formats: which files.

    Returns:
        What was written; the folder of tables in place of each of them.

    Raises:
        OutputError: a file cannot be written.
    """
    written = []
    for kind in formats:
        if kind in _WHOLE:
            path = folder / f"report.{kind}"
            write_bytes(path, _WHOLE[kind](document))
            written.append(path)
        else:
            for table in all_tables(document):
                content = _PER_TABLE[kind](table)
                write_bytes(folder / TABLES_FOLDER / f"{table.name}.{kind}", content)
            written.append(folder / TABLES_FOLDER)
    return tuple(dict.fromkeys(written))
