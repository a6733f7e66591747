"""Columns that are not clustered on: which slots they take, and which sums come of them.

docs/protocol.md sections 2 and 5. A numeric column is one vector z in [-1, 1]; a category is a
group of vectors, one for each label, of which a record has 1 in exactly one and 0 in the others.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ColumnLayout:
    """How many vectors the agreed columns of a study are. Any node; all derive the same.

    Attributes:
        n_numeric: numeric columns; they come first among a block's vectors.
        groups: labels of each category.
        n_parties: parties whose sizes are released for each segment, which takes no vector: a
            party's own presence is there already. 0 where they are not.
    """

    n_numeric: int = 0
    groups: tuple[int, ...] = ()
    n_parties: int = 0

    @property
    def n_labels(self) -> int:
        """Vectors of all categories."""
        return sum(self.groups)

    @property
    def n_vectors(self) -> int:
        """Ciphertexts that a party adds to each block."""
        return self.n_numeric + self.n_labels

    @property
    def all_groups(self) -> tuple[int, ...]:
        """Sums of each category, the parties as the last one."""
        return (*self.groups, self.n_parties) if self.n_parties else self.groups

    @property
    def n_sums(self) -> int:
        """Sums for each segment: Σw·z and Σw·z² of numeric columns, Σw·z of every label."""
        return 2 * self.n_numeric + self.n_labels + self.n_parties

    @property
    def group_slices(self) -> tuple[slice, ...]:
        """Where each of `groups` stands among a block's vectors."""
        ends = np.cumsum((self.n_numeric, *self.groups)).tolist()
        return tuple(slice(a, b) for a, b in itertools.pairwise(ends))


NO_COLUMNS = ColumnLayout()


def column_sums(weights: Array, columns: Array, layout: ColumnLayout, parties: Array) -> Array:
    """What the profile round adds for the columns, in the clear.

    Args:
        weights: w_a of each record, shape (n, k).
        columns: shape (n, layout.n_vectors).
        layout: of the columns.
        parties: whose each record is, shape (n,); of use only where party sizes are released.

    Returns:
        Shape (k, layout.n_sums): Σw·z, Σw·z² of numeric columns, Σw·z of labels, Σw of parties.
    """
    numeric = columns[:, : layout.n_numeric]
    own = parties[:, None] == np.arange(layout.n_parties)
    values = np.hstack([numeric, numeric**2, columns[:, layout.n_numeric :], own])
    return np.asarray(weights.T @ values, dtype=np.float64)
