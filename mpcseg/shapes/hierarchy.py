"""Ward's hierarchy of the released segments, from their sizes and means alone.

Ward joins those two segments next whose joining adds least to the sum of squares within segments:
n_a·n_b / (n_a + n_b) · ‖m_a - m_b‖² in the standardised metric. For segments of many customers that
is what Ward's method would do on the customers themselves from this stage on; scipy and
scikit-learn have it for single points only. Runs at a recipient.

Source: J. H. Ward, Hierarchical grouping to optimize an objective function, Journal of the American
Statistical Association 58 (1963) 236-244.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.cluster.hierarchy import cut_tree, dendrogram

from mpcseg.errors import ConfigError

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Hierarchy:
    """Which segments are joined one after the other.

    Attributes:
        linkage: in scipy's form, shape (n - 1, 4): the two that are joined, the height, and how
            many of the original segments they are. The height is sqrt(2·cost), as scipy has it.
        costs: what each joining adds to the sum of squares within segments, shape (n - 1,).
    """

    linkage: Array
    costs: Array

    @property
    def n_leaves(self) -> int:
        """How many segments were joined."""
        return len(self.costs) + 1

    def cut(self, n_segments: int | None = None) -> npt.NDArray[np.int64]:
        """Stop joining at some number of segments.

        Args:
            n_segments: how many remain; None for the number before the largest gap between two
                heights.

        Returns:
            The group of each original segment, from 0, shape (n,).

        Raises:
            ConfigError: there are not so many segments.
        """
        chosen = self.largest_gap() if n_segments is None else n_segments
        if not 1 <= chosen <= self.n_leaves:
            raise ConfigError(
                f"{self.n_leaves:,} segments cannot be merged into {chosen:,}",
                f"Ask for a number from 1 to {self.n_leaves:,}.",
            )
        if self.n_leaves == 1:
            return np.zeros(1, dtype=np.int64)
        return np.asarray(cut_tree(self.linkage, n_clusters=chosen)[:, 0], dtype=np.int64)

    def largest_gap(self) -> int:
        """The number of segments before the step in which the height rises most; at least 2.

        With one or two segments there is nothing to choose: 1.
        """
        heights = self.linkage[:, 2]
        if len(heights) < 2:
            return 1
        return int(len(heights) - np.diff(heights).argmax())

    def drawing(self) -> dict[str, Any]:
        """Where scipy would draw the tree: ``icoord`` and ``dcoord``, four points per joining.

        Leaves stand at 5, 15, 25, … in the order ``leaves``. With one segment there is no tree.
        """
        drawn: dict[str, Any] = dendrogram(self.linkage, no_plot=True)
        return drawn


def ward_hierarchy(sizes: Array, means: Array) -> Hierarchy:
    """Join segments by Ward's method.

    Of equally cheap joinings the one that comes first in the segments' order is made.

    Args:
        sizes: customers, shape (n,), each positive.
        means: in the standardised metric, shape (n, d).
    """
    n = len(sizes)
    names, counts = list(range(n)), [1] * n
    weights, centers = list(sizes.astype(np.float64)), list(means.astype(np.float64))
    rows: list[tuple[float, float, float, float]] = []
    costs: list[float] = []
    while len(names) > 1:
        first, second, cost = _cheapest(np.array(weights), np.array(centers))
        joined = sorted((names[first], names[second]))
        counts[first] += counts[second]
        rows.append((joined[0], joined[1], np.sqrt(2 * cost), counts[first]))
        costs.append(cost)
        total = weights[first] + weights[second]
        centers[first] = (
            weights[first] * centers[first] + weights[second] * centers[second]
        ) / total
        weights[first], names[first] = total, n + len(rows) - 1
        for column in (names, counts, weights, centers):
            del column[second]
    return Hierarchy(np.array(rows).reshape(-1, 4), np.array(costs))


def _cheapest(sizes: Array, means: Array) -> tuple[int, int, float]:
    """The two whose joining costs least, the first before the second, and its cost."""
    squares = ((means[:, None] - means) ** 2).sum(axis=2)
    costs = sizes[:, None] * sizes / (sizes[:, None] + sizes) * squares
    costs[np.tril_indices(len(sizes))] = np.inf
    first, second = np.unravel_index(int(costs.argmin()), costs.shape)
    return int(first), int(second), float(costs[first, second])
