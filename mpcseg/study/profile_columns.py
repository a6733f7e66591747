"""Agreed columns that are not clustered on: what is told of them per segment and over all.

Numeric columns have means and spreads, categories have shares. A category may be marked as
protected: then its groups are audited for fairness (docs/columns.md).
"""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, Field, model_validator

from mpcseg.study.card import FROZEN
from mpcseg.study.features import FeatureName, FeatureSpec

PARTY_COLUMN = "party"
"""What sizes by party are called among the categories."""

_MOST_VALUES = 100


def _without_blanks(text: str) -> str:
    if text != text.strip():
        raise ValueError("must not begin or end with a blank: cells are compared without them")
    return text


Label = Annotated[FeatureName, AfterValidator(_without_blanks)]


class NumericColumn(FeatureSpec):
    """A column of numbers; fields as of a feature, with the same meaning.

    Attributes:
        kind: says that it is one.
    """

    kind: Literal["numeric"]


class CategoryColumn(BaseModel):
    """A column of a few agreed words.

    Attributes:
        name: the column's name, and its column in a party's table unless the party maps it.
        kind: says that it is one.
        values: the agreed values, compared with a cell letter for letter but for blanks around it.
        other: what a cell with any other value counts as; empty to refuse a table that has one.
        unknown: what an empty cell counts as; empty to refuse a table that has one.
        protected: whether its groups are audited for fairness.
    """

    model_config = FROZEN

    name: FeatureName
    kind: Literal["category"]
    values: tuple[Label, ...] = Field(min_length=1, max_length=_MOST_VALUES)
    other: Label | Literal[""] = "other"
    unknown: Label | Literal[""] = ""
    protected: bool = False

    @model_validator(mode="after")
    def _labels_differ(self) -> Self:
        repeated = next((label for label, n in Counter(self.labels).items() if n > 1), None)
        if repeated is not None:
            raise ValueError(f"'{repeated}' stands twice among values, other and unknown")
        if len(self.labels) == 1:
            raise ValueError("one value alone tells nothing; name another one, or what is other")
        return self

    @property
    def labels(self) -> tuple[str, ...]:
        """Everything that a record can count as."""
        return tuple(label for label in (*self.values, self.other, self.unknown) if label)


ProfileColumn = Annotated[NumericColumn | CategoryColumn, Field(discriminator="kind")]


class Fairness(BaseModel):
    """How the groups of protected columns are judged.

    Attributes:
        threshold: a group whose share in a segment is under this part of its share of everybody is
            under-represented there; 0.8 is the four-fifths rule.
    """

    model_config = FROZEN

    threshold: float = Field(default=0.8, gt=0, le=1)
