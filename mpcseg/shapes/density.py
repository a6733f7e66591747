"""Joining released segments between which customers are as dense as within them.

K-means cuts every shape into round cells. Here each released segment stands for its customers as a
normal distribution with its size, mean and spreads; the sum of these is a density of all customers,
known everywhere. Two segments belong together where the density on the way between them hardly
falls, and not where there is a valley. Runs at a recipient.

In words: flood the landscape from above. Segments come up as hills; at the height of a saddle two
hills become one island. The lower of the two hills disappears into the other unless the saddle lies
far below its top: below ``threshold`` times its height. That is hill climbing on a kernel density
(DENCLUE) with the rule for small hills of persistence-based clustering (ToMATo), on K-means cells
in place of records; saddles between components instead of ridgelines follow Hennig.

Spreads are widened by a constant, for two cells of one even stretch of customers touch with their
ends, not with their middles. Correlations within a segment are not released: cells of shapes that
run askew look rounder than they are, and so there must be many of them.

Sources: A. Hinneburg, D. A. Keim, An efficient approach to clustering in large multimedia databases
with noise, KDD 1998; F. Chazal, L. J. Guibas, S. Y. Oudot, P. Skraba, Persistence-based clustering
in Riemannian manifolds, Journal of the ACM 60 (2013) 41; C. Hennig, Methods for merging Gaussian
mixture components, Advances in Data Analysis and Classification 4 (2010) 3-34.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp

from mpcseg.errors import ConfigError

Array = npt.NDArray[np.float64]

THRESHOLD = 0.4
"""A saddle this far down a hill's height parts it from a higher one."""

# Both were chosen on two moons, two circles, stripes and blobs (docs/shapes.md).
_WIDENING = 1.4
_STEPS = 33  # points on the line between two means at which the density is looked at
_DECIMALS = 9  # beyond, rounding would decide between equals
_LEAST_SPREAD = 1e-3  # in standard deviations of all customers; a single point has no density


@dataclass(frozen=True, eq=False)
class DensityTree:
    """Hills, and what they would disappear into.

    Attributes:
        depths: of each segment's hill, shape (n,): the saddle's height by the hill's own, between 0
            and 1, at which it meets a higher one; 0 for the highest of all.
        edges: pairs of segments by the height of the saddle between them, the highest first, shape
            (n_pairs, 2).
        heights: logarithm of the density at the segments' means, shape (n,).
    """

    depths: Array
    edges: npt.NDArray[np.int64]
    heights: Array

    def groups(
        self, n_segments: int | None = None, threshold: float = THRESHOLD
    ) -> npt.NDArray[np.int64]:
        """Let hills disappear.

        Args:
            n_segments: how many remain: those that are parted by the deepest saddles; None to go by
                the threshold.
            threshold: hills remain whose depth is below.

        Returns:
            The group of each segment, by the segment that is its highest hill, shape (n,).

        Raises:
            ConfigError: there are not so many segments.
        """
        n = len(self.depths)
        if n_segments is None:
            return _flood(self, set(np.flatnonzero(self.depths < threshold).tolist()))[0]
        if not 1 <= n_segments <= n:
            raise ConfigError(
                f"{n:,} segments cannot be merged into {n_segments:,}",
                f"Ask for a number from 1 to {n:,}.",
            )
        deepest = np.lexsort((-self.heights, self.depths))[:n_segments]
        return _flood(self, set(deepest.tolist()))[0]


def density_tree(sizes: Array, means: Array, spreads: Array) -> DensityTree:
    """Find hills and saddles.

    Args:
        sizes: customers, shape (n,), each positive.
        means: in the standardised metric, shape (n, d).
        spreads: in the standardised metric, shape (n, d).
    """
    n = len(sizes)
    widened = np.maximum(spreads * _WIDENING, _LEAST_SPREAD)
    constants = np.log(sizes) - np.log(widened).sum(axis=1)

    def density(points: Array) -> Array:
        """Logarithm of the density of customers, up to a constant."""
        squares = (((points[..., None, :] - means) / widened) ** 2).sum(axis=-1)
        return np.asarray(logsumexp(constants - squares / 2, axis=-1))

    heights = density(means)
    first, second = np.triu_indices(n, 1)
    way = np.linspace(0.0, 1.0, _STEPS)[:, None, None]
    ways = [density(means[a] + way * (means[a + 1 :] - means[a])) for a in range(n - 1)]
    along = np.concatenate(ways or [np.empty((_STEPS, 0))], axis=1)
    saddles = np.round(along.min(axis=0), _DECIMALS)
    # Where the way up from a low hill never falls, all its saddles are as high as itself: it goes
    # with the one whose way is the highest.
    order = np.lexsort((-along.mean(axis=0), -saddles))
    edges = np.column_stack([first, second])[order].astype(np.int64)
    bare = DensityTree(np.zeros(n), edges, heights)
    meeting = _flood(bare, set())[1]
    by_edge = saddles[order]
    depths = np.array(
        [np.exp(by_edge[meeting[a]] - heights[a]) if a in meeting else 0.0 for a in range(n)]
    )
    return DensityTree(np.minimum(np.round(depths, _DECIMALS), 1.0), edges, heights)


def _flood(tree: DensityTree, staying: set[int]) -> tuple[npt.NDArray[np.int64], dict[int, int]]:
    """Join islands along the edges, the highest saddle first.

    Args:
        tree: hills and edges.
        staying: hills that do not disappear.

    Returns:
        The highest hill of each segment's island, and for each hill that disappeared the edge.
    """
    n = len(tree.heights)
    top = np.arange(n)
    rank = np.empty(n, dtype=np.int64)  # the earlier of two equally high hills is the higher
    rank[np.argsort(-tree.heights, kind="stable")] = np.arange(n)
    meeting: dict[int, int] = {}
    for edge, (a, b) in enumerate(tree.edges):
        higher, lower = sorted((int(top[a]), int(top[b])), key=lambda hill: rank[hill])
        if higher != lower and lower not in staying:
            top[top == lower] = higher
            meeting[lower] = edge
    return top.astype(np.int64), meeting
