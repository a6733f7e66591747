"""The admission round in numbers: what its sums are for honest data, and for other data.

docs/protocol.md section 5 has the three rules. Each is a random functional Σ Re(ρ_i·z_i) of slots z
that are zero, or all but zero, for honest data. Real and imaginary part of every ρ_i have a random
sign and a random size: with signs alone, two equal cheats would cancel every second time.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mpcseg.reference.columns import NO_COLUMNS, ColumnLayout

SQUARINGS = 9
"""Levels of the power; the smallest parameter set of any study has as many."""

POWER = 2**SQUARINGS
"""Coordinates are raised to this power: (1.05/MARGIN)^POWER is 10⁸, (1.025/MARGIN)^POWER 535."""

MARGIN = 1.0125
"""Coordinates are divided by this before, which makes an honest one vanish."""

HONEST_POWER = MARGIN**-POWER
"""Largest power of an honest coordinate, 0.00173."""

SMALLEST_FACTOR, LARGEST_FACTOR = math.sqrt(0.5), math.sqrt(2.0)
"""Sizes between which the real and the imaginary part of ρ are uniform."""

AMPLIFICATION = 4096.0
"""Of presence and padding, which are zero for honest data but for the errors of encryption."""

IMAGINARY_AMPLIFICATION = 65536.0
"""Of the imaginary parts of records, all of padding that does not depend on what is encrypted."""

MAGNITUDE_WEIGHT = 2.0**-20
"""Weight of Σ Re(ρ·x) within bounds. Powers do not see a residue's sign; this sum does."""

PRESENCE_WEIGHT = 2.0**-22
"""Weight, before amplification, of Σ Re(ρ·p) over a party's own slots, for the same reason."""

FACTOR_SCALE = 2.0**20
"""Scale of ρ on presence and records, where two more factors and three primes have to fit.

Low enough that the last bits of an encoding, which processors do not agree on, are rounded away.
"""

OUTSIDE_SCALE = 2.0**24
"""Likewise, of ρ' on presence outside a party's own slots of a shared block.

Larger, because the rounding of an encoding meets the party's own records, whose presence is 1.
"""

CONVENTION = (
    POWER,
    MARGIN,
    SMALLEST_FACTOR,
    LARGEST_FACTOR,
    AMPLIFICATION,
    IMAGINARY_AMPLIFICATION,
    MAGNITUDE_WEIGHT,
    PRESENCE_WEIGHT,
    FACTOR_SCALE,
    OUTSIDE_SCALE,
)
"""What the compute node, which makes the sums, and the key node, which judges them, must share."""

_FACTOR_RMS = math.sqrt(
    (LARGEST_FACTOR**3 - SMALLEST_FACTOR**3) / (3.0 * (LARGEST_FACTOR - SMALLEST_FACTOR))
)


def error_stds(
    n_blocks: int, slots: int, n_features: int, columns: ColumnLayout = NO_COLUMNS
) -> NDArray[np.float64]:
    """Standard deviation that encryption alone gives the three sums of an honest party. Any node.

    Args:
        n_blocks: of the party.
        slots: of a block, N/2.
        n_features: d.
        columns: profile columns; a numeric one is tested as a feature is, a label as presence is.

    Returns:
        Shape (3,): bounds, presence, padding.
    """
    fresh = _slot_error(slots)
    n = n_blocks * slots
    n_coordinates = n_features + columns.n_numeric
    bounds = HONEST_POWER * POWER * fresh * math.sqrt(2.0 * n * n_coordinates)
    slot = amplified_error(slots)
    imaginary = IMAGINARY_AMPLIFICATION * fresh * _FACTOR_RMS
    presence = slot * math.sqrt(n * (1 + columns.n_labels))
    if n_blocks == 1:  # which may be a shared one: outside, and of records in the own slots
        rounding = outside_rounding(slots) * math.sqrt(n)
        presence = math.hypot(slot * math.sqrt(n * (2 + columns.n_labels)), rounding)
    # Of x in empty slots, of p·x in full ones, and of the imaginary part in all; and of the sums
    # of labels, less presence.
    padding = math.hypot(slot, imaginary) * math.sqrt(n * n_coordinates)
    labels = slot * math.sqrt(n * (columns.n_labels + len(columns.groups)))
    return np.array([bounds, presence, math.hypot(padding, labels)])


def amplified_error(slots: int) -> float:
    """Standard deviation of what one slot's error of encryption adds to presence or padding."""
    return AMPLIFICATION * _slot_error(slots) * math.sqrt(2.0) * _FACTOR_RMS


def outside_rounding(slots: int) -> float:
    """Standard deviation of what one record in a party's own slots of a shared block adds.

    ρ' has no real part there, but its 2·slots coefficients are rounded, each by up to a half.
    """
    return AMPLIFICATION * math.sqrt(slots / 12.0) / OUTSIDE_SCALE


def _slot_error(slots: int) -> float:
    """Standard deviation of a fresh encryption's error in the real part of one slot."""
    n = 2 * slots
    # Rounding under a ternary secret (mpcseg.ckks.simulation), at the scale 2^31.
    return math.sqrt((1.0 + 2.0 * n / 3.0) / 12.0) * math.sqrt(n / 2.0) / 2.0**31
