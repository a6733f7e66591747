"""A report's files: the same cells in each, whatever the names are, and nothing that runs."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import openpyxl
import pyarrow.parquet as pq
import pytest

from mpcseg.errors import ConfigError, OutputError, ProtocolError
from mpcseg.report import formats, pictures
from mpcseg.report.data_files import (
    all_tables,
    csv_table,
    parquet_table,
    report_json,
    spreadsheet,
)
from mpcseg.report.document import ReportDocument
from mpcseg.report.formats import Format, parse_formats, verify_report_extra
from mpcseg.report.page import html
from mpcseg.report.pictures import svg
from mpcseg.report.sections import Column, DataTable, Figure, Section
from mpcseg.report.wording import for_people, shown
from mpcseg.report.write import write_report
from mpcseg.study.results import make_results
from mpcseg.study.spec import FeatureSpec
from tests.made_up import SPENT, agreed, finished
from tests.unit.report.pooled import document_of

HOSTILE = (
    "<script>alert(1)</script>",
    "=HYPERLINK(1)",
    "</svg>&amp;\"'<img src=x onerror=alert(1)>",
)
SCHEMA = Path(__file__).parents[3] / "docs" / "report.schema.json"
VOID = {"meta", "br", "img", "link", "input", "hr"}


class Page(HTMLParser):
    """A page taken apart: elements with their attributes, texts, and tables as rows of texts."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.tables: dict[str, list[list[str]]] = {}
        self._open: list[str] = []
        self._rows: list[list[str]] = []
        self._caption = ""
        self.feed(source)
        assert not self._open, f"not closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "table":
            self._rows, self._caption = [], ""
        elif tag == "tr":
            self._rows.append([])
        elif tag in {"td", "th"}:
            self._rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag
        if tag == "table":
            self.tables[self._caption] = self._rows

    def handle_data(self, data: str) -> None:
        self.text += data
        if "caption" in self._open:
            self._caption += data
        elif {"td", "th"} & set(self._open):
            self._rows[-1][-1] += data


@pytest.fixture(scope="module")
def hostile() -> ReportDocument:
    """A noised report whose features, and whose study's purpose, are written by an attacker."""
    # An agreement refuses such names (below); the report must not depend on that.
    named = tuple(
        FeatureSpec.model_construct(name=name, transform="identity", lower=0, upper=400)
        for name in HOSTILE[:2]
    )
    spec = agreed(4, features=named, purpose=f"{HOSTILE[2]} @SUM(A1)")
    results = make_results(spec, "alder", finished([1200, 650, 303, 90]), SPENT)
    return document_of(spec, results)


@pytest.fixture(scope="module")
def source(hostile: ReportDocument) -> str:
    return html(hostile)


@pytest.fixture(scope="module")
def page(source: str) -> Page:
    return Page(source)


# --- the page ------------------------------------------------------------------------------------


def test_the_page_has_every_cell_of_every_table(hostile: ReportDocument, page: Page) -> None:
    for table in all_tables(hostile):
        kept = for_people(table)
        expected = [
            [column.title for column in kept.columns],
            *(
                [shown(cell, column) for cell, column in zip(row, kept.columns, strict=True)]
                for row in kept.rows
            ),
        ]
        assert page.tables[table.title] == expected


def test_the_page_has_every_figure_with_its_title_and_description(
    hostile: ReportDocument, page: Page, source: str
) -> None:
    figures = [figure for section in hostile.sections for figure in section.figures]
    assert len(figures) == 5
    pictures = [attributes for tag, attributes in page.elements if tag == "svg"]
    assert [picture["aria-labelledby"] for picture in pictures] == [
        f"{f.name}-title" for f in figures
    ]
    for figure in figures:
        assert page.text.count(figure.title) >= 2
        assert page.text.count(figure.description) == 2


def test_hostile_names_are_text_in_the_page(source: str) -> None:
    assert "<script" not in source
    assert "<img" not in source
    page = Page(source)
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "img", "a:", "iframe", "object", "foreignobject", "use", "image"}
    for name in HOSTILE:
        assert name not in source or "<" not in name
        assert name in page.text
    for _, attributes in page.elements:
        assert not any(name.startswith("on") or name == "style" for name in attributes)


def test_the_page_fetches_nothing_and_its_policy_allows_its_own_style_alone(page: Page) -> None:
    links = [attributes for tag, attributes in page.elements if tag == "a"]
    assert all((link["href"] or "").startswith("#") for link in links)
    assert not any({"src", "srcset", "data"} & set(attributes) for _, attributes in page.elements)
    [policy] = [
        attributes["content"] or ""
        for tag, attributes in page.elements
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy


def test_the_page_has_its_landmarks_and_its_headings_in_order(page: Page) -> None:
    tags = [tag for tag, _ in page.elements]
    for landmark in ("header", "nav", "main", "footer", "h1"):
        assert tags.count(landmark) == 1
    headings = [tag for tag in tags if re.fullmatch(r"h[1-6]", tag)]
    assert headings[0] == "h1"
    assert set(headings[1:]) == {"h2"}
    names = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(names)) == len(names)
    [(_, root)] = [element for element in page.elements if element[0] == "html"]
    assert root["lang"] == "en"
    first_link = next(attributes for tag, attributes in page.elements if tag == "a")
    assert first_link == {"class": "skip", "href": "#content"}


# --- pictures ------------------------------------------------------------------------------------


def figure_with(**chart: object) -> Figure:
    return Figure("one", "A title", "A description", {"data": {"values": [{"a": "x"}]}, **chart})


def test_a_picture_says_first_what_it_shows_and_leaves_single_marks_silent() -> None:
    drawn = svg(figure_with(mark="point", encoding={"x": {"field": "a", "type": "nominal"}}))
    root = ElementTree.fromstring(drawn)  # noqa: S314  drawn here
    assert [child.tag.split("}")[1] for child in root][:2] == ["title", "desc"]
    assert [child.text for child in root][:2] == ["A title", "A description"]
    assert root.attrib["role"] == "img"
    inner = [name for element in list(root.iter())[1:] for name in element.attrib]
    assert not any(name.startswith("aria-") or name == "role" for name in inner)


def test_a_picture_with_an_image_in_it_is_refused() -> None:
    mark = {"type": "image", "url": "https://example.org/x.png"}
    with pytest.raises(ProtocolError, match="it would have a <image> in it"):
        svg(figure_with(mark=mark))


@pytest.mark.parametrize(
    "inside",
    [
        "<script>alert(1)</script>",
        "<g onclick='alert(1)'/>",
        "<g style='fill:url(https://example.org)'/>",
        "<g xlink:href='https://example.org'/>",
        "<foreignObject/>",
    ],
)
def test_whatever_draws_the_picture_nothing_that_runs_or_fetches_gets_through(
    monkeypatch: pytest.MonkeyPatch, inside: str
) -> None:
    names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    drawn = f"<svg {names} width='1' height='1'>{inside}</svg>"
    monkeypatch.setattr(pictures.vl_convert, "vegalite_to_svg", lambda *_, **__: drawn)
    with pytest.raises(ProtocolError, match="cannot be drawn"):
        svg(figure_with(mark="point"))


# --- tables for other programs -------------------------------------------------------------------


def test_csv_has_typed_cells_and_no_formula(hostile: ReportDocument) -> None:
    for table in all_tables(hostile):
        text = csv_table(table)
        rows = list(csv.reader(io.StringIO(text)))
        assert rows[0] == [column.name for column in table.columns]
        assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in rows[0])
        assert len(rows) == len(table.rows) + 1
        for read, row in zip(rows[1:], table.rows, strict=True):
            for cell, wanted in zip(read, row, strict=True):
                if wanted is None:
                    assert cell == ""
                elif isinstance(wanted, str):
                    assert cell.removeprefix("'") == wanted
                    assert not cell.startswith(("=", "+", "-", "@"))
                else:
                    assert float(cell) == wanted


def test_parquet_has_the_same_cells_with_their_types(hostile: ReportDocument) -> None:
    for table in all_tables(hostile):
        read = pq.read_table(io.BytesIO(parquet_table(table)))
        assert read.column_names == [column.name for column in table.columns]
        rows = zip(*(column.to_pylist() for column in read.columns), strict=True)
        assert list(rows) == list(table.rows)
        kinds = dict(zip(read.column_names, map(str, read.schema.types), strict=True))
        assert kinds.get("segment", "int64") == "int64"
        assert kinds.get("customers_noise", "double") == "double"
        assert kinds.get("feature", "string") == "string"


def test_a_workbook_has_a_sheet_per_table_with_numbers_as_numbers(hostile: ReportDocument) -> None:
    book = openpyxl.load_workbook(io.BytesIO(spreadsheet(hostile)))
    tables = list(all_tables(hostile))
    assert book.sheetnames == [table.name for table in tables]
    for table, sheet in zip(tables, book, strict=True):
        rows = list(sheet.values)
        assert list(rows[0]) == [column.title for column in table.columns]
        assert [tuple(row) for row in rows[1:]] == list(table.rows)
        assert sheet.freeze_panes == "A2"
        assert list(sheet.tables) == [f"t_{table.name}"]
        cells = [cell for row in sheet.iter_rows(min_row=2) for cell in row]
        assert {cell.data_type for cell in cells} <= {"s", "n"}
        assert not any(cell.hyperlink for cell in cells)
    shares = [row[4] for row in book["segments"].iter_rows(min_row=2)]
    assert {cell.number_format for cell in shares} == {"0.0%"}


def test_json_is_what_its_schema_describes(hostile: ReportDocument) -> None:
    content = json.loads(report_json(hostile))
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(content, schema)
    assert [section["name"] for section in content["sections"]] == [
        section.name for section in hostile.sections
    ]
    [profiles] = [
        table
        for section in content["sections"]
        for table in section["tables"]
        if table["name"] == "profiles"
    ]
    assert profiles["rows"][0]["feature"] == HOSTILE[0]


def test_names_of_sections_figures_tables_and_columns_are_fit_for_programs(
    hostile: ReportDocument,
) -> None:
    for section in hostile.sections:
        assert re.fullmatch(r"[a-z][a-z0-9-]*", section.name)
        for figure in section.figures:
            assert re.fullmatch(r"[a-z][a-z0-9-]*", figure.name)
        for table in section.tables:
            assert re.fullmatch(r"[a-z][a-z0-9_]{0,30}", table.name)
            assert len({column.name for column in table.columns}) == len(table.columns)
            assert all(len(row) == len(table.columns) for row in table.rows)
    names = [table.name for table in all_tables(hostile)]
    assert len(set(names)) == len(names)


def test_columns_with_the_same_title_are_told_apart_in_a_workbook() -> None:
    table = DataTable(
        "twice", "Twice", (Column("one", "Noise", 3), Column("two", "noise", 3)), ((1.0, 2.0),)
    )
    document = ReportDocument(
        "spring", "A", "B", "2026-01-01T00:00:00Z", (Section("s", "S", tables=(table,)),)
    )
    [sheet] = openpyxl.load_workbook(io.BytesIO(spreadsheet(document)))
    assert next(iter(sheet.values)) == ("one", "two")


# --- files ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def written(
    hostile: ReportDocument, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, tuple[Path, ...]]:
    folder = tmp_path_factory.mktemp("report") / "out"
    return folder, write_report(hostile, folder, (Format.PDF, Format.CSV, Format.PARQUET))


def test_files_are_for_this_user_only_and_named(
    written: tuple[Path, tuple[Path, ...]], hostile: ReportDocument
) -> None:
    folder, paths = written
    assert paths == (folder / "report.pdf", folder / "tables")
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    names = [table.name for table in all_tables(hostile)]
    assert files == {"report.pdf", *(f"tables/{n}.{k}" for n in names for k in ("csv", "parquet"))}
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.rglob("*"))


def test_the_pdf_is_tagged_and_has_a_title_and_bookmarks(
    written: tuple[Path, tuple[Path, ...]], hostile: ReportDocument
) -> None:
    content = (written[0] / "report.pdf").read_bytes()
    assert content.startswith(b"%PDF-1.7")
    for part in (b"/Outlines", b"/StructTreeRoot", b"/MarkInfo", b"<pdfuaid:part>1<"):
        assert part in content
    assert f"(Segments of {hostile.study})".encode() in content
    assert b"/JavaScript" not in content
    assert b"/URI" not in content


def test_a_folder_that_cannot_be_written_is_named(hostile: ReportDocument, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write_report(hostile, tmp_path / "file" / "inside", (Format.JSON,))


def test_formats_are_read_from_a_list() -> None:
    assert parse_formats("pdf, HTML,pdf") == (Format.HTML, Format.PDF)
    with pytest.raises(ConfigError, match="no report as 'docx'"):
        parse_formats("html,docx")
    with pytest.raises(ConfigError, match="no format is given"):
        parse_formats(" , ")


def test_a_missing_extra_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    verify_report_extra()
    monkeypatch.setattr(formats, "find_spec", lambda name: None if name == "typst" else name)
    with pytest.raises(ConfigError, match="needs typst, which is not installed") as caught:
        verify_report_extra()
    assert "pip install 'mpcseg[report]'" in caught.value.hint
    assert not formats.has_report_extra()


def test_an_empty_table_makes_no_file(hostile: ReportDocument) -> None:
    empty = DataTable("empty", "Empty", (Column("a", "A"),), ())
    section = replace(hostile.sections[0], tables=(empty,))
    assert list(all_tables(replace(hostile, sections=(section,)))) == []
