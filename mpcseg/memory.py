"""How much memory this process has used, and giving back what it has no more use for."""

from __future__ import annotations

import ctypes
import gc
from pathlib import Path


def peak_rss_mb() -> float:
    """Largest resident memory of this process so far, in MB of 10⁶ bytes. Any node; Linux.

    Not from ``getrusage``: there a spawned process begins with its parent's peak.
    """
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise OSError("/proc/self/status has no VmHWM")


def give_back_memory() -> None:
    """Return to the system what this process keeps of memory that it has freed. Any node.

    glibc keeps some for every thread: hundreds of megabytes after a few studies. Other C libraries
    are left to themselves.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
