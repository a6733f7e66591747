"""What noise costs: inertia over epsilon and the number of records, whole budget, real tables.

The real schedule, fed with sums in the clear: the same soft step with the same sign polynomials
that ciphertexts get, and real draws of the planned noise (OpenDP). No ciphertext is made; what
encryption adds to a sum is under 0.001 (docs/precision.md), noise is never under 4.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sklearn.cluster import KMeans

from mpcseg.ckks.planner import BLUNT, SHARP
from mpcseg.errors import TooFewRecordsError
from mpcseg.privacy.budget import NoisePlan, no_noise_plan, noise_plan
from mpcseg.privacy.noise import draw
from mpcseg.reference.lloyd import profile_sums, soft_weights, weighted_sums
from mpcseg.reference.metrics import inertia
from mpcseg.reference.moments import moment_sums
from mpcseg.reference.rounds import ScoutTerms
from mpcseg.reference.sign import sign_for
from mpcseg.study.schedule import RoundRequest, Schedule, StudyResult
from mpcseg.study.spec import FeatureSpec

Array = NDArray[np.float64]

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"
N_CLUSTERS, DELTA, SLOTS = 5, 1e-6, 8192
EPSILONS: tuple[float | None, ...] = (0.5, 1.0, 2.0, 4.0, None)
SEEDS = range(5)
ROUNDS = 8
# Integer units of a slot sum at ring degree 16384 and scale 2^31 (docs/protocol.md 6).
UNITS = 2.0**31 * 2 / 16384
# Of the resampled table, in scaled space: no two customers are quite the same.
JITTER = 0.02

# What the shop could agree on without looking at its customers: the table covers 546 days, who is
# in it came in the first 91 of them, and 200 orders or 10,000 dollars are more than anybody needs.
CDNOW_FEATURES = (
    FeatureSpec(name="recency_days", lower=0, upper=546),
    FeatureSpec(name="frequency", transform="log1p", lower=1, upper=200),
    FeatureSpec(name="monetary", transform="log1p", lower=0, upper=10_000),
    FeatureSpec(name="units", transform="log1p", lower=1, upper=1_000),
    FeatureSpec(name="tenure_days", lower=455, upper=546),
    FeatureSpec(name="active_span_days", lower=0, upper=546),
)
# A year's spending per category, in monetary units.
WHOLESALE_FEATURES = tuple(
    FeatureSpec(name=name, transform="log1p", lower=1, upper=200_000)
    for name in ("Fresh", "Milk", "Grocery", "Frozen", "Detergents_Paper", "Delicassen")
)


@dataclass(frozen=True)
class Customers:
    """Scaled records of everybody together, and what scikit-learn makes of them.

    Attributes:
        name: of the table.
        records: shape (n, d).
        best: least inertia of ten scikit-learn starts, in the standardised metric.
    """

    name: str
    records: Array
    best: float

    def ratio(self, centers: Array) -> float:
        """Inertia of centroids in the standardised metric, against scikit-learn's."""
        return inertia(self.records, centers, 1 / self.records.var(axis=0)) / self.best


def customers(name: str, records: Array) -> Customers:
    """Cluster records with scikit-learn, ten starts."""
    standardised = (records - records.mean(axis=0)) / records.std(axis=0)
    best = KMeans(N_CLUSTERS, n_init=10, random_state=0).fit(standardised)
    return Customers(name, records, float(best.inertia_))


def cdnow(*, own_range: bool = False) -> Array:
    """Scaled CDNOW records, by the agreed bounds or (as the demo does) by the table's own range."""
    return _scaled("cdnow_rfm", CDNOW_FEATURES, own_range=own_range)


def wholesale() -> Array:
    """Scaled records of the wholesaler's customers."""
    return _scaled("wholesale", WHOLESALE_FEATURES, own_range=False)


def _scaled(name: str, features: tuple[FeatureSpec, ...], *, own_range: bool) -> Array:
    table = pd.read_csv(DATA / f"{name}.csv")
    columns = []
    for feature in features:
        values = table[feature.name].to_numpy(dtype=float)
        agreed = feature
        if own_range:
            low, high = float(values.min()), float(values.max())
            agreed = feature.model_copy(update={"lower": low, "upper": high})
        columns.append(np.clip(agreed.scale(values), -1.0, 1.0))
    return np.column_stack(columns)


def plan(
    epsilon: float | None,
    n_features: int,
    *,
    own_draw: bool,
    n_rounds: int,
    n_clusters: int = N_CLUSTERS,
    scouting: ScoutTerms | None = None,
) -> NoisePlan:
    """The noise of a study of one party; None for no noise."""
    shape: dict[str, Any] = {
        "n_clusters": n_clusters,
        "n_features": n_features,
        "n_rounds": n_rounds,
        "n_parties": 1,
        "radius": math.sqrt(n_features),
        "signs": (BLUNT, SHARP),
        "own_draw": own_draw,
        "delta": DELTA,
        "scouting": scouting,
    }
    return no_noise_plan(**shape) if epsilon is None else noise_plan(epsilon=epsilon, **shape)


def study(
    records: Array, noise: NoisePlan, seed: int, *, former: Array | None = None
) -> StudyResult:
    """A whole study in the clear, with noise drawn as both nodes draw it.

    Starts from a former study's centroids where these are given.
    """
    schedule = Schedule(
        n_clusters=noise.n_clusters,
        n_rounds=noise.n_rounds,
        feature_names=[f"feature {j}" for j in range(records.shape[1])],
        parties={"all": math.ceil(len(records) / SLOTS)},
        slots=SLOTS,
        most_records=len(records),
        blunt=BLUNT,
        sharp=SHARP,
        seed=seed,
        noise=noise,
        former=former,
    )
    while (request := schedule.request()) is not None:
        k = request.n_clusters or noise.n_clusters
        stds = noise.stds(request.kind, request.sign, request.n_clusters)
        sums = _sums(request, records, k) + _drawn(stds)
        schedule.receive(sums + _drawn(stds) if noise.own_draw else sums)
    return schedule.result()


def _sums(request: RoundRequest, records: Array, n_clusters: int) -> Array:
    if request.kind == "admission":
        return np.zeros((1, 3))  # of honest records
    if request.kind == "moments" or request.hyperplanes is None:
        return moment_sums(records)
    weights = soft_weights(records, request.hyperplanes, sign_for(request.sign), n_clusters)
    make = weighted_sums if request.kind in ("lloyd", "scout") else profile_sums
    return make(records, weights)


def _drawn(stds: Array) -> Array:
    draws = [draw(std * UNITS) / UNITS for std in stds.ravel().tolist()]
    return np.array(draws).reshape(stds.shape)


def run(console: Console, repeats: int) -> dict[str, Any]:  # noqa: ARG001
    """Print and return the tables of docs/privacy.md."""
    if not DATA.is_dir():
        console.print(f"privacy: skipped, the real tables are not at {DATA}")
        return {}
    rng = np.random.default_rng(20)
    full = cdnow()
    resampled = full[rng.integers(len(full), size=100_000)]
    jittered = np.clip(resampled + rng.normal(0, JITTER, resampled.shape), -1, 1)
    tables = [
        customers("wholesale", wholesale()),
        customers("CDNOW, a sample", full[rng.permutation(len(full))[:5000]]),
        customers("CDNOW", full),
        customers("CDNOW, resampled with jitter", jittered),
    ]
    figures: dict[str, Any] = {}
    for own_draw in (False, True):
        title = "both nodes draw" if own_draw else "the compute node draws"
        rows = [(group, own_draw, ROUNDS) for group in tables]
        figures[title] = _table(console, f"Inertia, {ROUNDS} rounds, {title}", rows)
    ten = [(tables[2], False, 10), (tables[2], True, 10)]
    figures["ten rounds"] = _table(console, "CDNOW, 10 rounds, one draw and both", ten)
    own = customers("CDNOW, the table's own range", cdnow(own_range=True))
    figures["own range"] = _table(
        console, "Bounds as in the demo", [(own, False, ROUNDS), (own, True, ROUNDS)]
    )
    return figures


def _table(
    console: Console, title: str, rows: list[tuple[Customers, bool, int]]
) -> dict[str, dict[str, list[float]]]:
    """Median, and worst, of five seeds for every epsilon; against the best of ten starts."""
    shown = Table(title=f"{title}: median (worst) of {len(SEEDS)}, by epsilon")
    for column in ("table", "n", "draws", *(_name(epsilon) for epsilon in EPSILONS)):
        shown.add_column(column, justify="right")
    figures: dict[str, dict[str, list[float]]] = {}
    for group, own_draw, n_rounds in rows:
        of_group: dict[str, list[float]] = {}
        for epsilon in EPSILONS:
            noise = plan(epsilon, group.records.shape[1], own_draw=own_draw, n_rounds=n_rounds)
            of_group[_name(epsilon)] = _ratios(group, noise)
        name = f"{group.name}, {2 if own_draw else 1} draws"
        figures[name] = of_group
        cells = [_cell(ratios) for ratios in of_group.values()]
        shown.add_row(group.name, f"{len(group.records):,}", "2" if own_draw else "1", *cells)
    console.print(shown)
    return figures


def _ratios(group: Customers, noise: NoisePlan) -> list[float]:
    """One for each seed that the key node did not refuse as lost in the noise."""
    ratios: list[float] = []
    for seed in SEEDS:
        with contextlib.suppress(TooFewRecordsError):
            ratios.append(group.ratio(study(group.records, noise, seed).cluster_centers))
    return ratios


def _cell(ratios: list[float]) -> str:
    refused = len(SEEDS) - len(ratios)
    text = f"{np.median(ratios):.4f} ({max(ratios):.4f})" if ratios else ""
    return text + (f" {refused} refused" if refused else "")


def _name(epsilon: float | None) -> str:
    return "none" if epsilon is None else f"{epsilon:g}"
