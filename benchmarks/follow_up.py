"""What starting from a former study's centroids saves, and how often drift is seen in nothing.

The real schedule, fed with sums in the clear and real draws of the planned noise, as in
`benchmarks.privacy`. Two halves of a table stand for the customers of two seasons: the former study
has one, the follow-up the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.privacy import DATA, N_CLUSTERS, Customers, cdnow, customers, plan, study, wholesale
from mpcseg.privacy.release import significant

Array = NDArray[np.float64]

ROUNDS = (1, 2, 3, 4, 6, 8)
EPSILONS: tuple[float | None, ...] = (None, 2.0, 1.0)
SEEDS = range(3)
DIGITS = 3
FORMER_ROUNDS = 8


def run(console: Console, repeats: int) -> dict[str, Any]:  # noqa: ARG001
    """Print and return the table of docs/monitoring.md."""
    if not DATA.is_dir():
        console.print(f"follow_up: skipped, the real tables are not at {DATA}")
        return {}
    rng = np.random.default_rng(4)
    figures: dict[str, Any] = {}
    for name, records in (("CDNOW", cdnow()), ("wholesale", wholesale())):
        order = rng.permutation(len(records))
        before, now = np.array_split(records[order], 2)
        groups = (customers(name, before), customers(name, now))
        epsilons = EPSILONS if name == "CDNOW" else (None,)
        for epsilon in epsilons:
            title = f"{name}, {len(now):,} customers, k = {N_CLUSTERS}, {_name(epsilon)}"
            figures[title] = _table(console, title, groups, epsilon)
    return figures


def released(centers: Array) -> Array:
    """Centroids as a recipient has them."""
    rounded = [[significant(value, DIGITS) for value in row] for row in centers.tolist()]
    return np.array(rounded)


def _table(
    console: Console, title: str, groups: tuple[Customers, Customers], epsilon: float | None
) -> dict[str, Sequence[float]]:
    before, now = groups
    shown = Table(title=f"{title}: inertia over the best of ten, median of {len(SEEDS)}")
    for column in ("start", *(f"{n} rounds" for n in ROUNDS)):
        shown.add_column(column, justify="right")
    d = now.records.shape[1]
    ratios: dict[str, list[list[float]]] = {"afresh": [], "from the former's centroids": []}
    for seed in SEEDS:
        noise = plan(epsilon, d, own_draw=False, n_rounds=FORMER_ROUNDS)
        former = released(study(before.records, noise, seed).cluster_centers)
        for start, centers in zip(ratios, (None, former), strict=True):
            row = []
            for n_rounds in ROUNDS:
                noise = plan(epsilon, d, own_draw=False, n_rounds=n_rounds)
                found = study(now.records, noise, seed, former=centers)
                row.append(now.ratio(found.cluster_centers))
            ratios[start].append(row)
    medians = {start: np.median(rows, axis=0).tolist() for start, rows in ratios.items()}
    for start, row in medians.items():
        shown.add_row(start, *(f"{ratio:.4f}" for ratio in row))
    console.print(shown)
    return medians


def _name(epsilon: float | None) -> str:
    return "no noise" if epsilon is None else f"epsilon {epsilon:g}"
