"""How often the rule that chooses the number of segments is right, on tables that it has not seen.

The real schedule in the clear (as benchmarks/privacy.py), over random tables with planted groups.
The rule may be tuned on tables of the seeds below ``HELD_OUT``; the figures of docs/protocol.md are
those of the seeds from there on. Beside it stands what scikit-learn chooses by the same index, from
ten starts on the pooled table: what no rule on that index would get right.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sklearn.cluster import KMeans
from sklearn.metrics import calinski_harabasz_score

from benchmarks.privacy import plan, study
from mpcseg.reference.rounds import ScoutTerms

Array = NDArray[np.float64]

TERMS = ScoutTerms((2, 3, 4, 5, 6), 2, 2)
N_RECORDS, N_ROUNDS = 20_000, 2
EPSILONS: tuple[float | None, ...] = (None, 2.0, 1.0)
HELD_OUT, N_SEEDS = 1000, 5
N_FEATURES = (2, 3, 5)


@dataclass(frozen=True)
class Kind:
    """A kind of table.

    Attributes:
        name: of it.
        apart: least distance between two groups' centres, in widths of a group.
        plain: features that tell no groups apart, beside those that do.
    """

    name: str
    apart: float
    plain: int = 0


KINDS = (
    Kind("8 widths apart", 8.0),
    Kind("5 widths apart", 5.0),
    Kind("8 widths apart, a feature without groups", 8.0, plain=1),
)


@dataclass(frozen=True)
class Trial:
    """One table, and what was chosen on it.

    Attributes:
        kind: name of the table's kind.
        n_features: d.
        planted: groups.
        sklearn: number with scikit-learn's largest Calinski-Harabasz index.
        chosen: by the rule, for each of EPSILONS.
    """

    kind: str
    n_features: int
    planted: int
    sklearn: int
    chosen: tuple[int, ...]


def table(kind: Kind, n_features: int, planted: int, seed: int) -> Array:
    """Groups of different sizes and widths at random places; shape (n, d), in [-1, 1]."""
    rng = np.random.default_rng([seed, planted, n_features, KINDS.index(kind)])
    telling = n_features - kind.plain
    width = 0.13
    while True:  # narrower until so many have room
        places = _places(rng, planted, telling, kind.apart * width)
        if places is not None:
            break
        width *= 0.95
    sizes = 0.4 / planted + 0.6 * rng.dirichlet(np.full(planted, 5.0))
    group = rng.choice(planted, N_RECORDS, p=sizes)
    widths = width * rng.uniform(0.7, 1.3, (planted, telling))
    records = places[group] + widths[group] * rng.standard_normal((N_RECORDS, telling))
    plain = 0.3 * rng.standard_normal((N_RECORDS, kind.plain))
    return np.clip(np.hstack([records, plain]), -1.0, 1.0)


def _places(rng: np.random.Generator, planted: int, telling: int, apart: float) -> Array | None:
    for _ in range(200):
        places: Array = rng.uniform(-0.75, 0.75, (planted, telling))
        distances = np.linalg.norm(places[:, None] - places, axis=2)
        if distances[np.triu_indices(planted, 1)].min() >= apart:
            return places
    return None


def trial(job: tuple[Kind, int, int, int]) -> Trial:
    """Choose on one table, by every way."""
    kind, n_features, planted, seed = job
    records = table(kind, n_features, planted, seed)
    chosen = []
    for epsilon in EPSILONS:
        noise = plan(
            epsilon, n_features, own_draw=False, n_rounds=N_ROUNDS,
            n_clusters=TERMS.candidates[-1], scouting=TERMS,
        )  # fmt: skip
        choice = study(records, noise, seed).choice
        chosen.append(choice.chosen.n_clusters if choice else 0)
    return Trial(kind.name, n_features, planted, _by_sklearn(records), tuple(chosen))


def _by_sklearn(records: Array) -> int:
    standardised = (records - records.mean(axis=0)) / records.std(axis=0)
    found = {}
    for k in TERMS.candidates:
        labels = KMeans(k, n_init=10, random_state=0).fit_predict(standardised)
        found[k] = float(calinski_harabasz_score(standardised, labels))
    return max(found, key=lambda k: found[k])


def jobs(first_seed: int, n_seeds: int) -> Iterator[tuple[Kind, int, int, int]]:
    """Every kind, number of features and of groups, with so many seeds each."""
    for seed in range(first_seed, first_seed + n_seeds):
        for kind in KINDS:
            for n_features in N_FEATURES:
                if n_features > kind.plain + 1:
                    for planted in TERMS.candidates:
                        yield kind, n_features, planted, seed


def run(console: Console, repeats: int) -> dict[str, Any]:  # noqa: ARG001
    """Print and return how often each way is right."""
    with ProcessPoolExecutor() as pool:
        trials = list(pool.map(trial, jobs(HELD_OUT, N_SEEDS), chunksize=4))
    ways = ["scikit-learn", *("no noise" if e is None else f"epsilon {e:g}" for e in EPSILONS)]
    shown = Table("tables", "", *ways, title="The planted number of groups was chosen")
    figures: dict[str, Any] = {}
    for name, group in _groups(trials):
        rights = [[one.sklearn == one.planted for one in group]]
        rights += [[one.chosen[i] == one.planted for one in group] for i in range(len(EPSILONS))]
        shares = [sum(right) / len(group) for right in rights]
        figures[name] = dict(zip(ways, shares, strict=True)) | {"tables": len(group)}
        shown.add_row(name, str(len(group)), *(f"{share:.0%}" for share in shares))
    console.print(shown)
    either = [one for one in trials if one.sklearn == one.planted]
    for i, way in enumerate(ways[1:]):
        same = sum(one.chosen[i] == one.planted for one in either) / max(len(either), 1)
        figures[f"of scikit-learn's right ones, {way}"] = same
        console.print(f"{way}: {same:.1%} of the tables that scikit-learn is right on")
    return figures


def _groups(trials: list[Trial]) -> Iterator[tuple[str, list[Trial]]]:
    for kind in KINDS:
        yield kind.name, [one for one in trials if one.kind == kind.name]
    for planted in TERMS.candidates:
        yield f"{planted} groups", [one for one in trials if one.planted == planted]
    for n_features in N_FEATURES:
        yield f"{n_features} features", [one for one in trials if one.n_features == n_features]
    yield "all", trials
