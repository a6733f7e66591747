"""The report as a PDF: typeset by Typst from the same sections, with the same figures.

The text goes to Typst as data (JSON): nothing in it can be a command. Fonts are those that Typst
brings along, so that a report looks the same everywhere and nothing is looked up.
"""

from __future__ import annotations

import datetime
import json
import re
import tempfile
from pathlib import Path
from typing import Any

import typst

from mpcseg.report.document import ReportDocument
from mpcseg.report.page import template
from mpcseg.report.pictures import svg
from mpcseg.report.sections import Column, DataTable, Figure
from mpcseg.report.wording import for_people, shown

_FONT = "Libertinus Serif"
_MOST_WIDE = 440.0
_LONG = 40
"""Characters of a cell from which on its column takes what room there is."""
_SIZE = re.compile(r'\bwidth="([0-9.]+)"')


def pdf(document: ReportDocument) -> bytes:
    """The report as PDF/UA-1: tagged for screen readers, with a title and bookmarks."""
    with tempfile.TemporaryDirectory(prefix="mpcseg-report-") as folder:
        place = Path(folder)
        content = {
            "title": document.title,
            "subtitle": document.subtitle,
            "author": "mpcseg",
            "sections": [
                {
                    "title": section.title,
                    "paragraphs": section.paragraphs,
                    "figures": [_figure(figure, place) for figure in section.figures],
                    "tables": [_table(for_people(table)) for table in section.tables],
                    "notes": section.notes,
                }
                for section in document.sections
            ],
        }
        (place / "document.json").write_text(json.dumps(content), encoding="utf-8")
        (place / "report.typ").write_text(template("report.typ"), encoding="utf-8")
        made: bytes = typst.compile(
            str(place / "report.typ"),
            root=str(place),
            ignore_system_fonts=True,
            format="pdf",
            pdf_standards="ua-1",
            timestamp=_time(document.made_at),
        )
        return made


def _figure(figure: Figure, folder: Path) -> dict[str, Any]:
    drawn = svg(figure, {"font": _FONT})
    file = folder / f"{figure.name}.svg"
    file.write_text(drawn, encoding="utf-8")
    found = _SIZE.search(drawn)
    width = float(found.group(1)) if found else _MOST_WIDE
    return {
        "title": figure.title,
        "description": figure.description,
        "file": file.name,
        "width": min(width * 0.78, _MOST_WIDE),
    }


def _table(table: DataTable) -> dict[str, Any]:
    return {
        "title": table.title,
        "columns": [
            {
                "title": column.title,
                "number": _is_number(table, place, column),
                "long": any(len(str(row[place])) > _LONG for row in table.rows),
            }
            for place, column in enumerate(table.columns)
        ],
        "rows": [
            [shown(cell, column) for cell, column in zip(row, table.columns, strict=True)]
            for row in table.rows
        ],
    }


def _is_number(table: DataTable, place: int, column: Column) -> bool:
    return (
        column.is_share
        or column.digits is not None
        or all(isinstance(row[place], int) for row in table.rows)
    )


def _time(made_at: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(made_at)
