"""What the key node makes of noised sums: estimates no farther off than the noise demands.

docs/privacy.md. Everything here is post-processing: it works on sums that are released already, and
costs no budget. With noise of 0, every function returns what plain arithmetic on the sums would.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpcseg.reference.moments import Moments

Array = NDArray[np.float64]

# Sums over all clusters differ from those over all records by less than this part of the number
# of records, because soft weights do not quite add up to 1; where noise is finer than that, the
# clusters are not corrected by it.
SOFTNESS = 2e-3
# Twice a count's noise over the mean count from which on an empty cluster cannot be told.
LARGEST_COUNT_NOISE = 0.1
# Of the domain's half width: a mean beyond, or a variance outside these, comes of noise.
_LARGEST_MEAN = 0.98
_VARIANCES = (4e-4, 0.9)
_LARGEST_FLOOR = 0.25
# Largest share of (1 - mean²), the most that a variance in [-1, 1] can be.
_LARGEST_SPREAD = 0.95
_LARGEST_CORRELATION = 0.99
_SMALLEST_EIGENVALUE = 0.01


class Totals:
    """Sums over all clusters, known better with every round.

    The weights of a record add up to about 1, so the sums over all clusters are those over all
    records in each round: every round measures them again, and they correct its clusters in turn.

    Args:
        values: from the moments round, shape (d + 1,): Σx_j, then Σp.
        stds: of their noise, same shape.
    """

    def __init__(self, values: Array, stds: Array) -> None:
        self.values = values.copy()
        self._variances = stds**2

    @property
    def n_records(self) -> int:
        """Records in all, by all rounds so far; without noise by the moments round alone."""
        return round(float(self.values[-1]))

    @property
    def n_records_std(self) -> float:
        """Standard deviation of the noise in that."""
        return math.sqrt(float(self._variances[-1]))

    def correct(self, sums: Array, stds: Array) -> tuple[Array, Array]:
        """Take a round's sums in, and make them add up to the totals.

        Args:
            sums: shape (k, d + 1), columns as in the totals.
            stds: of their noise, same shape, alike in all rows.

        Returns:
            The corrected sums, and the standard deviations of the noise left in them.
        """
        k = len(sums)
        variances = k * stds[0] ** 2
        softness = (SOFTNESS * max(float(self.values[-1]), 1.0)) ** 2
        measured = variances + softness
        gain = self._variances / (self._variances + measured)
        found = sums.sum(axis=0)
        self.values = self.values + gain * (found - self.values)
        self._variances = (1 - gain) * self._variances
        share = np.divide(variances, measured)
        corrected = sums + share * (self.values - found) / k
        left = stds * np.sqrt(1 - (1 - gain) * share / k)
        return np.asarray(corrected), np.asarray(left)


@dataclass(frozen=True, eq=False)
class Means:
    """Means of clusters from noised sums.

    Attributes:
        values: inside the domain; the fallback where a cluster is not filled. Shape (k, d).
        filled: whether the count stands out from the noise, shape (k,).
        stds: standard deviation of the noise, shape (k, d); infinite where not filled.
    """

    values: Array
    filled: NDArray[np.bool_]
    stds: Array


def noised_means(sums: Array, stds: Array, threshold: float, fallback: Array) -> Means:
    """Divide the sums of clusters by their counts.

    Args:
        sums: shape (k, d + 1): Σw·x_j, then Σw·p.
        stds: of their noise, same shape.
        threshold: count at or below which a cluster would be empty without noise.
        fallback: shape (k, d).
    """
    counts, count_stds = sums[:, -1], stds[:, -1]
    filled = counts > threshold + 2 * count_stds
    # A count just over its noise is too uncertain to divide by.
    divisor = np.where(filled, np.maximum(counts, 3 * count_stds), 1.0)[:, None]
    values = np.where(filled[:, None], np.clip(sums[:, :-1] / divisor, -1.0, 1.0), fallback)
    spread = np.hypot(stds[:, :-1], values * count_stds[:, None]) / divisor
    return Means(values, filled, np.where(filled[:, None], spread, np.inf))


def hides_small_clusters(count_std: float, n_records: float, n_clusters: int) -> bool:
    """Whether noise is so large that an empty cluster cannot be told from a small one."""
    return 2 * count_std > LARGEST_COUNT_NOISE * n_records / n_clusters


def shrinkage(step: Array, stds: Array, feature_weights: Array) -> Array:
    """Part of each centroid's step that is not explained by noise (James and Stein, 1961).

    Args:
        step: plain moves, shape (k, d).
        stds: of the noise in them, same shape.
        feature_weights: 1 / variance, shape (d,).

    Returns:
        In [0, 1], shape (k, 1): 1 without noise, 0 where noise alone would move as far.
    """
    length = step**2 @ feature_weights
    noise = np.where(np.isfinite(stds), stds, 0.0) ** 2 @ feature_weights
    moved = length > noise
    factor = np.where(moved, 1 - noise / np.where(moved, length, 1.0), 0.0)
    return np.asarray(np.where(noise == 0, 1.0, factor)[:, None], dtype=np.float64)


def positive_part(values: Array, stds: Array) -> Array:
    """Mean of what a positive quantity can be, given a noised value of it that may be negative.

    Of the normal distribution around the value, cut off at 0: far above its noise the value itself,
    and never 0, which would say that nothing varies.
    """
    ratio = np.maximum(np.divide(values, stds, out=np.full_like(values, 40.0), where=stds > 0), -6)
    density = np.exp(-(ratio**2) / 2) / math.sqrt(2 * math.pi)
    below = np.array([math.erfc(-z / math.sqrt(2)) / 2 for z in ratio.ravel()])
    mean = stds * (ratio + density / below.reshape(ratio.shape))
    return np.asarray(np.where(stds > 0, mean, np.maximum(values, 0.0)), dtype=np.float64)


def combined(first: Array, first_stds: Array, second: Array, second_stds: Array) -> Array:
    """Mean of two estimates, each with the weight 1/variance; the first where it has no noise."""
    variance, other = first_stds**2, second_stds**2
    noised = (variance > 0) & np.isfinite(other)
    weight = np.where(noised, other / np.where(noised, variance + other, 1.0), 1.0)
    weight = np.where(np.isfinite(variance), weight, 0.0)
    return np.asarray(weight * first + (1 - weight) * second, dtype=np.float64)


def combined_stds(first: Array, second: Array) -> Array:
    """Standard deviations of what `combined` returns; infinite where both are."""
    with np.errstate(divide="ignore"):
        precision = 1 / first**2 + 1 / second**2
        return np.asarray(1 / np.sqrt(precision), dtype=np.float64)


def repaired_moments(sums: Array, stds: Array, n_features: int) -> Moments:
    """Moments that records can have, from noised moment sums.

    Means are kept inside the domain. Variances and correlations are drawn to their common mean,
    and to 0, by as much as the noise explains of their differences (empirical Bayes); what is left
    of the correlations is made positive definite.

    Args:
        sums: as of `mpcseg.reference.moments.moment_sums`, with a positive count.
        stds: of their noise, same shape.
        n_features: d.
    """
    d = n_features
    moments = Moments.from_sums(sums, d)
    count = moments.n_records
    rows, columns = np.triu_indices(d)
    diagonal = rows == columns
    second_stds = stds[1 + d :]
    mean = np.clip(moments.mean, -_LARGEST_MEAN, _LARGEST_MEAN)

    mean_stds = stds[1 : 1 + d] / count
    noise = np.sqrt((second_stds[diagonal] / count) ** 2 + (2 * mean * mean_stds) ** 2)
    variances = _drawn_together(np.diag(moments.covariance), float(np.mean(noise**2)))
    low, high = _VARIANCES
    # Under its own noise a variance says nothing, and its inverse would be a huge weight.
    variances = np.clip(variances, np.clip(noise, low, _LARGEST_FLOOR), high)
    variances = np.minimum(variances, _LARGEST_SPREAD * (1 - mean**2))

    deviations = np.sqrt(variances)
    correlations = moments.covariance / np.outer(deviations, deviations)
    if d > 1:
        error = second_stds[~diagonal] / count / (deviations[rows] * deviations[columns])[~diagonal]
        correlations = correlations * _kept(correlations[rows, columns][~diagonal], error)
    correlations = _definite(np.clip(correlations, -_LARGEST_CORRELATION, _LARGEST_CORRELATION))
    return Moments(count, mean, correlations * np.outer(deviations, deviations))


def _drawn_together(values: Array, noise_variance: float) -> Array:
    """Shrink values to their mean by the share of their variance that noise explains."""
    if len(values) == 1:
        return values
    centre = values.mean()
    found = float(values.var(ddof=1))
    kept = max(0.0, 1 - noise_variance / found) if found > 0 else 1.0
    return np.asarray(centre + kept * (values - centre), dtype=np.float64)


def _kept(correlations: Array, errors: Array) -> float:
    """Share of the correlations' mean square that noise does not explain."""
    found, noise = float(np.mean(correlations**2)), float(np.mean(errors**2))
    return max(0.0, 1 - noise / found) if found > 0 else 1.0


def _definite(correlations: Array) -> Array:
    """The nearest proper correlation matrix, roughly."""
    np.fill_diagonal(correlations, 1.0)
    eigenvalues, vectors = np.linalg.eigh(correlations)
    if eigenvalues[0] >= _SMALLEST_EIGENVALUE:
        return correlations
    product = (vectors * np.maximum(eigenvalues, _SMALLEST_EIGENVALUE)) @ vectors.T
    norms = np.sqrt(np.diag(product))
    return np.asarray(product / np.outer(norms, norms), dtype=np.float64)
