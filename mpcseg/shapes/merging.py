"""Merging released segments: the method, how many, and how much of it the noise decides.

Runs at a recipient, on results alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from mpcseg.errors import ConfigError
from mpcseg.shapes.density import density_tree
from mpcseg.shapes.hierarchy import Hierarchy, ward_hierarchy
from mpcseg.shapes.merged import MergedSegments, merge_segments
from mpcseg.study.results import Results
from mpcseg.study.spec import StudySpec
from mpcseg.study.statistics import SegmentStatistics, released_statistics

Array = npt.NDArray[np.float64]
Groups = npt.NDArray[np.int64]

Method = Literal["ward", "density"]
METHODS: tuple[Method, ...] = get_args(Method)

_REDRAWS = 50


def merged_by(
    spec: StudySpec,
    results: Results,
    method: Method,
    n_segments: int | None = None,
    *,
    seed: int = 0,
) -> MergedSegments:
    """Merge the segments of a study.

    A segment without customers goes where its centroid is nearest.

    Args:
        spec: the agreement.
        results: as they were opened.
        method: ``ward`` for compact segments, ``density`` for shapes of any kind.
        n_segments: how many are wanted; None lets the method choose.
        seed: of the redraws within the noise.

    Raises:
        AgreementError: no report, or no segment in it.
        ConfigError: fewer than two segments with customers, or more wanted than there are.
    """
    statistics = released_statistics(spec, results)
    filled = statistics.select(statistics.filled)
    if filled.n_segments < 2:
        raise ConfigError(
            f"'{spec.name}' shows fewer than two segments with customers: nothing can be merged",
            "Merging is for studies with many segments, such as 12 to 20.",
        )

    def group(parts: SegmentStatistics) -> Groups:
        return _grouped(parts, method, n_segments)

    groups = _with_empty(statistics, group(filled))
    together = _together(filled, group, np.random.default_rng(seed))
    if together is not None:
        whole = np.full((statistics.n_segments,) * 2, np.nan)
        whole[np.ix_(statistics.filled, statistics.filled)] = together
        together = whole
    return merge_segments(spec, statistics, groups, method, together, _notes(results, method))


def hierarchy_of(statistics: SegmentStatistics) -> Hierarchy:
    """Ward's hierarchy of segments that all have customers."""
    return ward_hierarchy(statistics.sizes, statistics.standardised(statistics.means))


def _grouped(parts: SegmentStatistics, method: Method, n_segments: int | None) -> Groups:
    if method == "ward":
        return hierarchy_of(parts).cut(n_segments)
    means, spreads = parts.standardised(parts.means), parts.standardised(parts.spreads)
    return density_tree(parts.sizes, means, spreads).groups(n_segments)


def _with_empty(statistics: SegmentStatistics, groups: Groups) -> Groups:
    """The groups of all shown segments, of those of the ones that have customers."""
    centers = statistics.standardised(statistics.centers)
    filled = np.flatnonzero(statistics.filled)
    squares = ((centers[:, None] - centers[filled]) ** 2).sum(axis=2)
    complete = np.asarray(groups[squares.argmin(axis=1)], dtype=np.int64)
    complete[filled] = groups
    return complete


def _together(
    filled: SegmentStatistics,
    group: Callable[[SegmentStatistics], Groups],
    rng: np.random.Generator,
) -> Array | None:
    """How often each pair is in one group, of sizes and means drawn anew within their noise."""
    if not filled.size_stds.any() and not filled.mean_stds.any():
        return None
    n = filled.n_segments
    counts = np.zeros((n, n))
    for _ in range(_REDRAWS):
        sizes = filled.sizes + rng.standard_normal(n) * filled.size_stds
        means = filled.means + rng.standard_normal(filled.means.shape) * filled.mean_stds
        groups = group(replace(filled, sizes=np.maximum(sizes, 1.0), means=means))
        counts += groups[:, None] == groups
    return counts / _REDRAWS


def _notes(results: Results, method: Method) -> tuple[str, ...]:
    notes = ["Computed by the recipient from the released figures; no more was released for it."]
    report = results.report
    if report is not None and report.n_hidden:
        noun = "segment is" if report.n_hidden == 1 else "segments are"
        notes.append(f"{report.n_hidden:,} {noun} too small to be shown, and part of no other.")
    if method == "density":
        notes.append(
            "Correlations within a segment are not released, so that shapes that run askew to all "
            "features may fall apart or flow together: compare with another number of segments."
        )
    return tuple(notes)
