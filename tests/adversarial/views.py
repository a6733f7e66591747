"""What the key node sees of a study, and how a record shows in it.

docs/threat-model.md. The key node chooses the hyperplanes of every round, so it knows the exact
assignment weight that *any* record would have had in any round, and it decrypts the sums. All
attacks start from here. Admission sums are left out: what an honest record adds to them has random
signs that the key node does not know, and is a hundredth of their noise or less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpcseg.reference.lloyd import assignment_weights, distance_difference
from mpcseg.reference.rounds import RoundKind
from mpcseg.reference.sign import sign_for

Array = NDArray[np.float64]

SUM_ERROR = 2e-4
"""Standard deviation of the error that the encrypted evaluation makes in a sum of few records:
1.7e-4 over all numbers of a real study (`test_real_view.py` checks it)."""


@dataclass(frozen=True, eq=False)
class Release:
    """The sums of one round in the clear, and what they were asked by.

    Attributes:
        kind: of the round.
        sign: degrees of the composite sign; empty for moments.
        planes: hyperplanes, shape (n_pairs, d + 1); None for moments.
        sums: as decrypted, in the shape that the kind has.
        stds: of the compute node's noise, same shape; 0 where there is none.
    """

    kind: RoundKind
    sign: tuple[int, ...]
    planes: Array | None
    sums: Array
    stds: Array


@dataclass(frozen=True, eq=False)
class View:
    """All releases of a study.

    Attributes:
        n_clusters: k.
        n_features: d.
        releases: in the order in which they came.
    """

    n_clusters: int
    n_features: int
    releases: tuple[Release, ...]

    def numbers(self) -> Array:
        """All sums, one after the other, shape (M,)."""
        return np.concatenate([release.sums.ravel() for release in self.releases])

    def deviations(self, sum_error: float = SUM_ERROR) -> Array:
        """Standard deviation of every number around what the records add up to, shape (M,)."""
        stds = np.concatenate([release.stds.ravel() for release in self.releases])
        return np.asarray(np.hypot(stds, sum_error), dtype=np.float64)

    def contributions(self, records: Array) -> Array:
        """What every record would add to every number, shape (n, M)."""
        parts: dict[int, Array] = {}
        for sign in {release.sign for release in self.releases}:
            # All rounds of a sign at once: on few records the calls cost more than the numbers.
            chosen = [i for i, release in enumerate(self.releases) if release.sign == sign]
            weights = self._weights(records, [self.releases[i] for i in chosen])
            parts |= {
                i: _sums_of_each(records, self.releases[i].kind, of_round)
                for i, of_round in zip(chosen, weights, strict=True)
            }
        return np.hstack([parts[i] for i in range(len(parts))])

    def _weights(self, records: Array, releases: Sequence[Release]) -> list[Array]:
        """Assignment weights of each release, shape (k, n); all 1 and (1, n) for moments."""
        n = len(records)
        if not releases[0].sign:
            return [np.ones((1, n))]
        planes = np.stack([_planes(release) for release in releases], axis=1)
        n_pairs, n_rounds, _ = planes.shape
        t = distance_difference(records, planes.reshape(n_pairs * n_rounds, -1))
        signs = sign_for(releases[0].sign)(t).reshape(n_pairs, n_rounds * n)
        weights = assignment_weights(signs, self.n_clusters)
        return list(weights.reshape(self.n_clusters, n_rounds, n).swapaxes(0, 1))


def contributions(records: Array, release: Release, n_clusters: int) -> Array:
    """What every record would add to the sums of one release, shape (n, number of sums)."""
    return View(n_clusters, records.shape[1], (release,)).contributions(records)


def _sums_of_each(records: Array, kind: RoundKind, weights: Array) -> Array:
    n, d = records.shape
    ones = np.ones((n, 1))
    if kind == "moments":
        first, second = np.triu_indices(d)
        return np.hstack([ones, records, records[:, first] * records[:, second]])
    squares = [records**2] if kind == "profile" else []
    columns = np.hstack([records, ones, *squares])
    sums = weights.T[:, :, None] * columns[:, None, :]
    return np.asarray(sums.reshape(n, weights.shape[0] * columns.shape[1]), dtype=np.float64)


def _planes(release: Release) -> Array:
    assert release.planes is not None
    return release.planes
