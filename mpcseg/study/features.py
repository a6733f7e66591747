"""The agreed features: names, transforms, bounds, and the scaled space that they lead to."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, BaseModel, StringConstraints, model_validator

from mpcseg.study.card import FROZEN, in_words, showable

Array = npt.NDArray[np.float64]

# Feature names become column headings, where a leading =, +, - or @ would be run as a formula by a
# spreadsheet.
FeatureName = Annotated[
    str,
    StringConstraints(pattern=r"^\w.{0,63}$"),
    in_words("must begin with a letter, a digit or '_' and have 64 characters at most"),
    AfterValidator(showable),
]

# Relative width of the transformed bounds under which rounding of a double would show.
_LEAST_WIDTH = 1e-9


class FeatureSpec(BaseModel):
    """One agreed feature: its name, transform and bounds.

    Attributes:
        name: the feature's name, and its column in a party's table unless the party maps it.
        transform: applied before scaling; ``log1p`` for heavy-tailed amounts and counts.
        lower: smallest value, in original units; what lies below is clipped.
        upper: largest value, in original units; what lies above is clipped.
    """

    model_config = FROZEN

    name: FeatureName
    transform: Literal["identity", "log1p"] = "identity"
    lower: float
    upper: float

    @model_validator(mode="after")
    def _bounds_make_sense(self) -> Self:
        if self.lower >= self.upper:
            raise ValueError(
                f"the lower bound ({self.lower:g}) is not below the upper bound ({self.upper:g})"
            )
        if self.transform == "log1p" and self.lower <= -1:
            raise ValueError(f"log1p needs a lower bound above -1, not {self.lower:g}")
        low, high = self._transformed_bounds
        if high - low < _LEAST_WIDTH * max(abs(low), abs(high)):
            raise ValueError("the bounds are too close together to tell values between them apart")
        return self

    def scale(self, values: npt.ArrayLike) -> Array:
        """Original units to scaled space: transform, then min-max by the bounds to [-1, 1].

        Args:
            values: any shape, original units; where the transform is undefined the result is NaN.

        Returns:
            Same shape; not clipped, so that values outside the bounds land outside [-1, 1].
        """
        low, high = self._transformed_bounds
        transformed = self._forward(np.asarray(values, dtype=np.float64))
        return 2.0 * (transformed - low) / (high - low) - 1.0

    def unscale(self, scaled: npt.ArrayLike) -> Array:
        """Scaled space back to original units: the inverse of `scale`.

        Args:
            scaled: any shape.
        """
        low, high = self._transformed_bounds
        transformed = (np.asarray(scaled, dtype=np.float64) + 1.0) / 2.0 * (high - low) + low
        return np.expm1(transformed) if self.transform == "log1p" else transformed

    def _forward(self, values: Array) -> Array:
        if self.transform == "identity":
            return values
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.log1p(values)

    @cached_property
    def _transformed_bounds(self) -> tuple[float, float]:
        low, high = self._forward(np.array([self.lower, self.upper]))
        return float(low), float(high)
