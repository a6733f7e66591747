"""The comparison with scikit-learn on the pooled table, which only a demonstration can make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mpcseg.errors import ConfigError
from mpcseg.reference.metrics import inertia, nearest

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Comparison:
    """How the encrypted study did against scikit-learn, in the standardised metric.

    Attributes:
        inertia: of the study's final centroids, every record with its nearest.
        inertia_lloyd: of scikit-learn's Lloyd from the same start, as many rounds.
        inertia_best10: of the best of ten scikit-learn starts.
        ari: adjusted Rand index of the labels with those of the same start.
        ari_best10: with those of the best of ten starts.
    """

    inertia: float
    inertia_lloyd: float
    inertia_best10: float
    ari: float
    ari_best10: float

    @property
    def inertia_ratio(self) -> float:
        """To Lloyd from the same start; below 1 is better than scikit-learn."""
        return self.inertia / self.inertia_lloyd

    @property
    def inertia_ratio_best10(self) -> float:
        """To the best of ten starts."""
        return self.inertia / self.inertia_best10


def verify_scikit_learn() -> None:
    """Refuse to start a demonstration that could not be compared at its end.

    Raises:
        ConfigError: scikit-learn is not installed.
    """
    _sklearn()


def compare(records: Array, centers: Array, starting_centers: Array, n_rounds: int) -> Comparison:
    """Run scikit-learn on the pooled records and compare.

    Args:
        records: all records in scaled space, shape (n, d).
        centers: the study's final centroids in scaled space, shape (k, d).
        starting_centers: where its Lloyd rounds began, shape (k, d).
        n_rounds: Lloyd rounds that it made.
    """
    cluster, metrics = _sklearn()
    mean, sd = records.mean(axis=0), records.std(axis=0)
    standardised = (records - mean) / sd
    ours, start = (centers - mean) / sd, (starting_centers - mean) / sd
    ones = np.ones(records.shape[1])
    labels = nearest(standardised, ours, ones)
    k = len(centers)
    lloyd = cluster.KMeans(
        k, init=start, n_init=1, max_iter=n_rounds, tol=0, algorithm="lloyd"
    ).fit(standardised)
    best = cluster.KMeans(k, n_init=10, random_state=0, algorithm="lloyd").fit(standardised)
    return Comparison(
        inertia=inertia(standardised, ours, ones),
        inertia_lloyd=float(lloyd.inertia_),
        inertia_best10=float(best.inertia_),
        ari=float(metrics.adjusted_rand_score(lloyd.labels_, labels)),
        ari_best10=float(metrics.adjusted_rand_score(best.labels_, labels)),
    )


def _sklearn() -> tuple[Any, Any]:
    try:
        from sklearn import cluster, metrics  # noqa: PLC0415  an extra: only the demo needs it
    except ImportError:
        raise ConfigError(
            "the demo compares with scikit-learn, which is not installed",
            "Install it with: pip install 'mpcseg[demo]'",
        ) from None
    return cluster, metrics
