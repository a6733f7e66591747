"""Kits on the disk: as folders, or each in an archive; nothing that differs is overwritten."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

from mpcseg.durable import write_whole
from mpcseg.errors import OutputError

_EARLIEST = (1980, 1, 1, 0, 0, 0)
"""The first moment that an archive can name: kits have no date of their own."""

_MODE = 0o100644  # a regular file that everybody may read: nothing in a kit is secret


def write_kit(content: Mapping[str, bytes], folder: Path, *, force: bool = False) -> None:
    """Write a kit into a folder; what else is there stays.

    Args:
        content: by path inside the folder, as `mpcseg.kit.kit.kit` made it.
        folder: made where absent.
        force: replace files that hold something else.

    Raises:
        OutputError: a file cannot be written, or holds something else; then nothing was written.
    """
    _write({folder / path: made for path, made in content.items()}, force=force)


def write_archive(content: Mapping[str, bytes], archive: Path, *, force: bool = False) -> None:
    """Write a kit as a ZIP archive of one folder, named like the archive.

    Args:
        content: by path inside the folder.
        archive: the file, ``NAME.zip``.
        force: replace an archive that holds something else.

    Raises:
        OutputError: the archive cannot be written, or one with another content is there.
    """
    buffer = io.BytesIO()
    # Uncompressed: what compression makes of the same bytes depends on the library's version.
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as file:
        for path, made in sorted(content.items()):
            entry = zipfile.ZipInfo(f"{archive.stem}/{path}", _EARLIEST)
            entry.create_system = 3  # Unix, also elsewhere
            entry.external_attr = _MODE << 16
            file.writestr(entry, made)
    _write({archive: buffer.getvalue()}, force=force)


def _write(files: Mapping[Path, bytes], *, force: bool) -> None:
    try:
        if not force:
            for path, made in files.items():
                _verify_free(path, made)
        for path, made in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, made, 0o644)
    except OSError as error:
        raise OutputError(
            f"the kit cannot be written to {error.filename}: {error.strerror or 'unknown reason'}",
            "Choose a place that this user may write to.",
        ) from None


def _verify_free(path: Path, made: bytes) -> None:
    if (path.is_symlink() or path.exists()) and not (path.is_file() and path.read_bytes() == made):
        raise OutputError(
            f"{path} exists already, and holds something else than this kit",
            "Choose another folder, or give --force to replace the kit's files.",
        )
