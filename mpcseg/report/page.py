"""The report as one HTML file: no script, nothing fetched, readable by eye, ear and keyboard."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources

import jinja2
from markupsafe import Markup

from mpcseg import __version__
from mpcseg.report.document import ReportDocument
from mpcseg.report.pictures import svg
from mpcseg.report.sections import Cell, DataTable, Figure
from mpcseg.report.wording import for_people, shown

_LONG = 30
"""Characters of a word from which on it may be broken anywhere."""


def html(document: ReportDocument) -> str:
    """The report as a page that opens from disk.

    Its content security policy allows this page's own style sheet, and nothing else: a name that
    somehow became markup could neither run nor fetch anything.
    """
    style = template("report.css")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    page = _ENVIRONMENT.get_template("report.html.j2")
    return page.render(
        document=document,
        # The style sheet is part of the program; names and texts are not in it.
        style=Markup(style),  # noqa: S704
        policy=f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; "
        "form-action 'none'",
        version=__version__,
    )


def _picture(figure: Figure) -> Markup:
    # `svg` has written every text of the figure through an XML library.
    return Markup(svg(figure))  # noqa: S704


def _cells(table: DataTable) -> list[list[tuple[str, str]]]:
    """Rows of a table as people see them, and the class of each cell."""
    return [
        [
            (shown(cell, column), _kind(cell))
            for cell, column in zip(row, table.columns, strict=True)
        ]
        for row in table.rows
    ]


def _kind(cell: Cell) -> str:
    """How a cell is set: numbers to the right, digests broken anywhere, text between words."""
    if not isinstance(cell, str):
        return "number"
    return "long" if any(len(word) > _LONG for word in cell.split()) else "text"


def template(name: str) -> str:
    """A file of this package's folder of templates."""
    return (resources.files("mpcseg.report") / "templates" / name).read_text(encoding="utf-8")


_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.FunctionLoader(template),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.globals.update(picture=_picture, cells=_cells)
_ENVIRONMENT.filters["for_people"] = for_people
