"""Finished studies with many clusters: the schedule on sums in the clear, then what is released."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from unittest.mock import patch

import numpy as np
from sklearn.datasets import make_moons

from mpcseg.reference.metrics import nearest
from mpcseg.study.nearest import ReleasedCentroids
from mpcseg.study.results import NO_NOISE, PrivacySpent, Results, make_results
from mpcseg.study.spec import FeatureSpec, StudySpec
from tests.organisations import no_noise, study_spec
from tests.unit.study.clear_study import clear_schedule, plan_for, run_clear


@dataclass(frozen=True, eq=False)
class ManyClusters:
    """A study, what alder received of it, and the pooled table that nobody has.

    Attributes:
        spec: the agreement.
        results: as alder opened them.
        records: in scaled space, shape (n, d).
        truth: the shape that each record belongs to, shape (n,).
    """

    spec: StudySpec
    results: Results
    records: np.ndarray
    truth: np.ndarray

    @property
    def released(self) -> ReleasedCentroids:
        return ReleasedCentroids.of_results(self.spec, self.results)

    @property
    def nearest(self) -> np.ndarray:
        """The row of each record's nearest released centroid, shape (n,)."""
        released = self.released
        return nearest(self.records, released.centers, released.weights)


def study_of(
    values: np.ndarray,
    truth: np.ndarray,
    n_clusters: int,
    *,
    n_rounds: int = 3,
    epsilon: float | None = None,
    features: tuple[FeatureSpec, ...] = (),
) -> ManyClusters:
    """Run a study with the polynomials that ciphertexts get, on sums in the clear."""
    features = features or tuple(
        FeatureSpec(name=f"x{j}", lower=float(column.min()), upper=float(column.max()))
        for j, column in enumerate(values.T)
    )
    records = np.column_stack(
        [feature.scale(column) for feature, column in zip(features, values.T, strict=True)]
    )
    names = [feature.name for feature in features]
    shape = {"n_clusters": n_clusters, "n_rounds": n_rounds}
    schedule = clear_schedule(**shape, features=names, epsilon=epsilon)
    noise = None
    if epsilon is not None:
        plan = plan_for(**shape, n_features=len(features), epsilon=epsilon)
        noise = (plan, np.random.default_rng(0))
    with patch("mpcseg.study.start.N_STARTS", 2):  # of twenty, which would take most of the time
        result = run_clear(schedule, [records], n_clusters, noise)
    spec = study_spec(
        features=features,
        **shape,
        privacy=no_noise() if epsilon is None else {"epsilon": epsilon},
    )
    spent = (
        NO_NOISE if epsilon is None else PrivacySpent(epsilon, 1e-6, {"lloyd": 0.9, "profile": 0.1})
    )
    return ManyClusters(spec, make_results(spec, "alder", result, spent), records, truth)


@functools.cache
def moons() -> ManyClusters:
    """Two moons in 16 clusters, exact sums."""
    return study_of(*make_moons(1500, noise=0.07, random_state=7), 16, n_rounds=2)


@functools.cache
def noised_moons() -> ManyClusters:
    """Two moons in 8 clusters, with noise."""
    return study_of(*make_moons(6000, noise=0.07, random_state=7), 8, n_rounds=1, epsilon=15)
