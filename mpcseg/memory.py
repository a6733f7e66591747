"""How much memory this process has used, and how much it keeps."""

from __future__ import annotations

import ctypes
from pathlib import Path

_M_ARENA_MAX = -8  # of malloc.h


def peak_rss_mb() -> float:
    """Largest resident memory of this process so far, in MB of 10⁶ bytes. Any node; Linux.

    Not from ``getrusage``: there a spawned process begins with its parent's peak.
    """
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise OSError("/proc/self/status has no VmHWM")


def share_freed_memory() -> None:
    """Have all threads of this process draw on the same freed memory. Compute node, at its start.

    glibc keeps an arena of freed memory for every thread, which no other thread gets anything of: a
    compute node that serves one study after the other grew by 30 MB with each, until all its
    threads had theirs. Other C libraries are left to themselves.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)
