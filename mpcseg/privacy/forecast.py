"""What the noise of a plan will mean, before anybody spends budget."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from mpcseg.privacy.budget import NoisePlan

Verdict = Literal["sharp", "blurred", "drowned"]

# Standard deviation of a feature in scaled space that a forecast is made for. Of the CDNOW
# customers' six features it is 0.24 to 0.66.
TYPICAL_DEVIATION = 0.4
# Largest deviation of a centroid's coordinate, in standard deviations of the feature, at which
# segments are sharp, or at least not drowned. In the table of docs/privacy.md, all that is forecast
# to be sharp costs less than 1 % of inertia, blurred ones 0.7 to 4 %, drowned ones 7 % and more.
SHARP_LIMIT = 0.03
BLURRED_LIMIT = 0.08
# Estimates that the key node averages for the final centroids.
AVERAGED = 3


@dataclass(frozen=True)
class Forecast:
    """What the noise means for segments of the average size. Any node, from the plan alone.

    Attributes:
        plan: of the study's noise.
        n_records: of all parties together.
    """

    plan: NoisePlan
    n_records: int

    @property
    def share_std(self) -> float:
        """Standard deviation of a segment's share of all records, from 0 to 1."""
        d = self.plan.n_features
        std = float(self.plan.effective_stds("profile", self.plan.signs[1])[0, d])
        return std / self.n_records

    @property
    def coordinate_std(self) -> float:
        """Standard deviation of a centroid's coordinate, in standard deviations of its feature."""
        return _coordinate_std_times_n(self.plan) / self.n_records

    @property
    def verdict(self) -> Verdict:
        """Whether the segments will be sharp, blurred or drowned."""
        if self.coordinate_std <= SHARP_LIMIT:
            return "sharp"
        return "blurred" if self.coordinate_std <= BLURRED_LIMIT else "drowned"


def records_needed(plan: NoisePlan, verdict: Literal["sharp", "blurred"]) -> int:
    """Records of all parties together from which on a forecast is as good as this."""
    limit = SHARP_LIMIT if verdict == "sharp" else BLURRED_LIMIT
    return math.ceil(_coordinate_std_times_n(plan) / limit)


def _coordinate_std_times_n(plan: NoisePlan) -> float:
    """A centroid's deviation is its sum's over its count; here with n/k for the count."""
    std = float(plan.effective_stds("lloyd", plan.signs[1])[0, 0])
    averaged = math.sqrt(min(AVERAGED, plan.n_rounds))
    return std * plan.n_clusters / averaged / TYPICAL_DEVIATION
