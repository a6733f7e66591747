"""How much memory this process has used."""

from __future__ import annotations

from pathlib import Path


def peak_rss_mb() -> float:
    """Largest resident memory of this process so far, in MB of 10⁶ bytes. Any node; Linux.

    Not from ``getrusage``: there a spawned process begins with its parent's peak.
    """
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise OSError("/proc/self/status has no VmHWM")
