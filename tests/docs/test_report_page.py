"""docs/report.md names every table that reports are made of, and its columns."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def calls(tree: ast.AST, name: str) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == name:
            yield node


def made(source: str) -> Iterator[tuple[str, list[str]]]:
    """Names of the tables that a module makes, and of those columns that are written out there."""
    for table in calls(ast.parse(source), "DataTable"):
        given = [word.value for word in table.keywords if word.arg == "name"]
        name = ast.literal_eval((given or table.args)[0])
        assert isinstance(name, str)
        columns = [column.args[0] for column in calls(table, "Column")]
        yield name, [one.value for one in columns if isinstance(one, ast.Constant)]


def test_the_page_lists_the_tables_that_reports_have() -> None:
    modules = (ROOT / "mpcseg" / "report").glob("*.py")
    tables = [table for module in modules for table in made(module.read_text(encoding="utf-8"))]
    page = (ROOT / "docs" / "report.md").read_text(encoding="utf-8")
    part = page.partition("| table | a row per |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| `(\w+)` \|.*\| (.*) \|$", part, re.MULTILINE)
    listed = {name: re.findall(r"`(\w+)`", columns) for name, columns in rows}
    assert sorted(name for name, _ in rows) == sorted(name for name, _ in tables)
    missing = {
        name: absent
        for name, columns in tables
        if (absent := [column for column in columns if column not in listed[name]])
    }
    assert missing == {}
