"""The moments round in the clear, and what the key node makes of its sums (docs/protocol.md 5)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpcseg.reference.rounds import sums_shape


def moment_sums(
    records: NDArray[np.float64], presence: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Slot sums of the moments round.

    Args:
        records: scaled records, shape (n, d); zero where presence is 0.
        presence: 1 for a record and 0 for padding, shape (n,); all records if not given.

    Returns:
        Shape (1 + d + d(d + 1)/2,): Σp, Σx_j for every j, Σx_j·x_l for j <= l row by row.
    """
    count = float(len(records) if presence is None else presence.sum())
    upper = np.triu_indices(records.shape[1])
    return np.concatenate([[count], records.sum(axis=0), (records.T @ records)[upper]])


@dataclass(frozen=True, eq=False)
class Moments:
    """Joint first and second moments of all parties' records, in scaled space.

    Attributes:
        n_records: number of records (a sum of presences, so not quite whole).
        mean: shape (d,).
        covariance: of the population (divided by n), shape (d, d).
    """

    n_records: float
    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]

    @classmethod
    def from_sums(cls, sums: NDArray[np.float64], n_features: int) -> Moments:
        """Take the moments from the sums of `moment_sums`; the key node runs this.

        Raises:
            ValueError: for a wrong number of sums or a count that is not positive.
        """
        if sums.shape != sums_shape("moments", 1, n_features):
            raise ValueError(f"{n_features} features have no moment sums of shape {sums.shape}")
        count = float(sums[0])
        if not count > 0:
            raise ValueError("there are no records to take moments of")
        mean = sums[1 : 1 + n_features] / count
        second = np.zeros((n_features, n_features))
        upper = np.triu_indices(n_features)
        second[upper] = sums[1 + n_features :] / count
        second = np.triu(second) + np.triu(second, 1).T
        return cls(count, mean, second - np.outer(mean, mean))
