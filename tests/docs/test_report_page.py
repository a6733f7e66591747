"""docs/report.md names every table that reports are made of."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def made(source: str) -> Iterator[str]:
    """Names of the tables that a module makes."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "DataTable":
            given = [word.value for word in node.keywords if word.arg == "name"]
            name = ast.literal_eval((given or node.args)[0])
            assert isinstance(name, str)
            yield name


def test_the_page_lists_the_tables_that_reports_have() -> None:
    modules = (ROOT / "mpcseg" / "report").glob("*.py")
    names = [name for module in modules for name in made(module.read_text(encoding="utf-8"))]
    page = (ROOT / "docs" / "report.md").read_text(encoding="utf-8")
    listed = page.partition("| table | a row per |")[2].partition("\n\n")[0]
    assert sorted(re.findall(r"^\| `(\w+)` \|", listed, re.MULTILINE)) == sorted(names)
