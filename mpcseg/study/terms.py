"""Terms of an agreement that stand by themselves: consent, noise, and what is released to whom."""

from __future__ import annotations

from collections import Counter
from typing import Literal, Self, cast

from pydantic import BaseModel, Field, field_validator, model_validator

from mpcseg.study.card import FROZEN, Line, NodeName
from mpcseg.study.features import FeatureName

# Canonical JSON (RFC 8785) carries integers as doubles, so that larger ones would collide.
LARGEST_INTEGER = 2**53 - 1

NO_NOISE_SENTENCE = (
    "We know that the key node sees exact sums of every round, and that they can give away single "
    "records."
)
"""What an agreement without noise must say, word for word."""

# Below, noise drowns everything; above, it is too little to speak of protection.
_EPSILONS = (0.001, 20)

MOST_ORGANISATIONS = 102
"""A hundred parties, the compute node and the key node."""


class Consent(BaseModel):
    """Which records may take part at all.

    Attributes:
        column: the column that says so.
        value: what must stand there, as text.
    """

    model_config = FROZEN

    column: FeatureName
    value: Line


class Privacy(BaseModel):
    """The noise on everything that the key node decrypts, and the budget for all of it together.

    Attributes:
        epsilon: the budget, or ``none`` for exact sums.
        delta: the probability with which the guarantee may fail.
        acknowledgement: `NO_NOISE_SENTENCE` where epsilon is ``none``, else empty.
    """

    model_config = FROZEN

    epsilon: float | Literal["none"] = 1.0
    delta: float = Field(default=1e-6, ge=1e-15, le=1e-3)
    acknowledgement: str = ""

    @field_validator("epsilon", mode="before")
    @classmethod
    def _is_a_number_or_none(cls, epsilon: object) -> object:
        is_number = isinstance(epsilon, int | float) and not isinstance(epsilon, bool)
        low, high = _EPSILONS
        if epsilon != "none" and not (is_number and low <= cast("float", epsilon) <= high):
            raise ValueError(f'must be a number from {low:g} to {high:g}, or "none"')
        return epsilon

    @model_validator(mode="after")
    def _is_acknowledged(self) -> Self:
        if self.epsilon == "none" and self.acknowledgement != NO_NOISE_SENTENCE:
            raise ValueError(
                f'without noise the acknowledgement must be, word for word: "{NO_NOISE_SENTENCE}"'
            )
        if self.is_noised and self.acknowledgement:
            raise ValueError('an acknowledgement belongs to epsilon = "none" only')
        return self

    @property
    def is_noised(self) -> bool:
        """Whether noise is added."""
        return self.epsilon != "none"


class ReleaseTerms(BaseModel):
    """What leaves the key node, and for whom.

    Attributes:
        smallest_segment: segments with fewer customers are not shown.
        significant_digits: to which every number is rounded.
        report: organisations that receive the segment report.
        centroids: organisations that receive the centroids, to label their own customers.
    """

    model_config = FROZEN

    smallest_segment: int = Field(default=20, ge=1, le=LARGEST_INTEGER)
    significant_digits: int = Field(default=3, ge=2, le=6)
    report: tuple[NodeName, ...] = Field(default=(), max_length=MOST_ORGANISATIONS)
    centroids: tuple[NodeName, ...] = Field(default=(), max_length=MOST_ORGANISATIONS)

    @model_validator(mode="after")
    def _names_stand_once(self) -> Self:
        for what in ("report", "centroids"):
            refuse_repeats(f"{what} names twice", getattr(self, what))
        if not (self.report or self.centroids):
            raise ValueError("nobody is to receive the report or the centroids")
        return self


def refuse_repeats(sentence: str, names: tuple[str, ...] | list[str]) -> None:
    """Refuse a name that stands twice, with a sentence that the name ends."""
    repeated = next((name for name, count in Counter(names).items() if count > 1), None)
    if repeated is not None:
        raise ValueError(f"{sentence} '{repeated}'")
