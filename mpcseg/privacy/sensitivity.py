"""How far one record can move what a round releases; proofs are in docs/privacy.md.

Two studies are neighbours when one has one record more, of any party. A record x lies in
[-1, 1]^d with ‖x‖₂ <= R, and weighs w_a in cluster a. Every bound is in L2, of one part of a
round's sums (parts get noise of their own), and in the unit of the sums.
"""

from __future__ import annotations

import math

from mpcseg.reference.admission import (
    AMPLIFICATION,
    HONEST_POWER,
    LARGEST_FACTOR,
    MAGNITUDE_WEIGHT,
    PRESENCE_WEIGHT,
    amplified_error,
    outside_rounding,
)
from mpcseg.reference.columns import NO_COLUMNS, ColumnLayout
from mpcseg.reference.sign import sign_for

# A sign evaluated on ciphertexts is off by 0.0025 at most (docs/precision.md); twice that.
SIGN_MARGIN = 0.005
# Part of a released sum's error that depends on the data: 4e-4 at most was seen for a block. One
# record lies in one block, and passes through the one relinearisation of the sum.
SUM_MARGIN = 1e-3
# Of a fresh encryption, in one slot: errors this many standard deviations out do not happen.
ERROR_DEVIATIONS = 8.0
# Slots of a block in the largest ring; its errors are the largest.
_MOST_SLOTS = 16384


def weight_bound(sign: tuple[int, ...], n_clusters: int) -> float:
    """Largest ‖w‖₂ that a record's assignment weights can have, whatever the hyperplanes.

    With s_ab in [-1 - e, 1 + e] and s_ba = -s_ab, ‖w‖² is convex in each s_ab, so that its maximum
    is at a corner: a tournament. There w_a = (1 + e/2)^wins·(-e/2)^losses, ‖w‖² is a sum of convex
    functions of the scores, and the transitive tournament's scores 0, 1, …, k-1 majorise all
    others (Landau, 1953).

    Args:
        sign: degrees of the composite sign.
        n_clusters: k.
    """
    half = (sign_for(sign).error + SIGN_MARGIN) / 2
    scores = range(n_clusters)
    losses = n_clusters - 1
    return math.sqrt(sum((1 + half) ** (2 * (losses - m)) * half ** (2 * m) for m in scores))


def record_bound(n_features: int, radius: float) -> float:
    """Largest ‖x‖₂ of a record in the cube and the ball."""
    return min(radius, math.sqrt(n_features))


def squares_bound(n_features: int, radius: float) -> float:
    """Largest ‖(x_1², …, x_d²)‖₂.

    The y_j = x_j² lie in [0, 1] and add up to S = min(R², d) at most. Σy_j² is convex, so its
    maximum has as many ones as fit, and the rest of S in one more.
    """
    total = record_bound(n_features, radius) ** 2
    # The square of a square root is a rounding error off a whole number, either way.
    whole = math.floor(total + 1e-9)
    return math.sqrt(whole + max(0.0, total - whole) ** 2)


def products_bound(n_features: int, radius: float) -> float:
    """Largest L2 norm of the products x_j·x_l for j < l.

    Σ_{j<l} y_j·y_l = ((Σy)² - Σy²)/2, largest for equal y_j = S/d.
    """
    total = record_bound(n_features, radius) ** 2
    return total * math.sqrt((n_features - 1) / (2 * n_features))


def columns_bound(columns: ColumnLayout) -> float:
    """Largest L2 norm of what one record adds to the sums of profile columns, before its weight.

    Each numeric column adds z and z², at most √2 together; each category 1 in one of its sums.
    """
    return math.sqrt(2 * columns.n_numeric + len(columns.all_groups))


def with_margin(bound: float, n_sums: int) -> float:
    """Add what the encrypted evaluation's error can add to the L2 norm of ``n_sums`` sums."""
    return bound + SUM_MARGIN * math.sqrt(n_sums)


def admission_sensitivities(
    n_features: int, columns: ColumnLayout = NO_COLUMNS
) -> tuple[float, float, float]:
    """Of a party's three admission sums, by one record of that party: bounds, presence, padding.

    What a record that keeps the rules adds by itself (mpcseg.reference.admission): to *bounds* its
    coordinates' and its norm's powers, to *presence* one small weight, to *padding* nothing. The
    rest are errors of encryption, which the sums multiply: a slot whose presence turns from 0 to 1
    turns the error of p·(1 - p) round, and that of x_j·(1 - p) from x_j's into presence's; in a
    shared block it also meets what rounding leaves of a ρ' that has no real part there.

    A numeric profile column counts as one more coordinate. Of every category one label turns from
    0 to 1, as presence does; that labels add up to presence is linear, and so are its errors.
    """
    slot = ERROR_DEVIATIONS * amplified_error(_MOST_SLOTS)
    rounding = ERROR_DEVIATIONS * outside_rounding(_MOST_SLOTS)
    n_coordinates, n_turns = n_features + columns.n_numeric, 1 + len(columns.groups)
    magnitude = MAGNITUDE_WEIGHT * n_coordinates
    turn = LARGEST_FACTOR * PRESENCE_WEIGHT * AMPLIFICATION + 2 * slot
    return (
        LARGEST_FACTOR * (HONEST_POWER * (n_coordinates + 1) + magnitude) + SUM_MARGIN,
        n_turns * turn + rounding + SUM_MARGIN,
        math.sqrt(2 * n_coordinates) * slot + SUM_MARGIN,
    )
