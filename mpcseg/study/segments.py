"""Sizes, means, spreads and inertia of the segments, from the profile round's sums."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpcseg.reference.metrics import inertia_from_means, inertia_from_profile
from mpcseg.study.estimation import (
    Totals,
    combined,
    combined_stds,
    noised_means,
    positive_part,
)

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Centroids:
    """Where the profile round's centroids are, and what is known of them.

    Attributes:
        values: shape (k, d).
        stds: of the noise in them, shape (k, d); infinite where a cluster was lost in it.
        mean: of all records, shape (d,).
        feature_weights: 1 / variance, shape (d,).
    """

    values: Array
    stds: Array
    mean: Array
    feature_weights: Array


@dataclass(frozen=True, eq=False)
class Segments:
    """What the profile round tells of the segments; shapes as in `StudyResult`.

    Attributes:
        filled: which are not empty.
        sizes: sums of the assignment weights.
        means: weighted means; the centroid for an empty segment.
        spreads: weighted standard deviations; 0 for an empty segment.
        size_stds: of the noise in the sizes.
        mean_stds: of the noise in the means.
        inertia: in the standardised metric.
    """

    filled: NDArray[np.bool_]
    sizes: Array
    means: Array
    spreads: Array
    size_stds: Array
    mean_stds: Array
    inertia: float


def segments_from_profile(
    sums: Array, stds: Array, centroids: Centroids, totals: Totals, threshold: float
) -> Segments:
    """Read the profile round. Key node.

    Args:
        sums: shape (k, 2d + 1).
        stds: of their noise, same shape; all 0 without.
        centroids: by which the round assigned.
        totals: over all clusters, as known from the rounds before.
        threshold: count at or below which a segment is empty.
    """
    d = len(centroids.mean)
    is_noised = bool(stds.any())
    first, first_stds = totals.correct(sums[:, : d + 1], stds[:, : d + 1])
    sizes, size_stds = first[:, -1], first_stds[:, -1]
    own = noised_means(first, first_stds, threshold, centroids.values)
    means, mean_stds = own.values, np.zeros_like(own.values)
    if is_noised:
        # The centroids are means of nearly the same records, out of other noise.
        joined = combined(centroids.values, centroids.stds, own.values, own.stds)
        means = np.where(own.filled[:, None], joined, centroids.values)
        # Of a segment that is lost in the noise, only the domain is known.
        mean_stds = np.minimum(combined_stds(centroids.stds, own.stds), 1.0)
        inertia = inertia_from_means(
            sizes, means, centroids.values, centroids.mean, centroids.feature_weights
        )
    else:
        inertia = inertia_from_profile(sums, centroids.values, centroids.feature_weights)
    divisor = np.where(own.filled, np.maximum(sizes, 3 * size_stds), 1.0)[:, None]
    # As the records' squares are divided by counts, so is their noise.
    square_stds = np.hypot(stds[:, d + 1 :] / divisor, 2 * means * mean_stds)
    variances = positive_part(sums[:, d + 1 :] / divisor - means**2, square_stds)
    spreads = np.where(own.filled[:, None], np.sqrt(np.minimum(variances, 1.0)), 0.0)
    return Segments(own.filled, sizes, means, spreads, size_stds, mean_stds, inertia)
