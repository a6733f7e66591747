"""How the key node moves centroids between rounds: pure functions for the schedule.

docs/protocol.md sections 4 and 9. Everything here uses slot sums only. Centroids are in scaled
space and stay in [-1, 1]^d; lengths are in standard deviations (the metric that weights every
squared difference with 1 / variance).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mpcseg.reference.moments import Moments

# ω of c <- c + ω(c' - c). See `relaxation`.
OVER_RELAXATION = 2.0
# Centroids closer than this are taken for coincident, and set this far apart in one feature.
COINCIDENT = 1e-4
SEPARATION = 0.05


def emptiness_threshold(n_records: float, sign_error: float) -> float:
    """Count at or below which a cluster counts as empty.

    A record on the far side of a border still weighs up to ± error/2, with a sign that changes
    along the way. In 200 trials on real tables, clusters without a member nearly always came
    out with less than a tenth of that bound, all records together (0.3 of it at most, with a
    blunt sign). A tenth is the threshold; a smaller count says nothing certain.
    """
    return max(0.5, n_records * sign_error / 20)


def relaxation(
    step: NDArray[np.float64],
    previous: NDArray[np.float64] | None,
    feature_weights: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Over-relaxation factor of every cluster (docs/protocol.md section 9).

    The factor is 2 while a centroid keeps its direction, for then plain steps only creep, and 1
    when it has turned round, or at first: a constant factor of 2 overshoots by as much as it
    was off in every direction in which plain Lloyd arrives at once, and so never settles where
    the clusters are well separated. Measured over ten rounds the guarded factor ends at least
    as low as the constant one on skewed customer tables, and lower on separated clusters.

    Args:
        step: plain moves c' - c of this round, shape (k, d).
        previous: those of the round before, or None in the first round.
        feature_weights: 1 / variance, shape (d,).

    Returns:
        Shape (k, 1).
    """
    if previous is None:
        return np.ones((len(step), 1))
    onwards = (step * previous) @ feature_weights > 0
    return np.where(onwards, OVER_RELAXATION, 1.0)[:, None]


def lengths(step: NDArray[np.float64], feature_weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lengths of moves in standard deviations: shape (k, d) to (k,)."""
    return np.asarray(np.sqrt(step**2 @ feature_weights), dtype=np.float64)


def splitting_axis(
    moments: Moments, means: NDArray[np.float64], sizes: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Half the standard deviation within clusters, along the axis where it is largest.

    What the clusters' means do not explain of the joint covariance is the pooled covariance
    within them, and its main axis is where a cluster is worth splitting.

    Args:
        moments: joint moments.
        means: weighted means of the clusters that have records, shape (m, d).
        sizes: their counts, shape (m,).

    Returns:
        A displacement in scaled space, shape (d,), never zero; the sign is fixed.
    """
    deviations = np.sqrt(np.diag(moments.covariance))
    offset = (means - moments.mean) / deviations
    between = (offset * (sizes / sizes.sum())[:, None]).T @ offset
    total = moments.covariance / np.outer(deviations, deviations)
    variances, axes = np.linalg.eigh(total - between)
    axis = axes[:, -1] * np.sign(axes[np.abs(axes[:, -1]).argmax(), -1])
    # Soft weights can leave nothing to explain; a displacement there must be nonetheless.
    length = np.sqrt(max(float(variances[-1]), SEPARATION))
    return np.asarray(axis * deviations * length / 2, dtype=np.float64)


def split_largest(
    centers: NDArray[np.float64],
    sizes: NDArray[np.float64],
    empty: int,
    displacement: NDArray[np.float64],
) -> tuple[NDArray[np.float64], int]:
    """Reseed an empty cluster in the largest one: one half each.

    The hyperplane between the two new centroids passes through the old one, so that both sides
    have records in the next round.

    Returns:
        The new centroids, shape (k, d), and the index of the cluster that was split.
    """
    largest = int(np.argmax(sizes))
    moved = centers.copy()
    moved[empty] = np.clip(centers[largest] - displacement, -1.0, 1.0)
    moved[largest] = np.clip(centers[largest] + displacement, -1.0, 1.0)
    return moved, largest


def separate(
    centers: NDArray[np.float64], feature_weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], tuple[int, ...]]:
    """Set coincident centroids apart, always in the same way.

    Of two centroids at one place the later is moved by a small part of a standard deviation, in
    the feature after the one that served last, towards the middle of the domain. How far does
    not matter to the assignment, since hyperplanes are normalised per pair.

    Returns:
        The centroids, shape (k, d), no two of them coincident, and the indices that were moved.
    """
    k, d = centers.shape
    apart = centers.copy()
    moved: list[int] = []
    for b in range(1, k):
        attempt = 0
        while (lengths(apart[:b] - apart[b], feature_weights) < COINCIDENT).any():
            feature = attempt % d
            # Multiples grow with every attempt, so that at most b places are already taken.
            by = SEPARATION * (1 + attempt // d) / np.sqrt(feature_weights[feature])
            apart[b] = centers[b]
            towards = -1.0 if centers[b, feature] > 0 else 1.0
            apart[b, feature] = np.clip(centers[b, feature] + towards * by, -1.0, 1.0)
            attempt += 1
        if attempt:
            moved.append(b)
    return apart, tuple(moved)
