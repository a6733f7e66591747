"""The kinds of round and the sums that each of them releases (docs/protocol.md section 5)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeVar

from mpcseg.reference.columns import NO_COLUMNS, ColumnLayout

RoundKind = Literal["admission", "moments", "scout", "appraisal", "lloyd", "profile"]

SCOUT_KINDS: tuple[RoundKind, ...] = ("scout", "appraisal")
"""Rounds that try a number of clusters out: the first like a lloyd round with the blunt
sign, the second like the profile round with the sharp one, both on a sample of the blocks."""

SQUARE_KINDS: tuple[RoundKind, ...] = ("appraisal", "profile")
"""Rounds whose sums have squares."""

Item = TypeVar("Item")

ADMISSION_RULES = ("bounds", "presence", "padding")
"""What an admission round's three sums of a party test, in their order."""

MOST_UNITS = 16
"""Groups that blocks are added up in, at most: it bounds the evidence that a round leaves."""

LEAST_SCOUT_BLOCKS = 4
"""Blocks that scout rounds work on, at least, as far as there are so many."""


@dataclass(frozen=True)
class ScoutTerms:
    """Which numbers of clusters a study tries out, and how. Agreed; any node.

    Attributes:
        candidates: the numbers, ascending, two or more.
        n_starts: how often each is begun anew.
        n_rounds: scout rounds of each start; one appraisal round follows them.
    """

    candidates: tuple[int, ...]
    n_starts: int
    n_rounds: int

    @cached_property
    def sequence(self) -> tuple[tuple[RoundKind, int], ...]:
        """Kind and number of clusters of each round, in order; they come after the moments."""
        scouts: list[RoundKind] = ["scout"] * self.n_rounds
        kinds: list[RoundKind] = [*scouts, "appraisal"]
        return tuple(
            (kind, k) for k in self.candidates for _ in range(self.n_starts) for kind in kinds
        )


def scout_sample(blocks: Sequence[Item], n_parties: int) -> list[Item]:
    """The blocks that scout rounds work on. Any node.

    Every m-th of all blocks in the order of the parties, so that each party has about the part of
    the sample that it has of the study; parties shuffle their records before they pack them. All
    blocks where they are few.

    Args:
        blocks: of the study, those that several parties share once, in their order.
        n_parties: of the study.
    """
    step = max(1, len(blocks) // max(LEAST_SCOUT_BLOCKS, 2 * n_parties))
    return list(blocks[(step - 1) // 2 :: step])


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
        lloyd and scout: (k, d + 1): Σw·x_j, then Σw·p.
        appraisal: (k, 2d + 1): Σw·x_j, Σw·p, Σw·x_j².
        profile: (k, 2d + 1 + c): as the appraisal, then those of the c sums of profile columns, as
            :func:`mpcseg.reference.columns.column_sums` has them.
    """
    d = n_features
    if kind == "admission":
        return (n_parties, len(ADMISSION_RULES))
    if kind == "moments":
        return (1 + d + d * (d + 1) // 2,)
    n_columns = 2 * d + 1 if kind in SQUARE_KINDS else d + 1
    return (n_clusters, n_columns + columns.n_sums if kind == "profile" else n_columns)
