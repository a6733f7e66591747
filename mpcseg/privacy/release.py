"""What may leave the key node: few digits, and no segment of too few customers.

docs/protocol.md section 7. Pure rules, applied by the key node to sums that are noised already.
They guard against a reader of the results who knows these rules and nothing else. Whoever also
knows records of their own can subtract those from a segment or from the total: against that there
is the noise only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

# One hidden segment is the total minus the rest.
_FEWEST_HIDDEN = 2


def significant(value: float, digits: int) -> float:
    """A value to a few significant digits, ties to even.

    Args:
        value: anything finite.
        digits: at least 1.

    Raises:
        ValueError: for NaN and infinity, or no digits.
    """
    if not math.isfinite(value):
        raise ValueError("only a finite number can be rounded")
    if digits < 1:
        raise ValueError("at least one significant digit is needed")
    return float(f"{value:.{digits}g}") + 0.0  # + 0.0 turns -0.0 into 0.0


def whole(value: float, digits: int) -> int:
    """A noised number of customers: whole, never negative, to a few significant digits.

    Raises:
        ValueError: as `significant`.
    """
    if not math.isfinite(value):
        raise ValueError("only a finite number can be rounded")
    return max(int(significant(round(value), digits)), 0)


@dataclass(frozen=True)
class Suppression:
    """Which segments are shown.

    Attributes:
        shown: indices of the segments that are, the largest first.
        hidden: indices of the segments that are not, in order of the indices.
        smallest_segment: the agreed limit.
        is_noised: whether a segment can be hidden because it cannot be told from an empty one.
    """

    shown: tuple[int, ...]
    hidden: tuple[int, ...]
    smallest_segment: int
    is_noised: bool = False

    @property
    def shows_total(self) -> bool:
        """Whether the number of all customers, and what else is about all of them, is shown."""
        return bool(self.shown)

    @property
    def reason(self) -> str:
        """Why segments are hidden, in words that fit each of them; empty when none is."""
        if not self.hidden:
            return ""
        lost = ", lost in the noise," if self.is_noised else ""
        reason = f"under {self.smallest_segment} customers{lost} or needed to hide one"
        if len(self.shown) > 1:
            return reason
        left = "one segment only" if self.shown else "no segment and no total"
        return f"{reason}; {left} can be shown"


def suppression(
    sizes: Sequence[float],
    n_records: float,
    smallest_segment: int,
    is_empty: Sequence[bool] = (),
    *,
    is_noised: bool = False,
) -> Suppression:
    """Decide which segments are shown; run by the key node.

    The total is shown as well, so that a reader can subtract: what the hidden segments come to
    together is as good as published. Hence:

    1. A segment under the limit is hidden. An empty one too: it would otherwise tell that another
       hidden one is not empty.
    2. The next smallest follow, until
       a. at least two are hidden,
       b. the hidden ones have the limit together,
       c. together, with one customer more each, they come to no more than all but one of them
          would have if these were as large as the smallest shown one.
    3. Where all customers together are under the limit, all are hidden.
    4. Where all are hidden, the total is not shown either.

    Steps 2c and 4 are for readers who know that the smallest are hidden. Two hidden segments with
    119 customers, next to a shown one of 100, are of 19 and 100 if the limit is 20. Step 2c looks
    at published numbers only, and can fail to the end only where all but a few are about equal,
    which step 4 keeps back. With both, a hidden segment may have any size under the limit as far
    as such a reader can tell, none at all included (tested on all small studies).

    With a limit of 1 there is nothing to hide.

    Args:
        sizes: of the segments, noised if the study is; may be negative then. Shape (k,).
        n_records: of all parties together, noised likewise.
        smallest_segment: the agreed limit, at least 1.
        is_empty: segments that cannot be told from empty ones, whatever their size says.
        is_noised: whether there is noise in the sizes; said in the reason.

    Raises:
        ValueError: for a size that is not a finite number.
    """
    if not all(math.isfinite(size) for size in (*sizes, n_records)):
        raise ValueError("only finite sizes can be compared")
    empty = is_empty or [False] * len(sizes)
    counts = [0.0 if nobody else max(size, 0.0) for size, nobody in zip(sizes, empty, strict=True)]
    rising = sorted(range(len(counts)), key=lambda index: (counts[index], -index))
    n_hidden = 0
    if smallest_segment > 1:
        n_hidden = _n_hidden([counts[index] for index in rising], n_records, smallest_segment)
    return Suppression(
        shown=tuple(reversed(rising[n_hidden:])),
        hidden=tuple(sorted(rising[:n_hidden])),
        smallest_segment=smallest_segment,
        is_noised=is_noised,
    )


def _n_hidden(counts: Sequence[float], n_records: float, smallest_segment: int) -> int:
    """How many of the segments must be hidden.

    Args:
        counts: rising.
        n_records: over all; noise and soft weights make it differ from the sum of the counts.
        smallest_segment: the agreed limit.
    """
    if n_records < smallest_segment:  # step 3
        return len(counts)
    n_small = sum(count < smallest_segment for count in counts)  # step 1
    if n_small == 0:
        return 0
    for n_hidden in range(max(n_small, _FEWEST_HIDDEN), len(counts)):  # step 2
        together = math.fsum(counts[:n_hidden])
        left_over = n_records - math.fsum(counts[n_hidden:])  # what a reader takes them for
        has_limit = min(together, left_over) >= smallest_segment
        leaves_open = max(together, left_over) + n_hidden <= counts[n_hidden] * (n_hidden - 1)
        if has_limit and leaves_open:
            return n_hidden
    return len(counts)
