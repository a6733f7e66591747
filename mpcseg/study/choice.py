"""How good each number of segments is, and which one is chosen: pure functions of released sums.

docs/protocol.md section 10. Only the key node runs this, after the scout rounds. Everything here is
post-processing of sums that are released already; it costs no budget.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from mpcseg.reference.metrics import adjusted_rand_index, nearest
from mpcseg.reference.quality import davies_bouldin
from mpcseg.study.estimation import noised_means, positive_part

Array = NDArray[np.float64]

TOLD_APART = 2.0
"""Standard deviations of the noise in a difference that it must exceed to be called one."""

SOFT_PART = 0.01
"""Of the total inertia: what soft weights let see of the inertia within segments, at the finest."""

_TINY = 1e-9
_DRAWS = 100
"""Of the noise, to see how far it moves an index."""


@dataclass(frozen=True, eq=False)
class Appraisal:
    """What an appraisal round released of one start of one number of segments.

    Attributes:
        centers: that assigned, shape (k, d).
        first: Σw·x_j, then Σw·p, shape (k, d + 1).
        first_stds: of the noise in it, same shape.
        squares: Σw·x_j², shape (k, d).
        square_stds: of the noise in it, same shape.
    """

    centers: Array
    first: Array
    first_stds: Array
    squares: Array
    square_stds: Array


@dataclass(frozen=True, eq=False)
class Whole:
    """The records that were appraised, all of them together.

    Attributes:
        n_records: how many, of the sample.
        mean: shape (d,).
        inertia: around the mean, in the standardised metric.
        feature_weights: 1 / variance, shape (d,).
        threshold: count at or below which a cluster is empty.
    """

    n_records: float
    mean: Array
    inertia: float
    feature_weights: Array
    threshold: float


@dataclass(frozen=True, eq=False)
class Judged:
    """One start of one number of segments, judged.

    Attributes:
        centers: means of its clusters; the centroid of an empty one. Shape (k, d).
        sizes: of its clusters; 0 for an empty one. Shape (k,).
        spreads: root mean square distance of a cluster's records to its mean, by feature, in
            scaled space; shape (k, d).
        explained: part of the total inertia that the means explain; noise can take it out of 0
            to 1.
        explained_std: of the noise in it.
        davies_bouldin: infinite where fewer than two clusters have records.
        bouldin_std: of the noise in it.
        n_records: of the sample.
    """

    centers: Array
    sizes: Array
    spreads: Array
    explained: float
    explained_std: float
    davies_bouldin: float
    bouldin_std: float
    n_records: float


@dataclass(frozen=True, eq=False)
class Candidate:
    """How good one number of segments is, by the better one of its starts.

    Attributes:
        n_clusters: the number, k.
        explained: part of the total inertia that the segments' means explain, from 0 to 1.
        calinski_harabasz: the larger the better.
        davies_bouldin: the smaller the better; with root mean square distances for spreads.
            Infinite where fewer than two segments have records.
        stability: mean adjusted Rand index of any two starts, at most 1.
        stds: of the noise in the first three, in this order; 0 without noise.
        smallest_share: of all records, of the smallest segment.
        centers: means of the better start's segments, shape (k, d).
    """

    n_clusters: int
    explained: float
    calinski_harabasz: float
    davies_bouldin: float
    stability: float
    stds: tuple[float, float, float]
    smallest_share: float
    centers: Array

    @property
    def log_ratio(self) -> float:
        """Logarithm of Calinski-Harabasz over Davies-Bouldin; minus infinity for no segments."""
        if not (self.calinski_harabasz > 0 and math.isfinite(self.davies_bouldin)):
            return -math.inf
        return math.log(self.calinski_harabasz) - math.log(max(self.davies_bouldin, _TINY))

    @property
    def log_ratio_std(self) -> float:
        """Of the noise in `log_ratio`, to first order."""
        if not math.isfinite(self.log_ratio):
            return 0.0
        bouldin = self.stds[2] / max(self.davies_bouldin, _TINY)
        return math.hypot(self.stds[1] / self.calinski_harabasz, bouldin)


@dataclass(frozen=True, eq=False)
class Choice:
    """Which number of segments was chosen, and of what.

    Attributes:
        chosen: the candidate.
        candidates: all of them, ascending.
        reason: why, in words.
        smallest_share: of all records, that a segment had to have to be shown.
    """

    chosen: Candidate
    candidates: tuple[Candidate, ...]
    reason: str
    smallest_share: float


def judged(one: Appraisal, whole: Whole) -> Judged:
    """Judge one start.

    Args:
        one: what its appraisal released.
        whole: all records of the sample.
    """
    means = noised_means(one.first, one.first_stds, whole.threshold, one.centers)
    sizes = np.where(means.filled, one.first[:, -1], 0.0)
    explained, bouldin, spreads = _indices(one, whole)
    explained_std, bouldin_std = _stds(one, whole)
    return Judged(
        centers=means.values,
        sizes=sizes,
        spreads=spreads,
        explained=explained,
        explained_std=explained_std,
        davies_bouldin=bouldin,
        bouldin_std=bouldin_std,
        n_records=whole.n_records,
    )


def candidates_of(
    starts: Sequence[Sequence[Judged]], points: Array, weights: Array
) -> list[Candidate]:
    """Judge all numbers of segments.

    What is left within the segments is taken as no less than what can be seen of it: twice the
    largest noise in it, or what soft weights hide.

    Args:
        starts: of each number, ascending.
        points: drawn from the joint moments, shape (m, d); stability is measured on them.
        weights: 1 / variance of each feature, shape (d,).
    """
    best = [max(some, key=lambda one: one.explained) for some in starts]
    floor = max(SOFT_PART, TOLD_APART * max(one.explained_std for one in best))
    return [
        _candidate(one, some, floor, points, weights)
        for one, some in zip(best, starts, strict=True)
    ]


def _candidate(
    best: Judged, starts: Sequence[Judged], floor: float, points: Array, weights: Array
) -> Candidate:
    k = len(best.centers)
    explained = min(max(best.explained, 0.0), 1 - floor)
    within = 1 - explained
    harabasz = explained / (k - 1) / within * max(best.n_records - k, 1.0)
    labels = [nearest(points, one.centers, weights) for one in starts]
    agreements = [adjusted_rand_index(one, other) for one, other in combinations(labels, 2)]
    return Candidate(
        n_clusters=k,
        explained=explained,
        calinski_harabasz=harabasz,
        davies_bouldin=best.davies_bouldin,
        stability=float(np.mean(agreements)),
        # Of a ratio e / (1 - e), to first order.
        stds=(
            best.explained_std,
            harabasz * best.explained_std / max(explained * within, _TINY),
            best.bouldin_std,
        ),
        smallest_share=max(0.0, float(best.sizes.min()) / max(best.n_records, 1.0)),
        centers=best.centers,
    )


def choose(candidates: Sequence[Candidate], smallest_share: float) -> Choice:
    """Choose a number of segments by the rule of docs/protocol.md section 10.

    Of the numbers whose segments all reach the smallest size that is shown (of all, if there is
    none) that of the largest ratio of the Calinski-Harabasz to the Davies-Bouldin index. Which
    others noise could have put first is said, and decides nothing: to prefer fewer segments among
    them made the rule miss more often, on tables with planted groups.

    Args:
        candidates: two or more, ascending.
        smallest_share: of all records, that a segment must have to be shown.
    """
    large = [one for one in candidates if one.smallest_share >= smallest_share]
    left = large or list(candidates)
    chosen = max(left, key=lambda one: one.log_ratio)
    words = []
    if not large:
        words.append("every number has a segment smaller than may be shown")
    elif len(large) < len(candidates):
        words.append("numbers with a segment smaller than may be shown are left out")
    words.append("the ratio of the Calinski-Harabasz to the Davies-Bouldin index is largest")
    near = [str(one.n_clusters) for one in large if one is not chosen and _near(one, chosen)]
    if near:
        words[-1] += f", though by no more than noise for {' and '.join(near)}"
    return Choice(chosen, tuple(candidates), "; ".join(words), smallest_share)


def _near(one: Candidate, best: Candidate) -> bool:
    """Whether noise could have made the difference of two ratios."""
    noise = np.hypot(one.log_ratio_std, best.log_ratio_std)
    return bool(noise > 0 and best.log_ratio - one.log_ratio <= TOLD_APART * noise)


def _indices(one: Appraisal, whole: Whole) -> tuple[float, float, Array]:
    """Explained part, Davies-Bouldin index, and spreads (k, d) of the clusters with records."""
    found = noised_means(one.first, one.first_stds, whole.threshold, one.centers)
    filled, spreads = found.filled, np.zeros_like(one.centers)
    if filled.sum() < 2:
        return 0.0, np.inf, spreads
    sizes, means, stds = one.first[filled, -1], found.values[filled], found.stds[filled]
    # Noise moves means apart as well: what it adds on average is taken off.
    between = float(sizes @ (((means - whole.mean) ** 2 - stds**2) @ whole.feature_weights))
    square_stds = np.hypot(one.square_stds[filled] / sizes[:, None], 2 * means * stds)
    variances = positive_part(one.squares[filled] / sizes[:, None] - means**2, square_stds)
    spreads[filled] = np.sqrt(np.minimum(variances, 1.0))
    bouldin = davies_bouldin(means, spreads[filled], whole.feature_weights)
    return between / whole.inertia, bouldin, spreads


def _stds(one: Appraisal, whole: Whole) -> tuple[float, float]:
    """How far the noise moves the indices: their standard deviations over draws of it."""
    if not one.first_stds.any():
        return 0.0, 0.0
    rng = np.random.default_rng(0)  # to see what noise does, not to add any: nothing secret
    drawn = []
    for _ in range(_DRAWS):
        moved = Appraisal(
            one.centers,
            one.first + one.first_stds * rng.standard_normal(one.first.shape),
            one.first_stds,
            one.squares + one.square_stds * rng.standard_normal(one.squares.shape),
            one.square_stds,
        )
        drawn.append(_indices(moved, whole)[:2])
    finite = [indices for indices in drawn if np.isfinite(indices[1])]
    explained, bouldin = np.std(finite or [(0.0, 0.0)], axis=0).tolist()
    return explained, bouldin
