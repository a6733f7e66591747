"""The kinds of round and the sums that each of them releases (docs/protocol.md section 5)."""

from __future__ import annotations

import math
from typing import Literal

from mpcseg.reference.columns import NO_COLUMNS, ColumnLayout

RoundKind = Literal["admission", "moments", "lloyd", "profile"]

ADMISSION_RULES = ("bounds", "presence", "padding")
"""What an admission round's three sums of a party test, in their order."""

MOST_UNITS = 16
"""Groups that blocks are added up in, at most: it bounds the evidence that a round leaves."""


def block_groups(n_blocks: int) -> list[range]:
    """Indices of the blocks whose sums are added up into one partial sum. Any node."""
    size = max(1, math.ceil(n_blocks / MOST_UNITS))
    return [range(i, min(i + size, n_blocks)) for i in range(0, n_blocks, size)]


def sums_shape(
    kind: RoundKind,
    n_clusters: int,
    n_features: int,
    n_parties: int = 0,
    columns: ColumnLayout = NO_COLUMNS,
) -> tuple[int, ...]:
    """Shape of a round's sums, in the row-major order in which they are released. Any node.

    Returns:
        admission: (n_parties, 3), columns as in :data:`ADMISSION_RULES`.
        moments: (1 + d + d(d+1)/2,): Σp, Σx_j, Σx_j·x_l for j ≤ l.
        lloyd: (k, d + 1): Σw·x_j, then Σw·p.
        profile: (k, 2d + 1 + c): Σw·x_j, Σw·p, Σw·x_j², then those of the c sums of profile
            columns, as :func:`mpcseg.reference.columns.column_sums` has them.
    """
    d = n_features
    if kind == "admission":
        return (n_parties, len(ADMISSION_RULES))
    if kind == "moments":
        return (1 + d + d * (d + 1) // 2,)
    return (n_clusters, d + 1 if kind == "lloyd" else 2 * d + 1 + columns.n_sums)
