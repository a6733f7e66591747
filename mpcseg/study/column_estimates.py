"""What the key node makes of the profile columns' sums: means, spreads and counts per segment.

Post-processing of sums that are released already, as all of `mpcseg.study.estimation`. What is told
of everybody is added up from the segments: assignment weights add up to about 1, and no further
sum has to be released for it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpcseg.reference.columns import ColumnLayout
from mpcseg.study.estimation import positive_part

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Sizes:
    """Sizes of the segments, and of everybody in the last place.

    Attributes:
        values: shape (k + 1,).
        stds: of the noise in them, shape (k + 1,).
        filled: which are not empty, shape (k + 1,).
    """

    values: Array
    stds: Array
    filled: NDArray[np.bool_]

    @property
    def divisors(self) -> Array:
        """What sums are divided by: a size just over its noise is too uncertain for that."""
        return np.where(self.filled, np.maximum(self.values, 3 * self.stds), 1.0)


@dataclass(frozen=True, eq=False)
class CategoryEstimates:
    """How many records have which label.

    Standard deviations leave out what clipping at 0 takes off, so that they are rather too large.

    Attributes:
        counts: none is negative, and a row adds up to the segment's size, shape (k + 1, c).
        noise: standard deviation of the noise in each of a row's sums, shape (k + 1,).
        sizes: of the segments, and of everybody.
    """

    counts: Array
    noise: Array
    sizes: Sizes

    def count_std(self, row: int, labels: Sequence[int]) -> float:
        """Of the noise in the number of records that have one of some labels."""
        part = len(labels) / self.counts.shape[1]
        return math.hypot(self._spread(row, len(labels)), part * self.sizes.stds[row])

    def share_std(self, row: int, labels: Sequence[int]) -> float:
        """Likewise in their share of the segment.

        Their number goes up with the size by their part of all labels, the share by that less the
        share itself.
        """
        divisor = self.sizes.divisors[row]
        part = len(labels) / self.counts.shape[1]
        share = self.counts[row, list(labels)].sum() / divisor
        from_size = self.sizes.stds[row] * (part - share)
        return math.hypot(self._spread(row, len(labels)), from_size) / float(divisor)

    def _spread(self, row: int, n_labels: int) -> float:
        """What fitting the size leaves of the noise in so many sums."""
        return math.sqrt(n_labels * (1 - n_labels / self.counts.shape[1])) * float(self.noise[row])


@dataclass(frozen=True, eq=False)
class ColumnEstimates:
    """All profile columns; the last row of everything is about all records.

    Attributes:
        means: of numeric columns, in [-1, 1], shape (k + 1, m).
        mean_stds: of the noise in them, same shape.
        spreads: standard deviations, same shape.
        filled: which segments are not empty, shape (k + 1,).
        categories: in the layout's order, parties last.
    """

    means: Array
    mean_stds: Array
    spreads: Array
    filled: NDArray[np.bool_]
    categories: tuple[CategoryEstimates, ...]


def estimate_columns(
    sums: Array, stds: Array, sizes: Sizes, layout: ColumnLayout
) -> ColumnEstimates:
    """Read the profile round's sums of columns. Key node.

    Args:
        sums: shape (k, layout.n_sums).
        stds: of their noise, same shape, alike in all rows.
        sizes: of segments and of all records.
        layout: of the columns.
    """
    # Added up over segments, k draws of noise are in a sum.
    values = np.vstack([sums, sums.sum(axis=0)])
    noise = np.vstack([stds, math.sqrt(len(sums)) * stds[0]])
    m = layout.n_numeric
    divisors = sizes.divisors[:, None]
    filled = sizes.filled[:, None]
    means = np.where(filled, np.clip(values[:, :m] / divisors, -1.0, 1.0), 0.0)
    mean_stds = np.minimum(np.hypot(noise[:, :m], means * sizes.stds[:, None]) / divisors, 1.0)
    square_stds = np.hypot(noise[:, m : 2 * m] / divisors, 2 * means * mean_stds)
    variances = positive_part(values[:, m : 2 * m] / divisors - means**2, square_stds)
    spreads = np.where(filled, np.sqrt(np.clip(variances, 0.0, 1.0)), 0.0)
    ends = np.cumsum((2 * m, *layout.all_groups)).tolist()
    categories = tuple(
        _counts(values[:, start:end], noise[:, start], sizes)
        for start, end in itertools.pairwise(ends)
    )
    return ColumnEstimates(means, mean_stds, spreads, sizes.filled, categories)


def _counts(sums: Array, noise: Array, sizes: Sizes) -> CategoryEstimates:
    """Counts that fit the sizes.

    A record has one label, so that the counts of a segment add up to its size, which is known from
    other sums: what they miss it by is spread over them evenly (least squares, their noise is
    alike). Then the nearest counts are taken of which none is negative.

    Args:
        sums: shape (k + 1, c).
        noise: of each row's sums, shape (k + 1,).
        sizes: of the rows.
    """
    n_labels = sums.shape[1]
    targets = np.where(sizes.filled, np.maximum(sizes.values, 0.0), 0.0)
    missing = targets - sums.sum(axis=1)
    even = sums + missing[:, None] / n_labels
    counts = np.array([_nearest(row, total) for row, total in zip(even, targets, strict=True)])
    return CategoryEstimates(counts, noise, sizes)


def _nearest(values: Array, total: float) -> Array:
    """The point nearest to ``values`` that has no negative entry and adds up to ``total``."""
    if total <= 0:
        return np.zeros_like(values)
    falling = np.sort(values)[::-1]
    surplus = (np.cumsum(falling) - total) / np.arange(1, len(values) + 1)
    last = int(np.flatnonzero(falling > surplus)[-1])
    return np.asarray(np.maximum(values - surplus[last], 0.0), dtype=np.float64)
