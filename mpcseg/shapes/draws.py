"""Customers drawn from released segment statistics, to describe segments by; nobody's records.

Runs at a recipient. Each segment gives draws in proportion to its size. Within a segment, features
are drawn independently (correlations are not released), each from the beta distribution between the
agreed bounds that has the segment's mean and spread: as in `mpcseg.study.start`, because customers
crowd at bounds, where a normal distribution would have to be cut off. Then, as for any customer, a
record that is longer than the agreed radius is shortened, and the label is that of the nearest
released centroid: the rules are to explain the labels that customers are given, not where a draw
came from.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mpcseg.study.nearest import ReleasedCentroids
from mpcseg.study.statistics import SegmentStatistics

Array = npt.NDArray[np.float64]

# As in `mpcseg.study.start`: beta shapes below put all the mass on the bounds to within rounding.
_SMALLEST_SHAPE = 1e-3
# A spread below is a single point, in scaled space.
_LEAST_SPREAD = 1e-6


@dataclass(frozen=True, eq=False)
class Drawn:
    """Customers that nobody is.

    Attributes:
        records: scaled space, shape (n, d).
        values: the same in original units, shape (n, d).
        labels: numbers of the segments that they are labelled with, shape (n,).
    """

    records: Array
    values: Array
    labels: npt.NDArray[np.int64]


def draw_customers(
    statistics: SegmentStatistics, n_customers: int, rng: np.random.Generator
) -> Drawn:
    """Draw customers from the released statistics and label them by the nearest centroid.

    Args:
        statistics: of the shown segments.
        n_customers: how many.
        rng: not secret; the same generator state gives the same customers.
    """
    sizes = statistics.sizes
    shares = sizes / sizes.sum() if sizes.sum() > 0 else np.full(len(sizes), 1 / len(sizes))
    counts = rng.multinomial(n_customers, shares)
    parts = [
        np.column_stack(
            [
                _between_bounds(mean, spread, int(count), rng)
                for mean, spread in zip(means, spreads, strict=True)
            ]
        )
        for means, spreads, count in zip(statistics.means, statistics.spreads, counts, strict=True)
    ]
    records = np.concatenate(parts)
    lengths = np.linalg.norm(records, axis=1)
    is_longer = lengths > statistics.radius
    records[is_longer] *= (statistics.radius / lengths[is_longer])[:, None]
    values = np.column_stack(
        [
            feature.unscale(column)
            for feature, column in zip(statistics.features, records.T, strict=True)
        ]
    )
    released = ReleasedCentroids(statistics.numbers, statistics.centers, statistics.weights)
    return Drawn(records, values, released.nearest(records)[0])


def _between_bounds(mean: float, spread: float, n: int, rng: np.random.Generator) -> Array:
    """Draws in [-1, 1] with this mean and standard deviation, where there are any such."""
    position = (mean + 1) / 2
    largest = position * (1 - position)
    if spread <= _LEAST_SPREAD or largest <= 0:
        return np.full(n, mean)
    concentration = max(largest / (spread / 2) ** 2 - 1, 0.0)
    first, second = (
        max(share * concentration, _SMALLEST_SHAPE) for share in (position, 1 - position)
    )
    return np.asarray(2 * rng.beta(first, second, n) - 1)
