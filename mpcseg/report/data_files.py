"""The report's tables for other programs: CSV, Parquet, XLSX, and all of it as JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import xlsxwriter

from mpcseg import __version__
from mpcseg.report.document import ReportDocument
from mpcseg.report.sections import Cell, Column, DataTable

JSON_FORMAT = "mpcseg report 1"

_SHEET_CHARACTERS = 31
_WIDEST = 60
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_XLSX_OPTIONS = {
    "in_memory": True,
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "strings_to_numbers": False,
}


def all_tables(document: ReportDocument) -> Iterator[DataTable]:
    """Every table of a report that has a row, in order."""
    for section in document.sections:
        for table in section.tables:
            if table.rows:
                yield table


def csv_table(table: DataTable) -> str:
    """A table as CSV (RFC 4180) in UTF-8: a heading of column names, then a row per thing.

    Numbers have a point and no separators; shares are between 0 and 1; where there is no value the
    cell is empty. A text that a spreadsheet would take for a formula gets an apostrophe in front.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([column.name for column in table.columns])
    for row in table.rows:
        writer.writerow([_harmless(cell) if isinstance(cell, str) else cell for cell in row])
    return text.getvalue()


def _harmless(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


def parquet_table(table: DataTable) -> bytes:
    """A table as Parquet: typed columns by name, their titles in the fields' metadata."""
    fields, arrays = [], []
    for place, column in enumerate(table.columns):
        kind = column_type(table, place)
        values = [row[place] for row in table.rows]
        arrays.append(pa.array(values, type=kind))
        fields.append(pa.field(column.name, kind, metadata={"title": column.title}))
    schema = pa.schema(fields, metadata={"title": table.title})
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), sink)
    return sink.getvalue()


def column_type(table: DataTable, place: int) -> pa.DataType:
    """The type of a table's column: text, a whole number or a real one."""
    column, cells = table.columns[place], [row[place] for row in table.rows]
    if any(isinstance(cell, str) for cell in cells):
        return pa.string()
    if column.is_share or column.digits is not None:
        return pa.float64()
    if any(isinstance(cell, float) for cell in cells):
        return pa.float64()
    return pa.int64()


def spreadsheet(document: ReportDocument) -> bytes:
    """All tables as an XLSX workbook, a sheet each: numbers as numbers, text never as a formula."""
    sink = io.BytesIO()
    with xlsxwriter.Workbook(sink, _XLSX_OPTIONS) as book:
        book.set_properties({"title": document.title, "comments": document.subtitle})
        wrapped = book.add_format({"text_wrap": True, "valign": "top"})
        for table in all_tables(document):
            _sheet(book, table, wrapped)
    return sink.getvalue()


def _sheet(book: Any, table: DataTable, wrapped: Any) -> None:
    sheet = book.add_worksheet(table.name[:_SHEET_CHARACTERS])
    sheet.freeze_panes(1, 0)
    titles = _unique_titles(table)
    for y, row in enumerate(table.rows, start=1):
        for x, cell in enumerate(row):
            form = book.add_format({"num_format": _number_format(cell, table.columns[x])})
            if cell is None:
                sheet.write_blank(y, x, None, form)
            elif isinstance(cell, str):
                sheet.write_string(y, x, cell, wrapped)
            else:
                sheet.write_number(y, x, cell, form)
    # The heading is written by the table itself; it must know it, and the cells are there already.
    sheet.add_table(
        0,
        0,
        len(table.rows),
        len(table.columns) - 1,
        {
            "name": f"t_{table.name}",
            "columns": [{"header": title} for title in titles],
            "style": "Table Style Light 1",
        },
    )
    for x, title in enumerate(titles):
        longest = max(len(str(row[x] if row[x] is not None else "")) for row in table.rows)
        sheet.set_column(x, x, min(max(len(title), longest) + 3, _WIDEST))


def _unique_titles(table: DataTable) -> list[str]:
    """Titles of the columns; where two are the same, as Excel sees them, their names."""
    lowered = [column.title.lower() for column in table.columns]
    return [
        column.title if lowered.count(column.title.lower()) == 1 else column.name
        for column in table.columns
    ]


def _number_format(cell: Cell, column: Column) -> str:
    if column.is_share:
        return "0.0%"
    if isinstance(cell, int):
        return "#,##0"
    return "General"


def report_json(document: ReportDocument) -> str:
    """The whole report as JSON, as docs/report.schema.json describes it."""
    content = {
        "format": JSON_FORMAT,
        "program": f"mpcseg {__version__}",
        "study": document.study,
        "title": document.title,
        "subtitle": document.subtitle,
        "made_at": document.made_at,
        "sections": [
            {
                "name": section.name,
                "title": section.title,
                "paragraphs": section.paragraphs,
                "figures": [
                    {
                        "name": figure.name,
                        "title": figure.title,
                        "description": figure.description,
                        "chart": figure.chart,
                    }
                    for figure in section.figures
                ],
                "tables": [_json_table(table) for table in section.tables],
                "notes": section.notes,
            }
            for section in document.sections
        ],
    }
    return json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def _json_table(table: DataTable) -> dict[str, Any]:
    names = [column.name for column in table.columns]
    return {
        "name": table.name,
        "title": table.title,
        "columns": [
            {"name": column.name, "title": column.title, "is_share": column.is_share}
            for column in table.columns
        ],
        "rows": [dict(zip(names, row, strict=True)) for row in table.rows],
    }
