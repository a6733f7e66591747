"""What can be told of the notebook without running it; `make notebook` runs it."""

from __future__ import annotations

import nbformat

from tools import notebook


def test_the_notebook_is_kept_executed_small_and_without_traces_of_a_machine() -> None:
    text = notebook.NOTEBOOK.read_text(encoding="utf-8")
    assert notebook.traces(text) == []
    assert len(text.encode()) <= notebook.LARGEST_BYTES
    kept = nbformat.reads(text, as_version=4)
    code = [cell for cell in kept.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    pictures = [
        output.data["image/svg+xml"]
        for output in outputs
        if "image/svg+xml" in output.get("data", {})
    ]
    assert len(pictures) >= 3
    assert not [picture for picture in pictures if "<script" in picture]


def test_a_path_of_this_machine_is_a_trace() -> None:
    assert notebook.traces('"text": "/home/someone/tables"') == ["/home/someone/tables"]
