"""The notebook of docs/ runs, and shows what it says that it shows."""

from __future__ import annotations

import nbformat
import pytest

from tools import notebook


@pytest.fixture(scope="module")
def kept() -> nbformat.NotebookNode:
    return nbformat.read(notebook.NOTEBOOK, as_version=4)


@pytest.mark.timeout(1800)
def test_every_cell_runs_and_shows_what_is_kept_unless_it_varies(
    kept: nbformat.NotebookNode,
) -> None:
    assert notebook.differences(kept, notebook.executed(kept)) == []


def test_a_cell_that_shows_something_else_is_found(kept: nbformat.NotebookNode) -> None:
    changed = nbformat.from_dict(kept)
    for cell in changed.cells:
        if cell.cell_type == "code":
            cell.outputs = [nbformat.v4.new_output("stream", text="something else")]
    code = [cell for cell in kept.cells if cell.cell_type == "code"]
    varying = [cell for cell in code if "varies" in cell.metadata.get("tags", [])]
    assert len(notebook.differences(kept, changed)) == len(code) - len(varying)
    assert len(varying) < len(code) / 2
