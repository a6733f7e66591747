"""Shapes that K-means gets wrong: many clusters merged at the recipient, against scikit-learn.

`run` is in the clear: the real schedule with the polynomials that ciphertexts get, then everything
that a recipient does. `run_encrypted` is a whole study of two moons on ciphertexts, node processes
and TLS, from the parties' tables to the files of merged labels that `mpcseg party results` writes.
"""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sklearn.cluster import DBSCAN, AgglomerativeClustering, KMeans
from sklearn.datasets import make_circles, make_moons
from sklearn.metrics import adjusted_rand_score

from benchmarks.privacy import study
from mpcseg.ckks.planner import BLUNT, SHARP
from mpcseg.demo.run import run_nodes
from mpcseg.demo.tables import tables_from_file
from mpcseg.demo.workspace import StudyShape, make_workspace
from mpcseg.privacy.budget import no_noise_plan
from mpcseg.reference.metrics import nearest
from mpcseg.shapes.density import density_tree
from mpcseg.shapes.hierarchy import ward_hierarchy

Array = NDArray[np.float64]
Labels = NDArray[np.int64]
Shape = tuple[Array, Labels]

N_RECORDS, N_ROUNDS = 3000, 4
N_CLUSTERS = (12, 16, 20)
# The constants of the merging were chosen on seeds 0 and 1.
FIRST_SEED = 10
# Records in the standardised space that DBSCAN looks for within its radius, and the radius.
DBSCAN_TERMS = {"eps": 0.15, "min_samples": 10}
ENCRYPTED_CLUSTERS, ENCRYPTED_ROUNDS, ENCRYPTED_RECORDS = 12, 2, 4000


def moons(seed: int) -> Shape:
    """Two moons that reach into each other."""
    points, truth = make_moons(N_RECORDS, noise=0.08, random_state=seed)
    return points, truth


def thin_moons(seed: int) -> Shape:
    """Two moons with less noise: their cells are longer, and so farther apart."""
    points, truth = make_moons(N_RECORDS, noise=0.05, random_state=seed)
    return points, truth


def circles(seed: int) -> Shape:
    """A ring around a ring."""
    points, truth = make_circles(N_RECORDS, noise=0.06, factor=0.45, random_state=seed)
    return points, truth


def stripes(seed: int) -> Shape:
    """Three long heaps side by side, askew to both features."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, N_RECORDS)
    straight = np.column_stack([rng.normal(0, 3, N_RECORDS), rng.normal(0, 0.3, N_RECORDS)])
    straight[:, 1] += 2.2 * truth
    turn = np.array([[math.cos(0.6), math.sin(0.6)], [-math.sin(0.6), math.cos(0.6)]])
    return straight @ turn, truth


def blobs(seed: int) -> Shape:
    """Four round heaps, for which K-means is made."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 4, N_RECORDS)
    centres = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 5.0], [6.0, 6.0]])
    spreads = np.array([0.5, 0.8, 1.0, 0.6])[truth][:, None]
    return centres[truth] + rng.normal(size=(N_RECORDS, 2)) * spreads, truth


SHAPES: dict[str, Callable[[int], Shape]] = {
    "two moons": moons,
    "two thin moons": thin_moons,
    "two circles": circles,
    "three stripes": stripes,
    "four blobs": blobs,
}


def run(console: Console, repeats: int) -> dict[str, Any]:
    """Compare by the adjusted Rand index with the truth, in the clear; the median of the seeds."""
    seeds = range(FIRST_SEED, FIRST_SEED + repeats)
    figures: dict[str, Any] = {}
    table = Table(title=f"Adjusted Rand index with the truth, median of {repeats} seeds")
    for name, make in SHAPES.items():
        for k in N_CLUSTERS:
            found = [_merged(*make(seed), k, seed) for seed in seeds]
            figures[f"{name}, k = {k}"] = _medians(found)
        figures[f"{name}, pooled"] = _medians([pooled(*make(seed)) for seed in seeds])
    for heading in ("shape", "method", "index"):
        table.add_column(heading)
    for name, indices in figures.items():
        for method, index in indices.items():
            table.add_row(name, method, f"{index:.3f}")
    console.print(table)
    return figures


def _medians(found: list[dict[str, float]]) -> dict[str, float]:
    return {method: float(np.median([one[method] for one in found])) for method in found[0]}


def _scaled(points: Array) -> Array:
    low, high = points.min(axis=0), points.max(axis=0)
    return np.asarray(2 * (points - low) / (high - low) - 1)


def _merged(points: Array, truth: Labels, k: int, seed: int) -> dict[str, float]:
    """A study with k clusters in the clear, merged by both methods."""
    records, n = _scaled(points), len(set(truth))
    noise = no_noise_plan(
        n_clusters=k,
        n_features=2,
        n_rounds=N_ROUNDS,
        n_parties=1,
        radius=math.sqrt(2),
        signs=(BLUNT, SHARP),
        own_draw=False,
        delta=1e-6,
    )
    result = study(records, noise, seed)
    root = np.sqrt(result.feature_weights)
    sizes, means = result.segment_sizes, result.segment_means * root
    density = density_tree(sizes, means, result.segment_spreads * root)
    labels = nearest(records, result.cluster_centers, result.feature_weights)
    groups = {
        "density": density.groups(),
        "density, number given": density.groups(n),
        "ward, number given": ward_hierarchy(sizes, means).cut(n),
    }
    return {name: adjusted_rand_score(truth, group[labels]) for name, group in groups.items()}


def pooled(points: Array, truth: Labels) -> dict[str, float]:
    """scikit-learn on the pooled table, which nobody has in a study."""
    standardised, n = (points - points.mean(axis=0)) / points.std(axis=0), len(set(truth))
    methods = {
        "k-means": KMeans(n, n_init=10, random_state=0),
        "agglomerative, ward": AgglomerativeClustering(n),
        "agglomerative, single": AgglomerativeClustering(n, linkage="single"),
        "dbscan": DBSCAN(**DBSCAN_TERMS),
    }
    return {
        name: float(adjusted_rand_score(truth, method.fit_predict(standardised)))
        for name, method in methods.items()
    }


def run_encrypted(console: Console, repeats: int) -> dict[str, Any]:
    """Two moons on ciphertexts, from two parties' tables to their files of merged labels."""
    del repeats
    points, truth = make_moons(ENCRYPTED_RECORDS, noise=0.08, random_state=0)
    names = [f"c{row}" for row in range(len(points))]
    frame = pd.DataFrame({"customer_id": names, "x": points[:, 0], "y": points[:, 1]})
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "moons.csv"
        frame.to_csv(table, index=False)
        dealt = tables_from_file(table, "customer_id", ("x", "y"), (), 2)
        shape = StudyShape(ENCRYPTED_CLUSTERS, ENCRYPTED_ROUNDS, 0, "none")
        workspace = make_workspace(Path(folder) / "nodes", dealt, shape, workers=2)
        began = time.monotonic()
        run_nodes(workspace, console)
        seconds = time.monotonic() - began
        labels: dict[str, int] = {}
        for party in workspace.parties:
            results, merged = party.results / "results.json", party.path / "merged.json"
            output = party.path / "merged.csv"
            of_study = ["--study", str(workspace.study), "--results", str(results)]
            _mpcseg("shapes", *of_study[1:], "--by", "density", "--output", str(merged))
            _mpcseg(
                "party", "results", *of_study, "--identity", str(party.identity),
                "--data", str(party.table), "--id-column", "customer_id",
                "--merged", str(merged), "--labels", str(output),
            )  # fmt: skip
            own = pd.read_csv(output)
            labels.update(zip(own["customer_id"], own["segment"], strict=True))
    found = np.array([labels[name] for name in names])
    figures: dict[str, Any] = {
        "encrypted, merged by density": float(adjusted_rand_score(truth, found)),
        "segments": len(set(found)),
        "seconds": seconds,
        **pooled(points, truth),
    }
    for name, value in figures.items():
        console.print(f"{name}: {value:.4g}")
    return figures


def _mpcseg(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "mpcseg", *arguments], check=True)
