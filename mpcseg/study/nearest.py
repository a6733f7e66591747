"""Which released segment a customer belongs to, how clearly, and whether anybody like it was seen.

Runs at a recipient of centroids, offline. Distances are in the standardised metric, in standard
deviations of all customers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mpcseg.errors import ConfigError
from mpcseg.study.results import Results
from mpcseg.study.spec import StudySpec
from mpcseg.study.statistics import released_statistics

Array = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]

REACH = 3.0
"""Times the root mean square distance of a segment's customers: beyond, a customer is far off.

Of any segment whatever, at most one customer in nine is farther out than that (Chebyshev), and of
one that is normally distributed in two features, one in eight thousand."""


@dataclass(frozen=True, eq=False)
class Assigned:
    """Where n customers belong.

    Attributes:
        segments: shape (n,); of merged segments, where segments were merged.
        parts: the released segment whose centroid is nearest, shape (n,).
        distances: to that centroid, shape (n,); of the record as it would be clustered: clipped to
            the agreed domain.
        confidences: between 0 on the border between two segments and 1 at a centroid, shape (n,):
            (d2 - d1) / (d2 + d1), where d1 is the distance to the nearest centroid and d2 that to
            the nearest one of another segment. No probability.
        is_far: whether the record, before clipping, lies beyond the nearest segment's reach, shape
            (n,): the study saw hardly anybody like it.
    """

    segments: Numbers
    parts: Numbers
    distances: Array
    confidences: Array
    is_far: npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class ReleasedCentroids:
    """What a recipient of centroids got.

    Attributes:
        segments: the segments' numbers, as in the report.
        centers: shape (k, d), scaled space.
        weights: shape (d,), 1 / variance of each feature.
        reach: of each segment, shape (k,); infinite without any knowledge of spreads.
        merged: the number of the merged segment that each belongs to, shape (k,); None where
            nothing was merged.
        n_hidden: segments that were not released.
    """

    segments: Numbers
    centers: Array
    weights: Array
    reach: Array = field(default_factory=lambda: np.array(np.inf))
    merged: Numbers | None = None
    n_hidden: int = 0

    @classmethod
    def of_results(cls, spec: StudySpec, results: Results) -> ReleasedCentroids:
        """The centroids in opened results, and from the report, if there is one, their reach.

        Without the report only the spread of all customers together is known, which the metric has:
        a segment's reach is then that of all of them.

        Args:
            spec: the agreement.
            results: as they were opened.

        Raises:
            ConfigError: no centroids, or no segment was released.
        """
        found = results.centroids
        document = {} if found is None else found.document
        released = cls.of_document(document, spec.feature_names)
        if results.report is None:
            reach = np.full(len(released.segments), REACH * np.sqrt(spec.n_features))
        else:
            known = released_statistics(spec, results)
            squares = known.spreads**2 + (known.means - known.centers) ** 2
            reach = REACH * np.sqrt(squares @ known.weights)
        return replace(released, reach=reach)

    @classmethod
    def of_document(cls, document: Mapping[str, Any], features: Sequence[str]) -> ReleasedCentroids:
        """Read the centroids' part of opened results.

        Args:
            document: ``segments`` (k numbers), ``centers_scaled`` (k rows of d),
                ``feature_weights`` (d), ``features`` (d names) and ``suppressed`` (how many are
                hidden; 0 if absent); anything else in it is not looked at.
            features: the agreed features' names.

        Raises:
            ConfigError: it is not of this form or of these features, or no segment was released.
        """
        try:
            if not len(document["segments"]):
                raise ConfigError(
                    "no segment was large enough to be released: there is nothing to label by",
                    "A study with fewer segments, or with less noise, may have some.",
                )
            n_hidden = document.get("suppressed", 0)
            released = cls(
                np.array(document["segments"], dtype=np.int64),
                np.array(document["centers_scaled"], dtype=np.float64),
                np.array(document["feature_weights"], dtype=np.float64),
                n_hidden=n_hidden if isinstance(n_hidden, int) else 0,
            )
            k, d = len(released.segments), len(features)
            fits = (
                list(document["features"]) == list(features)
                and released.segments.shape == (k,)
                and released.centers.shape == (k, d)
                and released.weights.shape == (d,)
                and bool(np.isfinite(released.centers).all())
                and bool((np.isfinite(released.weights) & (released.weights > 0)).all())
            )
        except (KeyError, TypeError, ValueError, OverflowError):
            fits = False
        if not fits:
            raise ConfigError(
                "the results hold no centroids of this study's features",
                "Take the results and the agreement of one study.",
            )
        return released

    def merge(self, mapping: Mapping[int, int]) -> ReleasedCentroids:
        """The same with merged segments for labels.

        Args:
            mapping: the merged segment of each released one.

        Raises:
            ConfigError: a released segment is not in it.
        """
        missing = [number for number in self.segments.tolist() if number not in mapping]
        if missing:
            raise ConfigError(
                f"the merged segments do not say where segment {missing[0]} belongs",
                "Merge the segments of these very results.",
            )
        merged = np.array([mapping[number] for number in self.segments.tolist()], dtype=np.int64)
        return replace(self, merged=merged)

    def nearest(self, records: Array) -> tuple[Numbers, Array]:
        """The nearest released segment of each record, and how far its centroid is.

        Args:
            records: shape (n, d), scaled and clipped as agreed.

        Returns:
            Segment numbers, shape (n,), and distances, shape (n,). Of equally near segments the
            first counts.
        """
        assigned = self.assign(records, records)
        return assigned.parts, assigned.distances

    def assign(self, records: Array, unclipped: Array) -> Assigned:
        """Label customers.

        Args:
            records: shape (n, d), scaled and clipped as agreed.
            unclipped: the same, scaled and not clipped, shape (n, d).
        """
        n = len(records)
        squares = np.empty((len(self.centers), n))
        for index, center in enumerate(self.centers):
            squares[index] = (records - center) ** 2 @ self.weights
        nearest, rows = squares.argmin(axis=0), np.arange(n)
        distances = np.sqrt(squares[nearest, rows])
        groups = self.segments if self.merged is None else self.merged
        segments = groups[nearest]
        beyond = (unclipped - self.centers[nearest]) ** 2 @ self.weights
        reach = np.broadcast_to(self.reach, len(self.centers))[nearest]
        return Assigned(
            segments,
            self.segments[nearest],
            distances,
            _confidences(squares, distances, groups, segments),
            np.asarray(np.sqrt(beyond) > reach, dtype=np.bool_),
        )


def _confidences(squares: Array, distances: Array, groups: Numbers, segments: Numbers) -> Array:
    """How much nearer the nearest centroid is than that of any other segment, shape (n,)."""
    # Of the own segment's centroids none counts. In place: ``squares`` is not needed any more.
    for index, group in enumerate(groups):
        squares[index, segments == group] = np.inf
    others = np.sqrt(squares.min(axis=0))
    total = others + distances
    with np.errstate(invalid="ignore"):  # inf / inf where there is one segment only
        margins = (others - distances) / np.where(total > 0, total, 1.0)
    return np.asarray(np.where(np.isinf(others), 1.0, np.maximum(margins, 0.0)))
