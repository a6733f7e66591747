"""The memory of running processes (Linux): held still, copied, and searched later."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path

from mpcseg.errors import ConfigError
from mpcseg.private import open_private

_PIECE = 1 << 20


def copy_memory(pid: int, path: Path) -> int:
    """Write everything that a process could read in its memory to a file; returns its bytes.

    Stretches of zeros are left out, and files that the process can only read, such as its program:
    those are on disk. The process should be held still.

    Args:
        pid: of the process.
        path: the file, for this user alone.

    Raises:
        ConfigError: the system does not let this user read it.
    """
    total = 0
    with _opened(pid) as memory, open_private(path) as copy:
        for start, end in _regions(pid):
            for at in range(start, end, _PIECE):
                try:
                    memory.seek(at)
                    piece = memory.read(min(_PIECE, end - at))
                except (OSError, OverflowError):
                    continue  # reserved, but nothing there
                total += len(piece)
                if piece.count(0) < len(piece):
                    copy.write(piece)
    return total


def _opened(pid: int) -> FileIO:
    try:
        return FileIO(f"/proc/{pid}/mem")
    except OSError as error:
        raise ConfigError(
            f"the memory of a node's process cannot be read: {error.strerror}",
            "This takes Linux, and a system that lets a user trace its own processes "
            "(kernel.yama.ptrace_scope below 2).",
        ) from None


def _regions(pid: int) -> Iterator[tuple[int, int]]:
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        addresses, access, _, _, inode, *_ = line.split()
        is_program = inode != "0" and "w" not in access
        if is_program or "r" not in access or line.endswith(("[vvar]", "[vsyscall]")):
            continue
        start, end = (int(address, 16) for address in addresses.split("-"))
        yield start, end


def process_tree(pid: int) -> list[int]:
    """A process and all that it has started, directly or not."""
    # Whichever thread started a child, the system lists it with that thread.
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    children = [int(child) for path in lists for child in path.read_text().split()]
    return [pid, *(below for child in children for below in process_tree(child))]


@contextmanager
def stopped(pids: Sequence[int]) -> Iterator[None]:
    """Hold processes still, so that no number gets away while it is looked for."""
    held = []
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
            held.append(pid)
        yield
    finally:
        for pid in held:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
