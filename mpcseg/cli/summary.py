"""A node's summary (seconds, bytes, memory, counts) as a JSON file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mpcseg.report.files import jsonable, verify_output_file, write_json


def verify_summary(path: Path | None) -> None:
    """Check that a summary can be written, where one was asked for.

    Raises:
        OutputError: it cannot.
    """
    if path is not None:
        verify_output_file(path)


def write_summary(done: Any, path: Path | None, *, without: tuple[str, ...] = ()) -> None:
    """Write a node's summary where one was asked for.

    Args:
        done: the summary, a dataclass.
        path: the file; None for no file.
        without: fields to leave out, such as results.

    Raises:
        OutputError: the file cannot be written.
    """
    if path is None:
        return
    content = {name: value for name, value in vars(done).items() if name not in without}
    write_json(path, jsonable(content))
