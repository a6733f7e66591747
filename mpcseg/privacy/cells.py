"""Which cells of a category are shown: none of a few customers, and none that follows from others.

Pure rules, as those of `mpcseg.privacy.release`, and against the same reader: one who has the
results, and nothing else but these rules.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpcseg.privacy.release import suppression

Array = NDArray[np.float64]

# One hidden cell of a row is the row's total minus the rest.
_FEWEST_HIDDEN = 2


@dataclass(frozen=True)
class HiddenLabels:
    """Which labels of a category are not shown.

    Attributes:
        overall: indices of the labels whose number of all customers is hidden.
        in_segments: indices of the labels whose numbers in all segments are hidden; those of
            ``overall`` are among them.
    """

    overall: frozenset[int] = frozenset()
    in_segments: frozenset[int] = frozenset()


def hidden_labels(counts: Array, overall: Array, smallest: int) -> HiddenLabels:
    """Decide which labels of one category are shown; run by the key node.

    Published are sizes of segments, the number of all, and what is not hidden here. A reader can
    subtract: a row (a segment) has its total, and so has a column (a label). What hidden segments
    come to together follows as well, and so they are a row here like any other.

    1. Of all customers, labels are hidden as segments are (`mpcseg.privacy.release.suppression`).
    2. A label with fewer than ``smallest`` customers in any row, none included, is hidden in all
       rows. Hidden cells are a complete table by themselves then, with known totals of its rows
       and columns, and the range that a cell of it can have is known in closed form (Fréchet).
    3. Further labels follow, the rarest first, until at least two are hidden, and every small cell
       may have any size from none to ``smallest`` as far as the totals tell.
    4. Where that does not come about, nothing of the category is shown.

    Args:
        counts: of each row, shape (r, c): the segments that are shown, and one row for those that
            are not, all together, if there are any. Noised if the study is.
        overall: of all customers, shape (c,).
        smallest: customers that a shown cell must have.
    """
    n_labels = len(overall)
    everything = frozenset(range(n_labels))
    if smallest <= 1:
        return HiddenLabels()
    if not len(counts):
        return HiddenLabels(everything, everything)
    rare = frozenset(suppression(overall.tolist(), float(overall.sum()), smallest).hidden)
    small = frozenset(np.flatnonzero((counts < smallest).any(axis=0)).tolist())
    hidden = rare | small
    if not hidden:
        return HiddenLabels()
    followers = sorted(everything - hidden, key=lambda label: (overall[label], label))
    while not _is_safe(counts, overall, rare, hidden, smallest):
        if not followers:
            return HiddenLabels(everything, everything)
        hidden |= {followers.pop(0)}
    return HiddenLabels(rare, hidden)


def _is_safe(
    counts: Array, overall: Array, rare: frozenset[int], hidden: frozenset[int], smallest: int
) -> bool:
    """Whether every small hidden cell may have any size from none to ``smallest``.

    A cell of a table with row total S, column total T and grand total N lies between
    max(0, S + T - N) and min(S, T), and can have both. Of the labels that are hidden in all
    customers only the sum of T is known, and at least two of them share it.
    """
    if len(hidden) < _FEWEST_HIDDEN:
        return False
    chosen = sorted(hidden)
    rows = counts[:, chosen].sum(axis=1)
    together = overall[sorted(rare)].sum()
    total = rows.sum()
    for label in chosen:
        column = together if label in rare else overall[label]
        for row, cell in zip(rows, counts[:, label], strict=True):
            if cell >= smallest:
                continue
            least = 0.0 if label in rare else row + column - total
            if min(row, column) < smallest or least > 0:
                return False
    return True
