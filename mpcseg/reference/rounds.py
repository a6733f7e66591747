"""The kinds of round and the sums that each of them releases (docs/protocol.md section 5)."""

from __future__ import annotations

from typing import Literal

RoundKind = Literal["moments", "lloyd", "profile"]


def sums_shape(kind: RoundKind, n_clusters: int, n_features: int) -> tuple[int, ...]:
    """Shape of a round's sums, in the row-major order in which they are released. Any node.

    Returns:
        moments: (1 + d + d(d+1)/2,): Σp, Σx_j, Σx_j·x_l for j ≤ l.
        lloyd: (k, d + 1): Σw·x_j, then Σw·p.
        profile: (k, 2d + 1): Σw·x_j, Σw·p, Σw·x_j².
    """
    d = n_features
    if kind == "moments":
        return (1 + d + d * (d + 1) // 2,)
    return (n_clusters, d + 1 if kind == "lloyd" else 2 * d + 1)
