"""Which units a replay recomputes, and how likely a cheat is to be among the others."""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from typing import TypeVar

from mpcseg.errors import ConfigError

Item = TypeVar("Item")

_CHEATED = (0.0, 0.01, 0.02, 0.05, 0.1)
"""Parts of all units, for the probabilities that are shown; at least one unit."""


def sample_size(text: str, total: int) -> int:
    """How many units ``--sample`` asks for: a number, or a part as in ``10%``.

    Raises:
        ConfigError: neither, or more units than there are.
    """
    try:
        is_part = text.endswith("%")
        size = math.ceil(total * float(text[:-1]) / 100.0) if is_part else int(text)
        if size < 1 or not text.isascii():
            raise ValueError
    except (ValueError, OverflowError):
        raise ConfigError(
            f"--sample {text} is not a number of units", "Write --sample 5, or --sample 10%"
        ) from None
    if size > total:
        raise ConfigError(
            f"--sample {text} is more than there is: {total} units",
            "Leave --sample out to compute all of them again.",
        )
    return size


def draw_sample(items: Sequence[Item], size: int) -> list[Item]:
    """A uniformly random sample without repetition, from the system's CSPRNG.

    Nobody can know before which units it will have.
    """
    return secrets.SystemRandom().sample(items, size)


def miss_probability(total: int, cheated: int, replayed: int) -> float:
    """Probability that none of the cheated units is among the replayed ones."""
    return math.comb(total - cheated, replayed) / math.comb(total, replayed)


def miss_table(total: int, replayed: int) -> list[tuple[int, float]]:
    """For some numbers of cheated units: the number, and the probability to miss all of them."""
    numbers = sorted({max(1, math.ceil(part * total)) for part in _CHEATED})
    return [(number, miss_probability(total, number, replayed)) for number in numbers]
