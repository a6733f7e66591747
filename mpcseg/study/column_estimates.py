"""What the key node makes of the profile columns' sums: means, spreads and counts per segment.

Post-processing of sums that are released already, as all of `mpcseg.study.estimation`. What is told
of everybody is added up from the segments: assignment weights add up to about 1, and no further
sum has to be released for it.
"""

from __future__ import annotations

import itertools
import math
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

    Attributes:
        counts: none is negative, and a row adds up to the segment's size, shape (k + 1, c).
        count_stds: of the noise in the counts, same shape; what clipping at 0 takes off is not in
            it, so that it is rather too large.
        share_stds: likewise of the counts' shares in their segment.
    """

    counts: Array
    count_stds: Array
    share_stds: Array


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
    left = (1 - 1 / n_labels) * noise**2
    size_stds = sizes.stds[:, None]
    count_stds = np.sqrt(left[:, None] + (size_stds / n_labels) ** 2) * np.ones_like(counts)
    shares = counts / sizes.divisors[:, None]
    # A count goes up with the size by 1/c, its share by that less the share itself.
    from_size = size_stds * (1 / n_labels - shares)
    share_stds = np.sqrt(left[:, None] + from_size**2) / sizes.divisors[:, None]
    return CategoryEstimates(counts, count_stds, share_stds)


def _nearest(values: Array, total: float) -> Array:
    """The point nearest to ``values`` that has no negative entry and adds up to ``total``."""
    if total <= 0:
        return np.zeros_like(values)
    falling = np.sort(values)[::-1]
    surplus = (np.cumsum(falling) - total) / np.arange(1, len(values) + 1)
    last = int(np.flatnonzero(falling > surplus)[-1])
    return np.asarray(np.maximum(values - surplus[last], 0.0), dtype=np.float64)
