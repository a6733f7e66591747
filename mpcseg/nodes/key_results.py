"""The sealed results on the key node's own disk, until they are uploaded. Runs on: key node."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from mpcseg.durable import on_disk, write_private
from mpcseg.errors import RecoveryError

SEALED_FOLDER = "sealed"


def keep_sealed(sealed: Mapping[str, bytes], folder: Path) -> dict[str, str]:
    """Write the sealed results before they travel, so that a broken line costs no budget.

    Returns:
        Their SHA-256 (hex), by recipient.

    Raises:
        StorageError: they cannot be written.
    """
    with on_disk(folder):
        folder.mkdir(exist_ok=True, mode=0o700)
        for recipient, content in sealed.items():
            write_private(_path(folder, recipient), content)
    return {name: hashlib.sha256(content).hexdigest() for name, content in sealed.items()}


def read_sealed(folder: Path, digests: Mapping[str, str]) -> dict[str, bytes]:
    """Read what an earlier process has sealed.

    Raises:
        RecoveryError: a file is not there, or is another one.
        StorageError: one cannot be read.
    """
    found = {}
    for recipient, digest in digests.items():
        path = _path(folder, recipient)
        with on_disk(path):
            content = path.read_bytes() if path.exists() else b""
        if hashlib.sha256(content).hexdigest() != digest:
            raise RecoveryError(
                f"{path} is not the file that this node has sealed",
                "Put it back: the secret key is gone, and nobody can make it again.",
            )
        found[recipient] = content
    return found


def _path(folder: Path, recipient: str) -> Path:
    return folder / f"{recipient}.sealed"
