"""Runs the notebook of docs/ and compares or renews what it shows.

    python -m tools.notebook            # run it; fails where a cell fails or shows something else
    python -m tools.notebook --write    # run it, and keep what it shows

Cells with the tag ``varies`` show noise or seconds: they must run, and may show what they like.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbclient
import nbformat

NOTEBOOK = Path(__file__).resolve().parents[1] / "docs" / "notebooks" / "joint-segmentation.ipynb"
LARGEST_BYTES = 300_000
_CELL_SECONDS = 900
_VARIES = "varies"


def executed(notebook: Any) -> Any:
    """Run a notebook in a folder of its own, and return it with what it shows.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
    """
    fresh = nbformat.from_dict(json.loads(json.dumps(notebook)))
    with tempfile.TemporaryDirectory(prefix="mpcseg-notebook-") as folder:
        place = {"metadata": {"path": folder}}
        client = nbclient.NotebookClient(
            fresh, timeout=_CELL_SECONDS, kernel_name="python3", resources=place
        )
        client.execute()
    for cell in fresh.cells:
        cell.metadata.pop("execution", None)
    fresh.metadata = notebook.metadata
    return fresh


def shown(cell: Any) -> Any:
    """What a cell shows, without what counts its runs."""
    return [
        {key: value for key, value in output.items() if key not in ("execution_count", "metadata")}
        for output in cell.get("outputs", [])
    ]


def differences(kept: Any, fresh: Any) -> list[str]:
    """Cells that show something else than they are said to, as text."""
    found = []
    for old, new in zip(kept.cells, fresh.cells, strict=True):
        if old.cell_type == "code" and _VARIES not in old.metadata.get("tags", []):
            before, now = (json.dumps(shown(cell), indent=1, sort_keys=True) for cell in (old, new))
            if before != now:
                found.append(f"{old.id} shows\n{now}\ninstead of\n{before}")
    return found


def traces(text: str) -> list[str]:
    """What a notebook must not keep of the machine that it ran on."""
    found = re.findall(r"/(?:tmp|home|root|usr|var|opt)/[\w./-]*", text)
    host = platform.node()
    return found + ([host] if host and host in text else [])


def main() -> int:
    """Run the notebook; returns an exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--write", action="store_true", help="keep what the cells show")
    arguments = parser.parse_args()
    kept = nbformat.read(NOTEBOOK, as_version=4)
    fresh = executed(kept)
    text = nbformat.writes(fresh) + "\n"
    problems = [f"it names {trace}" for trace in traces(text)]
    if len(text.encode()) > LARGEST_BYTES:
        problems.append(f"it has {len(text.encode()):,} bytes, more than {LARGEST_BYTES:,}")
    if not arguments.write:
        problems += differences(kept, fresh)
    if problems:
        print("\n".join(problems), file=sys.stderr)
        return 1
    if arguments.write:
        NOTEBOOK.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
