"""The released segments as numbers in scaled space: sizes, means, spreads, centroids, the metric.

Runs at a recipient. Figures come in original units, rounded; mapped back they are no more precise
than what was released.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mpcseg.errors import AgreementError
from mpcseg.study.figures import FeatureFigures, SegmentFigures
from mpcseg.study.results import Results
from mpcseg.study.spec import FeatureSpec, StudySpec

Array = npt.NDArray[np.float64]

# Of a feature in which all shown segments are the same point, in scaled space.
_LEAST_VARIANCE = 1e-6


@dataclass(frozen=True, eq=False)
class SegmentStatistics:
    """Shown segments in scaled space (each feature in [-1, 1]), in the order of their numbers.

    Attributes:
        features: the agreed features.
        radius: no record is longer.
        numbers: the segments' numbers, shape (n,).
        sizes: customers, shape (n,); 0 for an empty segment.
        size_stds: standard deviation of the noise in them, shape (n,); 0 without noise.
        means: shape (n, d).
        mean_stds: standard deviation of the noise in them, shape (n, d); 0 without noise.
        spreads: standard deviations within the segments, shape (n, d); 0 for an empty one.
        centers: the centroids that label customers, shape (n, d).
        weights: of the standardised metric, shape (d,).
        has_centroids: whether centroids and metric were released to this recipient. Where not, the
            means stand for the centroids, and the metric is made of the shown segments.
    """

    features: tuple[FeatureSpec, ...]
    radius: float
    numbers: npt.NDArray[np.int64]
    sizes: Array
    size_stds: Array
    means: Array
    mean_stds: Array
    spreads: Array
    centers: Array
    weights: Array
    has_centroids: bool

    @property
    def n_segments(self) -> int:
        """How many segments are shown."""
        return len(self.numbers)

    @property
    def filled(self) -> npt.NDArray[np.bool_]:
        """Which segments have customers, shape (n,)."""
        return self.sizes > 0

    def select(self, chosen: npt.NDArray[np.bool_]) -> SegmentStatistics:
        """Some of the segments.

        Args:
            chosen: which, shape (n,).
        """
        names = ("numbers", "sizes", "size_stds", "means", "mean_stds", "spreads", "centers")
        return replace(self, **{name: getattr(self, name)[chosen] for name in names})

    def standardised(self, values: Array) -> Array:
        """Positions or spreads in standard deviations of all customers.

        Args:
            values: shape (…, d), scaled space.
        """
        return np.asarray(values * np.sqrt(self.weights), dtype=np.float64)


def released_statistics(spec: StudySpec, results: Results) -> SegmentStatistics:
    """What an organisation's results say of the segments, in scaled space.

    Args:
        spec: the agreement.
        results: as they were opened.

    Raises:
        AgreementError: this organisation does not receive the report, or no segment is shown.
    """
    report, centroids = results.report, results.centroids
    if report is None:
        raise AgreementError(
            f"'{results.recipient}' receives the centroids of '{results.study}' only: sizes and "
            "spreads of the segments are in the report",
            "Who receives what is in the agreement: mpcseg study show FILE",
        )
    if not report.segments:
        raise AgreementError(
            f"no segment of '{results.study}' was large enough to be shown",
            "A study with fewer segments, or with less noise, may have some.",
        )
    sizes = np.array([segment.size for segment in report.segments], dtype=np.float64)
    means, stds, spreads = _in_scaled_space(spec.features, report.segments)
    if centroids is None:
        centers, weights = means, 1 / _variances(sizes, means, spreads)
    else:
        centers = np.array(centroids.centers_scaled, dtype=np.float64)
        weights = np.array(centroids.feature_weights, dtype=np.float64)
    return SegmentStatistics(
        features=spec.features,
        radius=spec.l2_radius,
        numbers=np.array([segment.number for segment in report.segments], dtype=np.int64),
        sizes=sizes,
        size_stds=np.array([segment.noise or 0.0 for segment in report.segments]),
        means=means,
        mean_stds=stds,
        spreads=spreads,
        centers=centers,
        weights=weights,
        has_centroids=centroids is not None,
    )


def _in_scaled_space(
    features: tuple[FeatureSpec, ...], segments: tuple[SegmentFigures, ...]
) -> tuple[Array, Array, Array]:
    """Means, the noise in them, and spreads; shape (n, d) each."""
    found = np.array(
        [
            [_scaled(*pair) for pair in zip(features, segment.features, strict=True)]
            for segment in segments
        ]
    )
    return found[..., 0], found[..., 1], found[..., 2]


def _scaled(feature: FeatureSpec, figures: FeatureFigures) -> tuple[float, float, float]:
    def scaled(value: float) -> float:
        return float(np.clip(feature.scale(value), -1.0, 1.0))

    mean, noise = scaled(figures.centre), figures.noise or 0.0
    # Half the width around the centre, as in `mpcseg.study.figures`, but for its rounding.
    std = (scaled(figures.centre + noise) - scaled(figures.centre - noise)) / 2 if noise else 0.0
    if figures.low is None or figures.high is None:
        return mean, std, 0.0
    # One of the two ends may have been cut off at a bound: the farther one tells.
    return mean, std, max(scaled(figures.high) - mean, mean - scaled(figures.low), 0.0)


def _variances(sizes: Array, means: Array, spreads: Array) -> Array:
    """Of all customers in shown segments: within and between, shape (d,)."""
    return np.maximum(pooled(sizes, means, spreads)[1] ** 2, _LEAST_VARIANCE)


def pooled(sizes: Array, means: Array, spreads: Array) -> tuple[Array, Array]:
    """Mean and spread of several segments together: exact, from within and between.

    Args:
        sizes: shape (n,); where all are 0, the segments count alike.
        means: shape (n, d).
        spreads: shape (n, d).

    Returns:
        Mean and standard deviation, shape (d,) each.
    """
    shares = sizes / sizes.sum() if sizes.sum() > 0 else np.full(len(sizes), 1 / len(sizes))
    mean = shares @ means
    variance = shares @ (spreads**2 + (means - mean) ** 2)
    return np.asarray(mean), np.asarray(np.sqrt(variance))
