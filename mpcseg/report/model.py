"""The segment table as data: sizes, centres and spreads in original units, and what stands out.

Made at the key node from the released sums of the last round (docs/protocol.md section 5), and by
nothing else: no record is needed for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mpcseg.study.schedule import StudyResult
from mpcseg.study.spec import FeatureSpec, StudySpec

# In standard deviations of all records: below the first, a segment does not stand out in a
# feature; from the second on it stands out strongly.
NOTABLE_DEVIATION = 0.5
STRONG_DEVIATION = 1.5


@dataclass(frozen=True)
class FeatureSummary:
    """One feature within one segment, in original units.

    Attributes:
        feature: the feature's name.
        centre: the segment's mean; for a log1p feature the mean of the logarithms mapped back,
            which a few very large values do not drag along.
        low: mean minus one standard deviation, mapped back and kept within the agreed bounds.
        high: mean plus one standard deviation, likewise. Both are NaN for an empty segment.
        deviation: the segment's mean minus that of all records, in standard deviations of all
            records, after the transform.
    """

    feature: str
    centre: float
    low: float
    high: float
    deviation: float

    @property
    def remark(self) -> str:
        """What stands out (``high``, ``very low``, …), or an empty text."""
        if abs(self.deviation) < NOTABLE_DEVIATION:
            return ""
        strength = "very " if abs(self.deviation) >= STRONG_DEVIATION else ""
        return strength + ("high" if self.deviation > 0 else "low")


@dataclass(frozen=True)
class Segment:
    """One segment.

    Attributes:
        number: from 1, by size, the largest first.
        cluster: its row in the study's results.
        size: how many records, as the sum of their assignment weights.
        share: of all records, between 0 and 1.
        is_empty: no record belongs here; the centre is where the centroid was left.
        features: one summary per feature, in the study's order.
    """

    number: int
    cluster: int
    size: float
    share: float
    is_empty: bool
    features: tuple[FeatureSummary, ...]

    @property
    def distinguishing(self) -> tuple[FeatureSummary, ...]:
        """The features that stand out, the farthest from the average first."""
        notable = [summary for summary in self.features if summary.remark]
        return tuple(sorted(notable, key=lambda summary: -abs(summary.deviation)))


@dataclass(frozen=True)
class SegmentTable:
    """All segments of a study.

    Attributes:
        study: the study's name.
        n_records: over all parties.
        feature_names: in the study's order.
        segments: by number.
    """

    study: str
    n_records: int
    feature_names: tuple[str, ...]
    segments: tuple[Segment, ...]


def segment_table(spec: StudySpec, result: StudyResult) -> SegmentTable:
    """The segment table of a finished study; runs at the key node.

    Args:
        spec: the study.
        result: what the schedule made of the released sums.
    """
    deviations = (result.segment_means - result.feature_means) / np.sqrt(
        np.diag(result.feature_covariance)
    )
    order = np.argsort(-np.asarray(result.segment_sizes), kind="stable")
    segments: list[Segment] = []
    for number, cluster in enumerate(order.tolist(), start=1):
        size = max(float(result.segment_sizes[cluster]), 0.0)
        means, spreads = result.segment_means[cluster], result.segment_spreads[cluster]
        # How the schedule marks a segment that nobody belongs to.
        is_empty = not spreads.any() and np.array_equal(means, result.cluster_centers[cluster])
        if is_empty:
            spreads = np.full_like(spreads, np.nan)
        summaries = tuple(
            _summary(feature, float(mean), float(spread), 0.0 if is_empty else float(deviation))
            for feature, mean, spread, deviation in zip(
                spec.features, means, spreads, deviations[cluster], strict=True
            )
        )
        share = size / result.n_records
        segments.append(Segment(number, cluster, size, share, is_empty, summaries))
    return SegmentTable(spec.name, result.n_records, spec.feature_names, tuple(segments))


def _summary(feature: FeatureSpec, mean: float, spread: float, deviation: float) -> FeatureSummary:
    low, centre, high = feature.unscale([mean - spread, mean, mean + spread])
    return FeatureSummary(
        feature.name,
        float(centre),
        max(float(low), feature.lower) if np.isfinite(low) else float("nan"),
        min(float(high), feature.upper) if np.isfinite(high) else float("nan"),
        deviation,
    )
