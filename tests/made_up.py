"""Finished studies, made up rather than run: whatever sizes a test wants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mpcseg.study.figures import Report
from mpcseg.study.outcome import RoundRecord, StudyResult
from mpcseg.study.results import PrivacySpent
from mpcseg.study.spec import FeatureSpec, StudySpec
from tests.organisations import no_noise, study_spec

FEATURES = (
    FeatureSpec(name="recency", lower=0, upper=400),
    FeatureSpec(name="money", transform="log1p", lower=0, upper=10_000),
)
SPENT = PrivacySpent(1.0, 1e-6, {"moments": 0.1, "lloyd": 0.8, "profile": 0.1})
NOTE = "feature 'recency' fills little of its bounds; tighter ones sharpen the assignment"


def agreed(n_clusters: int = 5, *, noise: bool = True, **overrides: Any) -> StudySpec:
    """A study whose report and centroids go to alder, the report to birch, centroids to hub."""
    release = {
        "report": ["alder", "birch"],
        "centroids": ["alder", "hub"],
        **overrides.pop("release", {}),
    }
    privacy = {} if noise else {"privacy": no_noise()}
    fields = {"features": FEATURES, **privacy, **overrides}
    return study_spec(n_clusters=n_clusters, release=release, **fields)


def finished(sizes: Sequence[float], n_records: int | None = None, seed: int = 0) -> StudyResult:
    """A study with these sizes, everything else at random; a segment of size 0 is empty."""
    rng = np.random.default_rng(seed)
    k, d = len(sizes), len(FEATURES)
    counts = np.array(sizes, dtype=float)
    means = rng.uniform(-0.9, 0.9, (k, d))
    spreads = rng.uniform(0.01, 0.3, (k, d))
    centers = means + rng.normal(0, 0.01, (k, d))
    empty = counts <= 0
    means[empty], spreads[empty] = centers[empty], 0.0
    total = round(counts.clip(0).sum()) if n_records is None else n_records
    share = counts.clip(0) / max(counts.clip(0).sum(), 1)
    mean = share @ means
    second = share @ (means**2 + spreads**2)
    variances = np.maximum(second - mean**2, 1e-3)
    weights = 1 / variances
    squares = (spreads**2 + (means - centers) ** 2) @ weights
    return StudyResult(
        cluster_centers=centers,
        segment_sizes=counts,
        segment_means=means,
        segment_spreads=spreads,
        size_stds=rng.uniform(1, 9, k),
        mean_stds=rng.uniform(0.001, 0.05, (k, d)),
        inertia=float(counts.clip(0) @ squares),
        n_records=total,
        feature_means=mean,
        feature_covariance=np.diag(variances),
        feature_weights=weights,
        starting_centers=rng.uniform(-1, 1, (k, d)),
        n_iter=7,
        converged=True,
        history=(
            RoundRecord(1, "moments", (), None, total, None, (NOTE,)),
            RoundRecord(2, "lloyd", (7, 15), 0.1, total, counts, ("cluster 1 was empty",)),
            RoundRecord(3, "profile", (7, 15), None, total, counts, ("segment 2 is empty",)),
        ),
    )


def report(results: Any) -> Report:
    """The report in results that must have one."""
    assert results.report is not None
    return results.report  # type: ignore[no-any-return]
