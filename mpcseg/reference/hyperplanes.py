"""From centroids to hyperplanes: what the key node encrypts for a round (docs/protocol.md 4)."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

DOMAIN_SLACK = 1.05
"""A record whose coordinates and L2 norm are over their limits by no more than this factor keeps
|t| <= 1. The admission round turns away what is farther out (docs/protocol.md 5), for a sign
polynomial explodes just outside."""


def cluster_pairs(n_clusters: int) -> list[tuple[int, int]]:
    """All pairs (a, b) of clusters with a < b, in the order every per-pair array has."""
    return list(combinations(range(n_clusters), 2))


def hyperplanes(
    centers: NDArray[np.float64], feature_weights: NDArray[np.float64], radius: float
) -> NDArray[np.float64]:
    """Build the normalised hyperplane of every pair of centroids; the key node runs this.

    For clusters a, b the row (u, v) makes t = x·u + v the difference ‖x - c_b‖² - ‖x - c_a‖² in
    the standardised metric, divided by DOMAIN_SLACK times the largest value M it can have on the
    domain, so that |t| <= 1 for every x with |x_j| <= DOMAIN_SLACK and ‖x‖ <= DOMAIN_SLACK·radius,
    and t > 0 where a is nearer. The division is per pair: the band in which a record is shared is
    then the same fraction of the data's radius for close centroids as for distant ones.

    Args:
        centers: centroids in scaled space, shape (n_clusters, d).
        feature_weights: 1 / variance of each feature, positive, shape (d,).
        radius: L2 bound of a record, sqrt(d) unless the agreement says less.

    Returns:
        Shape (n_pairs, d + 1), rows in the order of `cluster_pairs`: u, then v.

    Raises:
        ValueError: if two centroids coincide, for then no hyperplane lies between them.
    """
    a, b = np.array(cluster_pairs(len(centers)), dtype=np.intp).reshape(-1, 2).T
    u = 2 * feature_weights * (centers[a] - centers[b])
    v = (centers[b] ** 2 - centers[a] ** 2) @ feature_weights
    # Two bounds of |x·u| on the domain: the cube's (Hölder) and the ball's (Cauchy-Schwarz).
    largest = np.minimum(np.abs(u).sum(axis=1), radius * np.linalg.norm(u, axis=1)) + np.abs(v)
    if not np.all(largest > 0):
        raise ValueError("coincident centroids have no hyperplane between them")
    divisor = DOMAIN_SLACK * largest[:, None]
    return np.asarray(np.column_stack([u, v]) / divisor, dtype=np.float64)
