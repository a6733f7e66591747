"""How many segments a study looks for: a number, or a range from which it chooses."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Self

from pydantic import BaseModel, Discriminator, Field, Tag, model_validator

from mpcseg.reference.rounds import ScoutTerms
from mpcseg.study.card import FROZEN
from mpcseg.study.documents import KIND_TAGS

_MOST_CANDIDATES = 8


class ClusterRange(BaseModel):
    """From how many segments to how many the study tries out, before it chooses a number.

    Attributes:
        smallest: number of segments.
        largest: likewise; a study tries out 2 to 8 numbers.
        starts: how often each number is begun anew; their agreement is what stability means.
        rounds: scout rounds of each start; one more shows how good the segments are.
    """

    model_config = FROZEN

    smallest: int = Field(ge=2, le=1000)
    largest: int = Field(ge=2, le=1000)
    starts: int = Field(default=2, ge=2, le=5)
    rounds: int = Field(default=2, ge=1, le=10)

    @cached_property
    def terms(self) -> ScoutTerms:
        """What is tried out, and how."""
        return ScoutTerms(tuple(range(self.smallest, self.largest + 1)), self.starts, self.rounds)

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.smallest >= self.largest:
            raise ValueError(
                f"the smallest number of segments ({self.smallest}) is not below the largest "
                f"({self.largest})"
            )
        if self.largest - self.smallest >= _MOST_CANDIDATES:
            raise ValueError(
                f"from {self.smallest} to {self.largest} are more than {_MOST_CANDIDATES} numbers "
                "of segments; each costs rounds and privacy budget"
            )
        return self


NumberOfClusters = Annotated[
    Annotated[int, Field(ge=2, le=1000), Tag(KIND_TAGS[0])]
    | Annotated[ClusterRange, Tag(KIND_TAGS[1])],
    Discriminator(lambda given: KIND_TAGS[isinstance(given, Mapping | ClusterRange)]),
]


def clusters_in_words(chosen: int | ClusterRange) -> str:
    """How many segments are looked for, as people read it."""
    if isinstance(chosen, int):
        return f"{chosen:,}"
    return (
        f"{chosen.smallest} to {chosen.largest} (the study chooses, from {chosen.starts} starts of "
        f"{chosen.rounds} scout rounds each)"
    )
