"""Segments made of several released ones: sizes, means and spreads, and who belongs to which.

Runs at a recipient. A merged segment's mean and spread follow exactly from those of its parts
(within and between). The file of merged segments is for its own organisation's eyes, as the results
are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mpcseg.errors import ConfigError
from mpcseg.privacy.release import significant, whole
from mpcseg.study.documents import read_bytes
from mpcseg.study.spec import FeatureSpec, StudySpec
from mpcseg.study.statistics import SegmentStatistics, pooled

Array = npt.NDArray[np.float64]

FORMAT = "mpcseg merged segments 1"


@dataclass(frozen=True)
class MergedFeature:
    """One feature within a merged segment, in original units.

    Attributes:
        centre: the mean, mapped back.
        low: mean minus one standard deviation, mapped back and kept within the agreed bounds.
        high: mean plus one standard deviation, likewise.
    """

    centre: float
    low: float
    high: float


@dataclass(frozen=True)
class MergedSegment:
    """Several released segments as one.

    Attributes:
        number: from 1, by size, the largest first.
        members: the released segments' numbers.
        size: customers.
        size_noise: at most about the standard deviation of the noise in it; None without noise.
        share: of the customers in shown segments, between 0 and 1.
        together: how often its members stayed together, of repetitions in which sizes and means
            were drawn anew within their noise: of its pairs of members the mean share, between 0
            and 1; None without noise, or where there is one member only.
        features: in the study's order; none where no member has customers.
    """

    number: int
    members: tuple[int, ...]
    size: int
    size_noise: float | None
    share: float
    together: float | None
    features: tuple[MergedFeature, ...]


@dataclass(frozen=True)
class MergedSegments:
    """A study's segments, merged.

    Attributes:
        study: the study's name.
        study_digest: of the agreement.
        method: ``ward`` or ``density``.
        feature_names: in the study's order.
        segments: by number.
        notes: plain sentences on how it came about.
    """

    study: str
    study_digest: str
    method: str
    feature_names: tuple[str, ...]
    segments: tuple[MergedSegment, ...]
    notes: tuple[str, ...] = ()

    @property
    def of_released(self) -> dict[int, int]:
        """The merged segment of each released one, by their numbers."""
        return {member: segment.number for segment in self.segments for member in segment.members}

    @property
    def document(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "format": FORMAT,
            "study": self.study,
            "study_digest": self.study_digest,
            "method": self.method,
            "feature_names": list(self.feature_names),
            "segments": [
                {
                    "segment": segment.number,
                    "members": list(segment.members),
                    "size": segment.size,
                    "size_noise": segment.size_noise,
                    "share": segment.share,
                    "together": segment.together,
                    "features": {
                        name: vars(feature)
                        for name, feature in zip(self.feature_names, segment.features, strict=False)
                    },
                }
                for segment in self.segments
            ],
            "notes": list(self.notes),
        }


def merge_segments(
    spec: StudySpec,
    statistics: SegmentStatistics,
    groups: npt.NDArray[np.int64],
    method: str,
    together: Array | None = None,
    notes: tuple[str, ...] = (),
) -> MergedSegments:
    """Recompute sizes, means and spreads of groups of released segments.

    Args:
        spec: the agreement.
        statistics: all shown segments.
        groups: of each shown segment, shape (n,).
        method: ``ward`` or ``density``.
        together: how often each pair of shown segments was together, shape (n, n); None without
            noise.
        notes: plain sentences on how it came about.
    """
    parts = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    # By size; of equally large ones, the one with the largest released segment comes first.
    parts.sort(key=lambda rows: (-statistics.sizes[rows].sum(), rows[0]))
    return MergedSegments(
        spec.name,
        spec.digest,
        method,
        spec.feature_names,
        tuple(
            _merged(statistics, rows, number, together, spec.release.significant_digits)
            for number, rows in enumerate(parts, start=1)
        ),
        notes,
    )


def _merged(
    statistics: SegmentStatistics,
    rows: npt.NDArray[np.int64],
    number: int,
    together: Array | None,
    digits: int,
) -> MergedSegment:
    sizes = statistics.sizes[rows]
    size = whole(float(sizes.sum()), digits)
    noise = float(np.sqrt((statistics.size_stds[rows] ** 2).sum()))
    total = float(statistics.sizes.sum())
    features: tuple[MergedFeature, ...] = ()
    if size:
        mean, spread = pooled(sizes, statistics.means[rows], statistics.spreads[rows])
        features = tuple(
            _feature(feature, float(mean[j]), float(spread[j]), digits)
            for j, feature in enumerate(statistics.features)
        )
    stays = None
    if together is not None and len(rows) > 1:
        pairs = together[np.ix_(rows, rows)][np.triu_indices(len(rows), 1)]
        stays = significant(float(pairs.mean()), digits)
    return MergedSegment(
        number=number,
        members=tuple(int(member) for member in statistics.numbers[rows]),
        size=size,
        size_noise=significant(noise, digits) if noise else None,
        share=significant(float(sizes.sum()) / total, digits) if total else 0.0,
        together=stays,
        features=features,
    )


def _feature(feature: FeatureSpec, mean: float, spread: float, digits: int) -> MergedFeature:
    def original(scaled: float) -> float:
        value = float(feature.unscale(min(max(scaled, -1.0), 1.0)))
        return significant(min(max(value, feature.lower), feature.upper), digits)

    return MergedFeature(original(mean), original(mean - spread), original(mean + spread))


def read_mapping(path: Path, spec: StudySpec) -> Mapping[int, int]:
    """Read from a file of merged segments which released segment belongs to which merged one.

    Args:
        path: what ``mpcseg shapes`` wrote.
        spec: the agreement that the released segments are of.

    Raises:
        ConfigError: the file cannot be read, is no such file, or is of another study.
    """
    content = read_bytes(path, "the file of merged segments")
    try:
        document = json.loads(content)
        if document["format"] != FORMAT:
            raise ValueError("of another kind")
        found = {
            int(member): int(segment["segment"])
            for segment in document["segments"]
            for member in segment["members"]
        }
        digest, n_members = (
            document["study_digest"],
            sum(len(segment["members"]) for segment in document["segments"]),
        )
        if not found or n_members != len(found):
            raise ValueError("a segment stands twice, or none is there")
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ConfigError(
            f"{path} is not a file of merged segments", "Take one that mpcseg wrote."
        ) from None
    if digest != spec.digest:
        raise ConfigError(
            f"{path} merges segments of another study than '{spec.name}'",
            "Segments are numbered anew in every study: merge those of this one.",
        )
    return found
