"""The Lloyd step in the clear: soft, with the polynomial the ciphertexts get, and ordinary.

docs/protocol.md sections 3 to 5. The soft step is cut where the encrypted one is, so that every
stage (distance, sign, weight, slot sum) can be compared with its counterpart. Rows of per-pair
arrays are in the order of `mpcseg.reference.hyperplanes.cluster_pairs`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mpcseg.reference.hyperplanes import cluster_pairs
from mpcseg.reference.metrics import nearest
from mpcseg.reference.sign import CompositeSign


def distance_difference(
    records: NDArray[np.float64], planes: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Normalised difference of the two squared distances, for every pair and record.

    Args:
        records: scaled records, shape (n, d).
        planes: hyperplanes, shape (n_pairs, d + 1).

    Returns:
        t, shape (n_pairs, n), in [-1, 1]; positive where the pair's first cluster is nearer.
    """
    return np.asarray(planes[:, :-1] @ records.T + planes[:, -1:], dtype=np.float64)


def assignment_weights(signs: NDArray[np.float64], n_clusters: int) -> NDArray[np.float64]:
    """Weight of every record in every cluster: the product of its half-spaces.

    Args:
        signs: approximate signs of the distance differences, shape (n_pairs, n).
        n_clusters: number of clusters, k.

    Returns:
        w, shape (k, n): w_a = Π_b (1 + s_ab) / 2 with s_ba = -s_ab.
    """
    weights = np.ones((n_clusters, signs.shape[1]))
    for (a, b), sign in zip(cluster_pairs(n_clusters), signs, strict=True):
        weights[a] *= (1 + sign) / 2
        weights[b] *= (1 - sign) / 2
    return weights


def weighted_sums(
    records: NDArray[np.float64],
    weights: NDArray[np.float64],
    presence: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Slot sums of a lloyd round: per cluster Σ w·x_j and Σ w·p.

    Args:
        records: scaled records, shape (n, d); zero where presence is 0.
        weights: assignment weights, shape (k, n).
        presence: 1 for a record and 0 for padding, shape (n,); all records if not given.

    Returns:
        Shape (k, d + 1).
    """
    present = np.ones(len(records)) if presence is None else presence
    return np.asarray(weights @ np.column_stack([records, present]), dtype=np.float64)


def profile_sums(
    records: NDArray[np.float64],
    weights: NDArray[np.float64],
    presence: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Slot sums of the profile round: per cluster Σ w·x_j, Σ w·p and Σ w·x_j².

    Args and shapes as in `weighted_sums`, but for the result's, which is (k, 2d + 1).
    """
    first = weighted_sums(records, weights, presence)
    return np.concatenate([first, weights @ records**2], axis=1)


def soft_weights(
    records: NDArray[np.float64], planes: NDArray[np.float64], sign: CompositeSign, n_clusters: int
) -> NDArray[np.float64]:
    """Assignment weights straight from the hyperplanes, shape (k, n)."""
    return assignment_weights(sign(distance_difference(records, planes)), n_clusters)


def lloyd(
    records: NDArray[np.float64],
    centers: NDArray[np.float64],
    n_rounds: int,
    feature_weights: NDArray[np.float64],
) -> tuple[NDArray[np.float64], int]:
    """Ordinary Lloyd: assign every record to its nearest centroid, move, repeat.

    A cluster that gets no record keeps its place.

    Args:
        records: shape (n, d).
        centers: starting centroids, shape (k, d).
        n_rounds: rounds at most; it stops when no record changes its cluster.
        feature_weights: weights of the squared differences, shape (d,).

    Returns:
        The centroids, shape (k, d), and the number of rounds made.
    """
    current = np.array(centers, dtype=np.float64)
    labels = np.full(len(records), -1)
    for made in range(n_rounds):
        previous, labels = labels, nearest(records, current, feature_weights)
        if np.array_equal(previous, labels):
            return current, made
        sums = weighted_sums(records, np.eye(len(current))[:, labels])
        filled = sums[:, -1] > 0
        current[filled] = sums[filled, :-1] / sums[filled, -1:]
    return current, n_rounds
