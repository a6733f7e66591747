"""Measures of a clustering, in the clear."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def squared_distances(
    records: NDArray[np.float64],
    centers: NDArray[np.float64],
    feature_weights: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Weighted squared distance of every record to every centroid, shape (n, k)."""
    root = np.sqrt(feature_weights)
    x, c = records * root, centers * root
    squares = (x**2).sum(axis=1)[:, None] - 2 * x @ c.T + (c**2).sum(axis=1)
    # The expanded square may come out a rounding error below zero.
    return np.asarray(np.maximum(squares, 0.0), dtype=np.float64)


def nearest(
    records: NDArray[np.float64],
    centers: NDArray[np.float64],
    feature_weights: NDArray[np.float64],
) -> NDArray[np.intp]:
    """Index of the nearest centroid of every record, shape (n,)."""
    return np.asarray(
        squared_distances(records, centers, feature_weights).argmin(axis=1), dtype=np.intp
    )


def inertia(
    records: NDArray[np.float64],
    centers: NDArray[np.float64],
    feature_weights: NDArray[np.float64],
) -> float:
    """Sum of the weighted squared distances of the records to their nearest centroids."""
    return float(squared_distances(records, centers, feature_weights).min(axis=1).sum())


def inertia_from_profile(
    sums: NDArray[np.float64],
    centers: NDArray[np.float64],
    feature_weights: NDArray[np.float64],
) -> float:
    """Inertia of a profile round's assignment, from its sums alone; the key node runs this.

    Args:
        sums: profile sums, shape (k, 2d + 1): Σ w·x_j, Σ w·p, Σ w·x_j² (docs/protocol.md 5).
        centers: the centroids of that round, shape (k, d).
        feature_weights: 1 / variance of each feature, shape (d,).
    """
    d = centers.shape[1]
    first, size, second = sums[:, :d], sums[:, d : d + 1], sums[:, d + 1 :]
    return float(((second - 2 * centers * first + centers**2 * size) @ feature_weights).sum())


def inertia_from_means(
    sizes: NDArray[np.float64],
    means: NDArray[np.float64],
    centers: NDArray[np.float64],
    joint_mean: NDArray[np.float64],
    feature_weights: NDArray[np.float64],
) -> float:
    """Inertia from clusters' sizes and means alone; the key node runs this in a noised study.

    In the standardised metric all records together have the inertia n·d around their mean, and
    the clusters take Σ_a n_a·(‖m_a - μ‖² - ‖m_a - c_a‖²) away from it. The sums of squares of
    `inertia_from_profile`, and their noise, are not needed.

    Args:
        sizes: shape (k,).
        means: of the clusters, shape (k, d).
        centers: the centroids that assigned, shape (k, d).
        joint_mean: of all records, μ, shape (d,).
        feature_weights: 1 / variance of each feature, shape (d,).
    """
    between = (means - joint_mean) ** 2 @ feature_weights
    beside = (means - centers) ** 2 @ feature_weights
    total = float(sizes.sum()) * len(joint_mean)
    return max(0.0, total - float(sizes @ (between - beside)))


def adjusted_rand_index(labels: NDArray[np.intp], others: NDArray[np.intp]) -> float:
    """Agreement of two partitions of the same points: 1 where alike, about 0 where by chance.

    As `sklearn.metrics.adjusted_rand_score` (Hubert and Arabie, 1985), which nodes do without.

    Args:
        labels: of the points, shape (n,).
        others: likewise.
    """

    def pairs(counts: NDArray[np.float64]) -> float:
        return float((counts * (counts - 1)).sum() / 2)

    table = np.zeros((int(labels.max()) + 1, int(others.max()) + 1))
    np.add.at(table, (labels, others), 1)
    both, rows, columns = pairs(table), pairs(table.sum(axis=1)), pairs(table.sum(axis=0))
    expected = rows * columns / pairs(np.array([len(labels)], dtype=np.float64))
    largest = (rows + columns) / 2
    return 1.0 if largest == expected else (both - expected) / (largest - expected)
