"""What may be told of the profile columns: rounded, in original units, without small cells.

Made by the key node, as `mpcseg.study.figures`, of which it is a part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mpcseg.privacy.cells import hidden_labels
from mpcseg.privacy.release import Suppression, significant, whole
from mpcseg.study.column_estimates import CategoryEstimates, ColumnEstimates
from mpcseg.study.joint import original
from mpcseg.study.outcome import StudyResult
from mpcseg.study.profile_columns import PARTY_COLUMN, NumericColumn
from mpcseg.study.spec import StudySpec

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class NumericFigures:
    """A numeric column within one segment, or of everybody, in original units.

    Attributes:
        centre: the mean; for a log1p column the mean of the logarithms mapped back.
        low: mean minus one standard deviation, mapped back and kept within the agreed bounds.
        high: mean plus one standard deviation, likewise. Both are None for an empty segment.
        noise: standard deviation of the noise in ``centre``; None without noise.
    """

    centre: float
    low: float | None
    high: float | None
    noise: float | None


@dataclass(frozen=True)
class NumericColumnFigures:
    """A numeric profile column.

    Attributes:
        name: of the column.
        overall: of everybody; None where segments are hidden, for theirs would follow.
        segments: in the order of the report's segments.
    """

    name: str
    overall: NumericFigures | None
    segments: tuple[NumericFigures, ...]


@dataclass(frozen=True)
class CellFigures:
    """How many customers of a segment, or of everybody, have one label, or one of several.

    Attributes:
        size: whole.
        share: in the segment, or of everybody, between 0 and 1.
        noise: standard deviation of the noise in ``size``; None without noise.
        share_noise: likewise in ``share``.
    """

    size: int
    share: float
    noise: float | None
    share_noise: float | None


@dataclass(frozen=True)
class LabelFigures:
    """The labels of a category within one segment, or of everybody.

    Attributes:
        cells: one for each label; None where hidden.
        together: those that are hidden in segments, as one; None where there are none, or nothing
            else. A reader can find it by subtraction.
    """

    cells: tuple[CellFigures | None, ...]
    together: CellFigures | None


@dataclass(frozen=True)
class CategoryFigures:
    """A category among the profile columns, or sizes by party.

    Attributes:
        name: of the column.
        labels: everything that a customer can count as.
        protected: whether it is audited for fairness.
        overall: of everybody.
        segments: in the order of the report's segments.
    """

    name: str
    labels: tuple[str, ...]
    protected: bool
    overall: LabelFigures
    segments: tuple[LabelFigures, ...]

    @property
    def hidden_labels(self) -> tuple[str, ...]:
        """Labels that are hidden in segments; the same in all of them."""
        if not self.segments:
            return ()
        cells = zip(self.labels, self.segments[0].cells, strict=True)
        return tuple(label for label, cell in cells if cell is None)


def numeric_figures(
    spec: StudySpec, result: StudyResult, decided: Suppression
) -> tuple[NumericColumnFigures, ...]:
    """Means and spreads of the numeric columns; none where no segment is shown.

    Args:
        spec: the agreement.
        result: of the schedule.
        decided: which segments are shown.
    """
    found = result.columns
    if found is None or not decided.shows_total:
        return ()
    everybody = len(result.segment_sizes)
    return tuple(
        NumericColumnFigures(
            column.name,
            None if decided.hidden else _numeric(spec, column, found, everybody, j),
            tuple(_numeric(spec, column, found, cluster, j) for cluster in decided.shown),
        )
        for j, column in enumerate(spec.numeric_columns)
    )


def category_figures(
    spec: StudySpec, result: StudyResult, decided: Suppression
) -> tuple[CategoryFigures, ...]:
    """Counts and shares of the categories, and sizes by party; none where no segment is shown.

    Args:
        spec: the agreement.
        result: of the schedule.
        decided: which segments are shown.
    """
    found = result.columns
    if found is None or not decided.shows_total:
        return ()
    return tuple(
        _category(spec, estimates, decided, *name)
        for name, estimates in zip(category_names(spec), found.categories, strict=True)
    )


def category_names(spec: StudySpec) -> tuple[tuple[str, tuple[str, ...], bool], ...]:
    """Name, labels, and whether it is protected, of each category; sizes by party last."""
    names = [(column.name, column.labels, column.protected) for column in spec.categories]
    if spec.party_shares:
        names.append((PARTY_COLUMN, tuple(card.name for card in spec.parties), False))
    return tuple(names)


def _numeric(
    spec: StudySpec, column: NumericColumn, found: ColumnEstimates, row: int, j: int
) -> NumericFigures:
    digits = spec.release.significant_digits
    mean, spread, noise = (
        float(values[row, j]) for values in (found.means, found.spreads, found.mean_stds)
    )

    def at(scaled: float) -> float:
        return original(column, scaled)

    is_empty = not found.filled[row]
    half = (at(mean + noise) - at(mean - noise)) / 2
    return NumericFigures(
        centre=significant(at(mean), digits),
        low=None if is_empty else significant(at(mean - spread), digits),
        high=None if is_empty else significant(at(mean + spread), digits),
        noise=significant(half, digits) if spec.privacy.is_noised else None,
    )


def _category(
    spec: StudySpec,
    found: CategoryEstimates,
    decided: Suppression,
    name: str,
    labels: tuple[str, ...],
    protected: bool,
) -> CategoryFigures:
    shown = list(decided.shown)
    rows = found.counts[shown]
    if decided.hidden:
        rows = np.vstack([rows, found.counts[list(decided.hidden)].sum(axis=0)])
    everybody = len(found.counts) - 1
    hidden = hidden_labels(rows, found.counts[everybody], spec.release.smallest_segment)
    return CategoryFigures(
        name,
        labels,
        protected,
        _labels(spec, found, everybody, hidden.overall, hidden.in_segments),
        tuple(
            _labels(spec, found, cluster, hidden.in_segments, hidden.in_segments)
            for cluster in shown
        ),
    )


def _labels(
    spec: StudySpec,
    found: CategoryEstimates,
    row: int,
    hidden: frozenset[int],
    together: frozenset[int],
) -> LabelFigures:
    n_labels = found.counts.shape[1]
    return LabelFigures(
        tuple(None if j in hidden else _cell(spec, found, row, [j]) for j in range(n_labels)),
        _cell(spec, found, row, sorted(together)) if 0 < len(together) < n_labels else None,
    )


def _cell(
    spec: StudySpec, found: CategoryEstimates, row: int, labels: Sequence[int]
) -> CellFigures:
    digits, is_noised = spec.release.significant_digits, spec.privacy.is_noised
    size = whole(float(found.counts[row, list(labels)].sum()), digits)
    total = whole(float(found.counts[row].sum()), digits)
    return CellFigures(
        size,
        # Of the rounded numbers, so that it tells no more than they do.
        significant(min(size / total, 1.0), digits) if total > 0 else 0.0,
        significant(found.count_std(row, labels), digits) if is_noised else None,
        significant(found.share_std(row, labels), digits) if is_noised else None,
    )
