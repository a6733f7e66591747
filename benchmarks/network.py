"""The CDNOW study between organisations that are 100 Mbit/s and 40 ms apart, and beside each other.

Every node in a network namespace of its own; each line to the compute node is held to its rate and
length packet by packet (tests/faults/wan.py). Needs root.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from mpcseg.demo.tables import tables_from_file
from mpcseg.demo.workspace import StudyShape
from tests.faults.cluster import Cluster, cluster
from tests.faults.hosts import MISSING

DATA = Path(__file__).parents[2] / "shared" / "data" / "cdnow_rfm.csv"
FEATURES = (
    "recency_days", "frequency", "monetary", "units", "tenure_days", "active_span_days",
)  # fmt: skip
SKEWED = ("frequency", "monetary", "units")
SHAPE = StudyShape(n_clusters=5, n_rounds=10, seed=0, epsilon=1.0)
N_PARTIES = 3
LINES: dict[str, tuple[float, float] | None] = {
    "local network": None,
    "100 Mbit/s, 40 ms": (100.0, 20.0),
}


def run(console: Console, repeats: int) -> dict[str, Any]:
    """Measure whole studies, the two networks in turn."""
    if MISSING:
        console.print(f"network: not measured ({MISSING})")
        return {"missing": MISSING}
    tables = tables_from_file(DATA, "customer_id", FEATURES, SKEWED, N_PARTIES, n_clusters=5)
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in LINES}
    for number in range(repeats):
        for name, line in LINES.items():
            with tempfile.TemporaryDirectory(prefix="mpcseg-network-") as folder:
                label = f"mn{os.getpid() % 10**6}{number}"
                with cluster(Path(folder) / "c", tables, SHAPE, label, 2, line) as study:
                    found[name].append(_measured(study))
    console.print(_table(found))
    return found


def _measured(study: Cluster) -> dict[str, Any]:
    began = time.monotonic()
    study.finish()
    seconds = time.monotonic() - began
    study.fetch()
    study.close()
    summary = json.loads(study.workspace.compute.summary.read_text())
    return {"seconds": seconds, "phases": summary["seconds"], "bytes": summary["bytes_by_link"]}


def _table(found: dict[str, list[dict[str, Any]]]) -> Table:
    table = Table("network", "study", "keys", "blocks", "rounds", "payload", title="CDNOW study")
    for name, runs in found.items():
        phases = [[run["phases"].get(part, 0.0) for run in runs] for part in
                  ("keys", "collect", "rounds")]  # fmt: skip
        payload = sum(size for kinds in runs[0]["bytes"].values() for size in kinds.values())
        times = [[run["seconds"] for run in runs], *phases]
        table.add_row(name, *map(_range, times), f"{payload / 1e6:.1f} MB")
    return table


def _range(seconds: Sequence[float]) -> str:
    low, high = min(seconds), max(seconds)
    return f"{low:.1f} s" if high - low < 0.1 else f"{low:.1f} to {high:.1f} s"
