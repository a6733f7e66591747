"""Writing results so that a reader finds the whole file or none, and no value leaves raw."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mpcseg.durable import write_whole
from mpcseg.errors import OutputError
from mpcseg.privacy.release import significant

# CKKS results carry their decryption error in the low digits, and that error tells about the key
# (docs/protocol.md section 7): even trials on one's own data are rounded well above it. What is
# sent to an organisation is rounded to the agreed digits before (`mpcseg.study.figures`).
SIGNIFICANT_DIGITS = 5

# In a folder of opened results.
RESULTS_FILE = "results.json"
SEGMENTS_CSV = "segments.csv"
SEGMENTS_JSON = "segments.json"


def rounded(value: float, digits: int = SIGNIFICANT_DIGITS) -> float | None:
    """A value to a few significant digits; None where it is not a finite number."""
    if not math.isfinite(value):
        return None
    return significant(value, digits)


def rounded_rows(values: Any) -> Any:
    """An array of any shape as nested lists of rounded numbers."""
    if getattr(values, "ndim", 0):
        return [rounded_rows(row) for row in values]
    return rounded(float(values))


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a JSON document; NaN and infinity are refused, for JSON has no word for them.

    Raises:
        OutputError: the file cannot be written.
    """
    write_text(path, json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text; as `write_bytes`."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file; a reader finds the whole file, old or new.

    Only this user may read the file, and the folder where it had to be made.

    Raises:
        OutputError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(path, content, 0o600)
    except OSError as error:
        raise _unwritable(path, error.strerror or "unknown reason") from None


def verify_output_file(path: Path, made: Path | None = None) -> None:
    """Check, before anything is started, that a file can be written at the end.

    Args:
        path: the file; its folder must exist.
        made: a folder that is made when it is not there, so that it need not exist.

    Raises:
        OutputError: ``path`` is no file, or its folder is missing or cannot be written to.
    """
    try:
        if path.exists() and not path.is_file():
            raise OutputError(f"{path} cannot be written: it is not a file", "Name a file.")
        parent = path.parent
        if made is not None and parent == made and not parent.exists():
            parent = parent.parent
        _verify_writable(path, parent)
    except OSError as error:
        raise _unwritable(path, error.strerror or "unknown reason") from None


def verify_output_folder(path: Path) -> None:
    """Check, before anything is started, that files can be written into a folder at the end.

    Args:
        path: the folder, or one that is made in a folder that must exist.

    Raises:
        OutputError: ``path`` is no folder, or it or the one around it cannot be written to.
    """
    try:
        _verify_writable(path, path if path.exists() else path.parent)
    except OSError as error:
        raise _unwritable(path, error.strerror or "unknown reason") from None


def _verify_writable(path: Path, folder: Path) -> None:
    if not folder.exists():
        raise OutputError(
            f"{path} cannot be written: there is no folder {folder}", f"Run: mkdir -p {folder}"
        )
    if not folder.is_dir():
        raise OutputError(f"{path} cannot be written: {folder} is not a folder", "Name a folder.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _unwritable(path, "permission denied")


def _unwritable(path: Path, reason: str) -> OutputError:
    return OutputError(
        f"{path} cannot be written: {reason}", "Choose a place that this user may write to."
    )


def jsonable(value: object) -> Any:
    """Plain data for JSON: dataclasses, arrays and NumPy scalars unpacked, NaN as null.

    Raises:
        TypeError: a value that has no form in JSON.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, Mapping):
        return {str(name): jsonable(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [jsonable(entry) for entry in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return jsonable(
            {entry.name: getattr(value, entry.name) for entry in dataclasses.fields(value)}
        )
    if callable(unpack := getattr(value, "tolist", None)):
        return jsonable(unpack())
    raise TypeError(f"a {type(value).__name__} has no form in JSON")
