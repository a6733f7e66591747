"""Files that only this user may read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO


def open_private(path: Path, *, new: bool = False) -> BinaryIO:
    """Open a file for writing, with mode 0600 from the first byte on; symbolic links are refused.

    Args:
        path: the file; what it held is gone.
        new: refuse a file that exists already (``FileExistsError``).
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | (os.O_EXCL if new else os.O_TRUNC)
    descriptor = os.open(path, flags, 0o600)
    os.fchmod(descriptor, 0o600)  # of a file that was there already
    return os.fdopen(descriptor, "wb")
