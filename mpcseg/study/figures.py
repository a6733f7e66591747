"""What may be told of a study's result: rounded, in original units, without small segments.

The key node makes these figures of the schedule's result by the rules of `mpcseg.privacy.release`.
Nothing here depends on what a hidden segment is like, but for its being hidden.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mpcseg.privacy.release import Suppression, significant, suppression, whole
from mpcseg.reference.quality import separation
from mpcseg.study.choice_figures import ChoiceFigures, choice_figures
from mpcseg.study.column_figures import (
    CategoryFigures,
    NumericColumnFigures,
    category_figures,
    numeric_figures,
)
from mpcseg.study.joint import JointMoments, joint_moments, original
from mpcseg.study.outcome import StudyResult
from mpcseg.study.spec import StudySpec

Array = npt.NDArray[np.float64]

# Bounds on notes, so that the length of a document can be told beforehand.
LARGEST_NOTES = 10
NOTE_CHARACTERS = 200


@dataclass(frozen=True)
class FeatureFigures:
    """One feature within one segment, in original units.

    Attributes:
        centre: the segment's mean; for a log1p feature the mean of the logarithms mapped back,
            which a few very large values do not drag along.
        low: mean minus one standard deviation, mapped back and kept within the agreed bounds.
        high: mean plus one standard deviation, likewise. Both are None for an empty segment.
        deviation: the segment's mean minus that of all records, in standard deviations of all
            records, after the transform.
        noise: standard deviation of the noise in ``centre``; None without noise.
        spread: the segment's standard deviation, in those of all records, after the transform;
            None for an empty segment, and where segments are hidden.
        deviation_noise: standard deviation of the noise in ``deviation``; None without noise, and
            where segments are hidden.
    """

    centre: float
    low: float | None
    high: float | None
    deviation: float
    noise: float | None
    spread: float | None
    deviation_noise: float | None


@dataclass(frozen=True)
class SegmentFigures:
    """One segment that is shown.

    Attributes:
        number: from 1, by size, the largest first.
        cluster: its row in the study's result.
        size: how many records, as the sum of their assignment weights, whole.
        noise: standard deviation of the noise in ``size``; None without noise.
        share: of all records, between 0 and 1.
        features: in the study's order.
    """

    number: int
    cluster: int
    size: int
    noise: float | None
    share: float
    features: tuple[FeatureFigures, ...]


@dataclass(frozen=True)
class Quality:
    """How good the segments are, and how they came about.

    Where segments are hidden, numbers are not told. From the inertia of all, that of the hidden
    ones would follow; and the rounds end early only if no segment is empty. (How many rounds there
    were is seen by all nodes nonetheless.)

    Attributes:
        inertia: of all customers in the standardised metric; None where segments are hidden.
        n_rounds: lloyd rounds made; likewise.
        converged: whether the centroids came to rest before the rounds ran out, or in a noised
            study moved by no more than their noise; likewise.
        notes: what was out of the ordinary.
        explained: share of the variance that the segments explain, between 0 and 1; None where
            segments are hidden, empty or drowned in noise (`mpcseg.reference.quality`).
        calinski_harabasz: likewise; the larger the better.
        davies_bouldin: likewise, with root mean square distances; the smaller the better.
    """

    inertia: float | None
    n_rounds: int | None
    converged: bool | None
    notes: tuple[str, ...]
    explained: float | None = None
    calinski_harabasz: float | None = None
    davies_bouldin: float | None = None


@dataclass(frozen=True)
class Report:
    """The segment report.

    Attributes:
        n_records: of all parties together; None where no segment can be shown.
        segments: those that are shown, by number.
        n_hidden: how many are not.
        hidden_reason: why, in words; empty when none is.
        quality: of the segmentation.
        numeric_columns: of the profile columns, in the study's order.
        categories: likewise; sizes by party are the last, where they are told.
        fairness_threshold: part of a group's share of everybody under which its share in a segment
            is under-represented; for the categories that are protected.
        moments: of all customers together; None where segments are hidden, so that no more is told
            of the hidden ones together than follows from the rest (docs/report.md).
        choice: how the number of segments was chosen; None where it was agreed.
    """

    n_records: int | None
    segments: tuple[SegmentFigures, ...]
    n_hidden: int
    hidden_reason: str
    quality: Quality
    moments: JointMoments | None = None
    numeric_columns: tuple[NumericColumnFigures, ...] = ()
    categories: tuple[CategoryFigures, ...] = ()
    fairness_threshold: float = 0.8
    choice: ChoiceFigures | None = None


@dataclass(frozen=True)
class Centroids:
    """The centroids of the segments that are shown, for labelling one's own customers.

    Attributes:
        segments: the segments' numbers, as in the report.
        centers_scaled: in scaled space (each feature in [-1, 1]), shape (n, d).
        feature_weights: of the standardised metric, shape (d,); empty where no segment is shown.
        features: the features' names, in the order of the columns.
        suppressed: how many segments are hidden.
    """

    segments: tuple[int, ...]
    centers_scaled: tuple[tuple[float, ...], ...]
    feature_weights: tuple[float, ...]
    features: tuple[str, ...]
    suppressed: int

    @property
    def document(self) -> dict[str, Any]:
        """Plain data, as `mpcseg.customers.labels` takes it."""
        return {
            "segments": list(self.segments),
            "centers_scaled": [list(row) for row in self.centers_scaled],
            "feature_weights": list(self.feature_weights),
            "features": list(self.features),
            "suppressed": self.suppressed,
        }


def shown_segments(spec: StudySpec, result: StudyResult) -> Suppression:
    """Which segments of a finished study are shown to anybody; run by the key node."""
    return suppression(
        result.segment_sizes.tolist(),
        result.n_records,
        spec.release.smallest_segment,
        _empty(result).tolist(),
        is_noised=spec.privacy.is_noised,
    )


def report_of(spec: StudySpec, result: StudyResult) -> Report:
    """The segment report of a finished study; run by the key node.

    Args:
        spec: the agreement.
        result: what the schedule made of the released sums.
    """
    digits = spec.release.significant_digits
    decided = shown_segments(spec, result)
    n_records = whole(result.n_records, digits)
    segments = tuple(
        _segment(spec, result, number, cluster, n_records, tells_spreads=not decided.hidden)
        for number, cluster in enumerate(decided.shown, start=1)
    )
    return Report(
        n_records=n_records if decided.shows_total else None,
        segments=segments,
        n_hidden=len(decided.hidden),
        hidden_reason=decided.reason,
        numeric_columns=numeric_figures(spec, result, decided),
        categories=category_figures(spec, result, decided),
        fairness_threshold=spec.fairness.threshold,
        quality=_quality(spec, result, decided),
        moments=None if decided.hidden else joint_moments(spec, result),
        choice=choice_figures(spec, result, len(decided.hidden)),
    )


def centroids_of(spec: StudySpec, result: StudyResult) -> Centroids:
    """The centroids of a finished study that may leave the key node, which runs this.

    Args:
        spec: the agreement.
        result: what the schedule made of the released sums.
    """
    digits = spec.release.significant_digits
    decided = shown_segments(spec, result)
    weights = result.feature_weights if decided.shows_total else np.empty(0)
    return Centroids(
        segments=tuple(range(1, len(decided.shown) + 1)),
        centers_scaled=tuple(
            tuple(significant(value, digits) for value in result.cluster_centers[cluster].tolist())
            for cluster in decided.shown
        ),
        feature_weights=tuple(significant(value, digits) for value in weights.tolist()),
        features=spec.feature_names,
        suppressed=len(decided.hidden),
    )


def _empty(result: StudyResult) -> npt.NDArray[np.bool_]:
    """Which segments the schedule has marked as empty, shape (k,)."""
    at_centroid = (result.segment_means == result.cluster_centers).all(axis=1)
    return np.asarray(at_centroid & ~result.segment_spreads.any(axis=1), dtype=np.bool_)


def _segment(
    spec: StudySpec,
    result: StudyResult,
    number: int,
    cluster: int,
    n_records: int,
    *,
    tells_spreads: bool,
) -> SegmentFigures:
    digits, is_noised = spec.release.significant_digits, spec.privacy.is_noised
    is_empty = bool(_empty(result)[cluster])
    size = 0 if is_empty else whole(float(result.segment_sizes[cluster]), digits)
    return SegmentFigures(
        number=number,
        cluster=cluster,
        size=size,
        noise=significant(float(result.size_stds[cluster]), digits) if is_noised else None,
        # Of the rounded numbers, so that it tells no more than they do.
        share=significant(min(size / n_records, 1.0), digits) if n_records else 0.0,
        features=tuple(
            _feature(spec, result, cluster, j, is_empty=is_empty, tells_spreads=tells_spreads)
            for j in range(spec.n_features)
        ),
    )


def _feature(
    spec: StudySpec,
    result: StudyResult,
    cluster: int,
    j: int,
    *,
    is_empty: bool,
    tells_spreads: bool,
) -> FeatureFigures:
    """One feature of one segment: scaled space to original units, rounded."""
    feature, digits = spec.features[j], spec.release.significant_digits
    mean = float(result.segment_means[cluster, j])
    spread = float(result.segment_spreads[cluster, j])
    noise = float(result.mean_stds[cluster, j])
    overall = float(np.sqrt(result.feature_covariance[j, j]))
    deviation = 0.0 if is_empty else (mean - float(result.feature_means[j])) / overall

    def told(value: float, *, where: bool) -> float | None:
        return significant(value, digits) if where else None

    def at(scaled: float) -> float:
        return original(feature, scaled)

    is_noised = spec.privacy.is_noised
    return FeatureFigures(
        centre=significant(at(mean), digits),
        low=told(at(mean - spread), where=not is_empty),
        high=told(at(mean + spread), where=not is_empty),
        deviation=significant(deviation, digits),
        noise=told((at(mean + noise) - at(mean - noise)) / 2, where=is_noised),
        spread=told(spread / overall, where=tells_spreads and not is_empty),
        deviation_noise=told(noise / overall, where=tells_spreads and is_noised and not is_empty),
    )


def _quality(spec: StudySpec, result: StudyResult, decided: Suppression) -> Quality:
    notes, digits = _notes(result, decided), spec.release.significant_digits
    if decided.hidden:
        return Quality(None, None, None, notes)
    inertia = significant(result.inertia, digits)
    found = None
    if not _empty(result).any():
        found = separation(
            result.segment_sizes,
            result.segment_means,
            result.segment_spreads,
            result.feature_means,
            result.feature_weights,
            result.mean_stds if spec.privacy.is_noised else None,
        )
    if found is None:
        return Quality(inertia, result.n_iter, result.converged, notes)
    return Quality(
        inertia,
        result.n_iter,
        result.converged,
        notes,
        explained=significant(found.explained, digits),
        calinski_harabasz=significant(found.calinski_harabasz, digits),
        davies_bouldin=significant(found.davies_bouldin, digits),
    )


def _notes(result: StudyResult, decided: Suppression) -> tuple[str, ...]:
    """Notes that say nothing of a hidden segment.

    Those of the first round are about the features of all records; the others speak of clusters
    that were empty or moved.
    """
    if not decided.shows_total:
        return ()
    notes = [
        note[:NOTE_CHARACTERS]
        for record in result.history
        if record.kind == "moments" or not decided.hidden
        for note in record.notes
    ]
    if len(notes) > LARGEST_NOTES:
        notes[LARGEST_NOTES - 1 :] = [f"and {len(notes) - LARGEST_NOTES + 1} notes more"]
    return tuple(notes)
