"""Sizes and means of one study's segments with all that is uncertain in them, in scaled space."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mpcseg.study.figures import FeatureFigures, Report, SegmentFigures
from mpcseg.study.results import Results
from mpcseg.study.spec import FeatureSpec, StudySpec

Array = npt.NDArray[np.float64]

# Of one, uniform: 1/sqrt(12).
_ROUNDING_STD = 1 / math.sqrt(12)
# Segments whose means differ by less, in standard deviations, do not tell how long one is.
_LEAST_SPREAD = 0.1
_HALF_A_CUSTOMER = 0.5


@dataclass(frozen=True, eq=False)
class Figures:
    """One study's shown segments.

    Attributes:
        numbers: of the segments, n of them.
        clusters: their rows in the study's result.
        sizes: at least half a customer, shape (n,).
        size_stds: of noise and rounding, shape (n,).
        n_records: of all customers, hidden segments' included.
        has_others: whether there are hidden segments.
        means: in scaled space, shape (n, d).
        variances: of their noise and rounding, and of the chance of who is a customer, (n, d).
        deviations: standard deviations of all customers, shape (d,); NaN where they do not follow
            from what was released.
    """

    numbers: tuple[int, ...]
    clusters: tuple[int, ...]
    sizes: Array
    size_stds: Array
    n_records: float
    has_others: bool
    means: Array
    variances: Array
    deviations: Array

    def started_from(self, row: int, n_former: int) -> int | None:
        """The former segment whose centroid a segment began with; None for a hidden one's place."""
        number = self.clusters[row] + 1
        return number if number <= n_former else None

    def shares(self, rows: Sequence[int], *, rest: bool) -> tuple[Array, Array, float]:
        """Shares of some segments, and of everybody else together at the end if asked for.

        Returns:
            Shares, shape (n,) or (n + 1,), that add up to 1; their variances by noise and rounding;
            and of how many customers they are.
        """
        sizes, variances = self.sizes[rows], self.size_stds[rows] ** 2
        if rest:
            others = max(self.n_records - sizes.sum(), _HALF_A_CUSTOMER)
            sizes, variances = np.append(sizes, others), np.append(variances, variances.sum())
        total = float(sizes.sum())
        shares = sizes / total
        # A share is its size over the sum of all, in which it is itself.
        noise = variances * (1 - 2 * shares) + shares**2 * variances.sum()
        return shares, noise / total**2, total


def figures_of(spec: StudySpec, results: Results) -> Figures:
    """Read what drift is told from.

    Args:
        spec: an agreement with the study's features.
        results: with a report that shows a segment.
    """
    report, digits = _report(results), spec.release.significant_digits
    segments = report.segments
    sizes = np.array([max(float(s.size), _HALF_A_CUSTOMER) for s in segments])
    noise = np.array([s.noise or 0.0 for s in segments])
    rounding = np.array([max(_step(s.size, digits), 1.0) for s in segments]) * _ROUNDING_STD
    means = np.array(
        [[_scaled(f, s.features[j].centre) for j, f in enumerate(spec.features)] for s in segments]
    )
    return Figures(
        numbers=tuple(s.number for s in segments),
        clusters=tuple(s.cluster for s in segments),
        sizes=sizes,
        size_stds=np.hypot(noise, rounding),
        n_records=max(float(report.n_records or 0), sizes.sum()),
        has_others=report.n_hidden > 0,
        means=means,
        variances=np.array([_variances(spec, s, digits) for s in segments]),
        deviations=_deviations(results, segments, means),
    )


def _report(results: Results) -> Report:
    if results.report is None:
        raise ValueError("results without a report")
    return results.report


def _scaled(feature: FeatureSpec, value: float) -> float:
    return float(feature.scale(value))


def _variances(spec: StudySpec, segment: SegmentFigures, digits: int) -> list[float]:
    """Of one segment's means, shape (d,)."""
    size = max(float(segment.size), 1.0)
    found = []
    for feature, figures in zip(spec.features, segment.features, strict=True):
        known = [figures.noise or 0.0, _step(figures.centre, digits) * _ROUNDING_STD]
        stds = [_width(feature, figures.centre, width) for width in known]
        found.append(math.fsum(std**2 for std in stds) + _spread(feature, figures) ** 2 / size)
    return found


def _width(feature: FeatureSpec, centre: float, width: float) -> float:
    """Half a width around a centre, from original units to scaled space.

    The inverse of how the key node makes it: half the difference of two values mapped back.
    """
    if feature.transform == "log1p":
        width = math.asinh(width / (1 + centre))
    low, high = (feature.unscale(-1.0), feature.unscale(1.0))
    if feature.transform == "log1p":
        low, high = np.log1p(low), np.log1p(high)
    return float(2 * width / (high - low))


def _spread(feature: FeatureSpec, figures: FeatureFigures) -> float:
    """Standard deviation within a segment, in scaled space; 0 for an empty one."""
    if figures.low is None or figures.high is None:
        return 0.0
    low, high = _scaled(feature, figures.low), _scaled(feature, figures.high)
    centre = _scaled(feature, figures.centre)
    return max(high - centre, centre - low)  # one end may be cut off at the bounds


def _step(value: float, digits: int) -> float:
    """How far apart two neighbouring values of so many significant digits are."""
    if value == 0:
        return 0.0
    return float(10.0 ** (math.floor(math.log10(abs(value))) - digits + 1))


def _deviations(results: Results, segments: Sequence[SegmentFigures], means: Array) -> Array:
    """Standard deviations of all customers in scaled space, shape (d,).

    Whoever receives the centroids has them: the metric's weights. For others they follow from the
    segments' means, which the report gives in original units and in standard deviations.
    """
    if results.centroids is not None and results.centroids.feature_weights:
        return 1 / np.sqrt(np.array(results.centroids.feature_weights, dtype=np.float64))
    found = []
    for j in range(means.shape[1]):
        offsets = np.array([segment.features[j].deviation for segment in segments])
        if len(segments) > 1 and np.ptp(offsets) >= _LEAST_SPREAD:
            found.append(float(np.polyfit(offsets, means[:, j], 1)[0]))
        else:
            found.append(math.nan)
    return np.array(found)
