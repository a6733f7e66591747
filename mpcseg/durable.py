"""Files that are still there after a power cut, and plain words for a disk that fails.

A node that is killed, or whose machine loses power, finds each file as it was before or as it was
to become, never half of it. Any node.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mpcseg.errors import StorageError
from mpcseg.private import open_private

# How a connection or a deadline fails, which is an OSError too and nothing that a disk can do.
_NOT_A_DISK = (ConnectionError, TimeoutError)


def storage_error(error: Exception, place: Path | str) -> StorageError:
    """Say what a failed write or read means for this node's operator.

    Args:
        error: what the system said.
        place: the file or folder.
    """
    reason = getattr(error, "strerror", None) or type(error).__name__
    return StorageError(
        f"{place} cannot be used: {reason}",
        "Nothing is lost. Make room on that disk, or make it writable, and start this node again "
        "with the same command: it goes on where it was.",
    )


def is_of_the_disk(error: Exception) -> bool:
    """Whether an error is the system's word about a file, and not about a connection."""
    return isinstance(error, OSError) and not isinstance(error, _NOT_A_DISK)


@contextmanager
def on_disk(place: Path | str) -> Iterator[None]:
    """Turn the system's errors about files into one for the node's operator.

    Raises:
        StorageError: the block failed on a file.
    """
    try:
        yield
    except OSError as error:
        if not is_of_the_disk(error):
            raise
        raise storage_error(error, place) from None


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Make what another process wrote survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def rename(source: Path, target: Path) -> None:
    """Give a file or folder, whose content is on disk, its name; at once, and for good."""
    source.replace(target)
    sync_folder(target.parent)


def write_private(path: Path, content: bytes) -> None:
    """Write a file with mode 0600, whole or not at all; on disk when this returns."""
    temporary = path.with_name(path.name + ".new")
    with open_private(temporary) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    rename(temporary, path)


def write_whole(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Write a file that people named, whole or not at all; on disk when this returns.

    A symbolic link is replaced, not followed. What fails leaves nothing behind; a process that is
    killed may leave a file ".NAME.…", which nothing reads.

    Args:
        path: the file, which may be there.
        content: all of it.
        mode: of the file, less what the umask takes.

    Raises:
        OSError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        rename(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
