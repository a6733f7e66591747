"""What verifying costs: a whole study on CDNOW, its logs checked, its computation replayed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from mpcseg.demo.run import run_nodes
from mpcseg.demo.tables import tables_from_file
from mpcseg.demo.workspace import StudyShape, Workspace, make_workspace

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "cdnow_rfm.csv"
FEATURES = (
    "recency_days",
    "frequency",
    "monetary",
    "units",
    "tenure_days",
    "active_span_days",
)
SKEWED = ("frequency", "monetary", "units")
N_CLUSTERS, N_ROUNDS, EPSILON = 5, 10, 1.0
SAMPLE = 8


def run(console: Console, repeats: int) -> dict[str, Any]:
    """Run a study of three parties, verify its logs, replay it whole and sampled.

    Args:
        console: for progress and what the commands print.
        repeats: not used: one study takes minutes.
    """
    del repeats
    tables = tables_from_file(
        DATA, "customer_id", FEATURES, SKEWED, n_parties=3, n_clusters=N_CLUSTERS
    )
    with tempfile.TemporaryDirectory(prefix="mpcseg-bench-") as folder:
        evidence = Path(folder) / "evidence"
        shape = StudyShape(N_CLUSTERS, N_ROUNDS, 0, EPSILON)
        workspace = make_workspace(Path(folder) / "study", tables, shape, workers=2)
        storage = workspace.compute.path / "storage"
        began = time.monotonic()
        run_nodes(workspace, console, lambda: _copy(storage, evidence))
        return {
            "study_seconds": time.monotonic() - began,
            "evidence_mb": _megabytes(evidence),
            "logs_mb": _megabytes(*workspace.study.parent.rglob("audit-*.sqlite")),
            **_measure(console, workspace, evidence),
        }


def _measure(console: Console, workspace: Workspace, evidence: Path) -> dict[str, Any]:
    study, folder = str(workspace.study), str(workspace.study.parent)
    closing = ["--closing", str(workspace.closing_record), "--storage", str(evidence)]
    replay = ["replay", study, "--evidence", str(evidence)]
    return {
        "verify_seconds": _timed(console, "verify", study, folder, *closing, "--complete"),
        "replay_sample_seconds": _timed(console, *replay, "--sample", str(SAMPLE)),
        "replay_seconds": _timed(console, *replay),
    }


def _timed(console: Console, *arguments: str) -> float:
    began = time.monotonic()
    console.print(f"$ mpcseg audit {' '.join(arguments)}", highlight=False, soft_wrap=True)
    subprocess.run([sys.executable, "-m", "mpcseg", "audit", *arguments], check=True)
    return time.monotonic() - began


def _copy(storage: Path, evidence: Path) -> None:
    shutil.copytree(storage, evidence)


def _megabytes(*places: Path) -> float:
    inside = [[place] if place.is_file() else place.rglob("*") for place in places]
    return sum(file.stat().st_size for files in inside for file in files if file.is_file()) / 1e6


if __name__ == "__main__":
    print(json.dumps(run(Console(), 1), indent=2))
