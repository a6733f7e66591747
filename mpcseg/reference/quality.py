"""How well clusters are told apart, from their sizes, means and spreads alone; docs/report.md.

All in the standardised metric, in which a feature's squared differences are divided by its variance
over all records. n_a are the clusters' sizes, m_a their means, s_aj their standard deviations, μ
the mean and v_j the variances of all records; n = Σ n_a, with k clusters and d features:

    between             B = Σ_a n_a · Σ_j (m_aj − μ_j)² / v_j
    within              W = n·d − B
    share explained     B / (n·d)
    Calinski-Harabasz   (B / (k − 1)) / (W / (n − k))
    scatter             S_a = √(Σ_j s_aj² / v_j)
    Davies-Bouldin      (1/k) Σ_a max_{b≠a} (S_a + S_b) / ‖m_a − m_b‖

Of all records together, the squares of each standardised feature sum up to n: no sum of squares is
needed for W. S_a is a root mean square distance, as in Davies and Bouldin with q = 2; scikit-learn
takes the mean distance (q = 1), which no slot sum gives, and which is never larger.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Separation:
    """The indices above.

    Attributes:
        explained: share of the variance that the clusters explain, between 0 and 1.
        calinski_harabasz: the larger the better.
        davies_bouldin: the smaller the better.
    """

    explained: float
    calinski_harabasz: float
    davies_bouldin: float


def davies_bouldin(means: Array, spreads: Array, feature_weights: Array) -> float:
    """The index above; infinite where two clusters have one mean.

    Args:
        means: of two clusters or more, shape (k, d).
        spreads: standard deviations, shape (k, d).
        feature_weights: 1 / variance of each feature, shape (d,).
    """
    scatter = np.sqrt(spreads**2 @ feature_weights)
    gaps = np.sqrt((means[:, None] - means[None]) ** 2 @ feature_weights)
    others = ~np.eye(len(means), dtype=bool)
    if not (gaps[others] > 0).all():
        return math.inf
    ratios = np.zeros_like(gaps)
    ratios[others] = (scatter[:, None] + scatter[None])[others] / gaps[others]
    return float(ratios.max(axis=1).mean())


def separation(
    sizes: Array,
    means: Array,
    spreads: Array,
    joint_mean: Array,
    feature_weights: Array,
    mean_stds: Array | None = None,
) -> Separation | None:
    """The quality indices of a clustering; the key node runs this.

    Noise in the means makes clusters look farther apart than they are, by n_a·σ² on average, which
    is taken off B.

    Args:
        sizes: of the clusters, shape (k,), all above 0.
        means: shape (k, d).
        spreads: standard deviations, shape (k, d).
        joint_mean: of all records, shape (d,).
        feature_weights: 1 / variance of each feature, shape (d,).
        mean_stds: of the noise in the means, shape (k, d); none if not given.

    Returns:
        None where there is nothing to tell: fewer than two clusters, a cluster without records or
        at the place of another, nothing or everything explained, or more than half of B due to
        noise.
    """
    k, d = means.shape
    total = float(sizes.sum())
    if k < 2 or not (sizes > 0).all() or total <= k:
        return None
    noise = np.zeros_like(means) if mean_stds is None else mean_stds
    apparent = float(sizes @ ((means - joint_mean) ** 2 @ feature_weights))
    between = apparent - float(sizes @ (noise**2 @ feature_weights))
    within = total * d - between
    bouldin = davies_bouldin(means, spreads, feature_weights)
    if between <= apparent / 2 or within <= 0 or math.isinf(bouldin):
        return None
    return Separation(
        explained=between / (total * d),
        calinski_harabasz=(between / (k - 1)) / (within / (total - k)),
        davies_bouldin=bouldin,
    )
