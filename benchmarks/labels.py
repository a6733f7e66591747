"""Labelling a million customers on one machine: rows per second, and memory."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console

from mpcseg.demo.tables import tables_from_file
from mpcseg.demo.workspace import StudyShape, make_workspace

SIZES = (100_000, 1_000_000)
N_SEGMENTS, N_FEATURES = 16, 5

# In a process of its own, for its own largest memory.
_CHILD = """
import json, sys, time
import numpy as np
from pathlib import Path
from mpcseg.memory import peak_rss_mb
from mpcseg.study.agreement import load_study
from mpcseg.customers.labels import label_customers
from mpcseg.study.nearest import ReleasedCentroids
from mpcseg.customers.source import TableSource

agreement, source, output = map(Path, sys.argv[1:4])
spec, k = load_study(agreement), int(sys.argv[4])
d = spec.n_features
centers = np.random.default_rng(0).uniform(-1, 1, (k, d))
released = ReleasedCentroids(np.arange(1, k + 1), centers, np.full(d, 3.0), np.full(k, 9.0))
before, began = peak_rss_mb(), time.monotonic()
done = label_customers(TableSource(source, "customer_id"), spec, released, output)
figures = {"rows": done.n_labelled, "seconds": time.monotonic() - began}
print(json.dumps({**figures, "peak_mb": peak_rss_mb(), "mb_before": before}))
"""


def run(console: Console, repeats: int) -> dict[str, Any]:
    """Label tables of two sizes, from and to CSV and Parquet."""
    del repeats
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        agreement = _agreement(Path(folder))
        for n in SIZES:
            table = _table(n)
            for suffix in (".csv", ".parquet"):
                path = Path(folder) / f"customers{suffix}"
                if suffix == ".csv":
                    table.to_csv(path, index=False)
                else:
                    table.to_parquet(path, index=False)
                output = Path(folder) / f"labels-{n}{suffix}"
                found = subprocess.run(
                    [sys.executable, "-c", _CHILD, agreement, path, output, str(N_SEGMENTS)],
                    check=True,
                    capture_output=True,
                )
                one = json.loads(found.stdout)
                one["rows_per_second"] = one["rows"] / one["seconds"]
                figures[f"{n:,} rows, {suffix}"] = one
                console.print(f"{n:,} rows, {suffix}: {json.dumps(one)}", soft_wrap=True)
    return figures


def _agreement(folder: Path) -> Path:
    """A signed agreement on features as the tables have them."""
    sample = folder / "sample.csv"
    _table(500).to_csv(sample, index=False)
    features = tuple(f"x{j}" for j in range(N_FEATURES))
    dealt = tables_from_file(sample, "customer_id", features, (), 2)
    shape = StudyShape(N_SEGMENTS, 1, 0, "none")
    return make_workspace(folder / "study", dealt, shape, workers=1).study


def _table(n: int) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    columns = {f"x{j}": rng.uniform(0, 100, n) for j in range(N_FEATURES)}
    return pd.DataFrame({"customer_id": [f"c{row:07}" for row in range(n)], **columns})
