"""The segment table as data: sizes, centres and spreads in original units, and what stands out.

Made of the results that an organisation has received, and of nothing else; what is hidden in them
is not here either.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from mpcseg.errors import AgreementError
from mpcseg.study.figures import FeatureFigures, Quality, SegmentFigures
from mpcseg.study.joint import JointMoments
from mpcseg.study.results import PrivacySpent, Results

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
        noise: standard deviation of the noise in ``centre``; None without noise.
        spread: the segment's standard deviation, in those of all records, after the transform;
            None for an empty segment, and where segments are hidden.
        deviation_noise: standard deviation of the noise in ``deviation``; None without noise, and
            where segments are hidden.
    """

    feature: str
    centre: float
    low: float
    high: float
    deviation: float
    noise: float | None = None
    spread: float | None = None
    deviation_noise: float | None = None

    @property
    def ends(self) -> tuple[float | None, float | None]:
        """``low`` and ``high``, None for those of an empty segment."""
        low, high = (None if math.isnan(end) else end for end in (self.low, self.high))
        return low, high

    @property
    def remark(self) -> str:
        """What stands out (``high``, ``very low``, …), or an empty text."""
        if abs(self.deviation) < NOTABLE_DEVIATION:
            return ""
        strength = "very " if abs(self.deviation) >= STRONG_DEVIATION else ""
        return strength + ("high" if self.deviation > 0 else "low")


@dataclass(frozen=True)
class Segment:
    """One segment that is shown.

    Attributes:
        number: from 1, by size, the largest first.
        cluster: its row in the study's results.
        size: how many records, as the sum of their assignment weights.
        share: of all records, between 0 and 1.
        is_empty: no record belongs here; the centre is where the centroid was left.
        features: one summary per feature, in the study's order.
        noise: standard deviation of the noise in ``size``; None without noise.
    """

    number: int
    cluster: int
    size: float
    share: float
    is_empty: bool
    features: tuple[FeatureSummary, ...]
    noise: float | None = None

    @property
    def distinguishing(self) -> tuple[FeatureSummary, ...]:
        """The features that stand out, the farthest from the average first."""
        notable = [summary for summary in self.features if summary.remark]
        return tuple(sorted(notable, key=lambda summary: -abs(summary.deviation)))


@dataclass(frozen=True)
class HiddenSegments:
    """Segments that are not shown.

    Attributes:
        n_segments: how many.
        reason: why, in words that fit each of them; empty for none.
    """

    n_segments: int = 0
    reason: str = ""

    def __str__(self) -> str:
        """As people read it."""
        noun = "segment" if self.n_segments == 1 else "segments"
        return f"hidden ({self.n_segments} {noun}, {self.reason})"


@dataclass(frozen=True)
class SegmentTable:
    """All segments of a study, as far as they are shown.

    Attributes:
        study: the study's name.
        n_records: over all parties; None where no segment can be shown.
        feature_names: in the study's order.
        segments: by number.
        hidden: those that are not shown.
        privacy: what was spent of the privacy budget; None if it is not told.
        quality: how good the segments are; None if it is not told.
        moments: of all customers together; None if they are not told.
    """

    study: str
    n_records: int | None
    feature_names: tuple[str, ...]
    segments: tuple[Segment, ...]
    hidden: HiddenSegments = HiddenSegments()
    privacy: PrivacySpent | None = None
    quality: Quality | None = None
    moments: JointMoments | None = None

    @property
    def is_noised(self) -> bool:
        """Whether sizes and centres have noise."""
        return any(segment.noise is not None for segment in self.segments)


def segment_table(results: Results) -> SegmentTable:
    """The segment table in an organisation's results.

    Args:
        results: as they were opened.

    Raises:
        AgreementError: this organisation does not receive the report.
    """
    report = results.report
    if report is None:
        raise AgreementError(
            f"'{results.recipient}' receives the centroids of '{results.study}' only, no report",
            "Who receives what is in the agreement: mpcseg study show.",
        )
    return SegmentTable(
        study=results.study,
        n_records=report.n_records,
        feature_names=results.features,
        segments=tuple(_segment(results.features, figures) for figures in report.segments),
        hidden=HiddenSegments(report.n_hidden, report.hidden_reason),
        privacy=results.privacy,
        quality=report.quality,
        moments=report.moments,
    )


def _segment(names: tuple[str, ...], figures: SegmentFigures) -> Segment:
    return Segment(
        number=figures.number,
        cluster=figures.cluster,
        size=figures.size,
        share=figures.share,
        is_empty=all(feature.low is None for feature in figures.features),
        features=tuple(
            _summary(name, feature) for name, feature in zip(names, figures.features, strict=True)
        ),
        noise=figures.noise,
    )


def _summary(name: str, figures: FeatureFigures) -> FeatureSummary:
    return FeatureSummary(
        feature=name,
        centre=figures.centre,
        low=math.nan if figures.low is None else figures.low,
        high=math.nan if figures.high is None else figures.high,
        deviation=figures.deviation,
        noise=figures.noise,
        spread=figures.spread,
        deviation_noise=figures.deviation_noise,
    )
