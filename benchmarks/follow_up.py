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

from benchmarks.privacy import (
    CDNOW_FEATURES,
    DATA,
    JITTER,
    N_CLUSTERS,
    Customers,
    cdnow,
    customers,
    plan,
    study,
    wholesale,
)
from mpcseg.privacy.release import significant
from mpcseg.report.drift import Drift, drift
from mpcseg.study.results import NO_NOISE, Results, make_results
from tests.organisations import study_spec

Array = NDArray[np.float64]

ROUNDS = (1, 2, 3, 4, 6, 8)
EPSILONS: tuple[float | None, ...] = (None, 2.0, 1.0)
SEEDS = range(3)
DIGITS = 3
FORMER_ROUNDS, FOLLOWING_ROUNDS = 8, 4
PAIRS = ((8_000, 20), (23_570, 10))


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
    return {**figures, "false alarms": false_alarms(console)}


def false_alarms(console: Console) -> list[dict[str, float]]:
    """Count what drift says of pairs of studies between which nothing has changed.

    Both studies' customers are drawn anew from one table, with a little jitter, so that chance is
    as large as it is for customers who come and go.
    """
    shown = Table(title=f"Nothing changed, epsilon 1, k = {N_CLUSTERS}: what drift says of it")
    for column in ("customers", "pairs", "alarms", "largest move", "z over 3", "largest index"):
        shown.add_column(column, justify="right")
    full, found = cdnow(), []
    for n_customers, n_pairs in PAIRS:
        rows = [_nothing_changed(full, n_customers, seed) for seed in range(n_pairs)]
        segments = [s for row in rows for s in row.segments if s.move is not None]
        figures = {
            "customers": n_customers,
            "pairs": n_pairs,
            "alarms": sum(row.exceeded for row in rows),
            "largest move": max(s.move or 0.0 for s in segments),
            "z over 3": float(np.mean([(s.move_z or 0.0) > 3 for s in segments])),
            "largest index": max(row.psi for row in rows),
        }
        found.append(figures)
        shown.add_row(*(f"{value:,.4g}" for value in figures.values()))
    console.print(shown)
    return found


def _nothing_changed(full: Array, n_customers: int, seed: int) -> Drift:
    rng = np.random.default_rng(seed)
    terms: dict[str, Any] = {
        "parties": ("alder",),
        "features": CDNOW_FEATURES,
        "n_clusters": N_CLUSTERS,
        "release": {"report": ["alder"], "centroids": ["alder", "keeper"]},
    }
    former = study_spec(name="former", n_rounds=FORMER_ROUNDS, **terms)
    new = study_spec(name="new", n_rounds=FOLLOWING_ROUNDS, former=former.digest, **terms)
    results: list[Results] = []
    for spec in (former, new):
        drawn = full[rng.integers(len(full), size=n_customers)]
        records = np.clip(drawn + rng.normal(0, JITTER, drawn.shape), -1, 1)
        start = results[0].centroids.centers_scaled if results and results[0].centroids else None
        noise = plan(1.0, records.shape[1], own_draw=False, n_rounds=spec.n_rounds)
        found = study(records, noise, seed, former=None if start is None else np.array(start))
        results.append(make_results(spec, "alder", found, NO_NOISE))
    return drift(new, results[0], results[1])


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
