"""A party's records, ready to be packed: read, selected, checked, transformed, scaled and clipped.

Runs at the party node. Records leave it only as ciphertexts; identifiers and consent are used to
select rows and dropped (docs/protocol.md section 2). Callers do:

    source = settings.source  # of PartyConfig; or TableSource("customers.csv", "customer_id")
    cohort = load_cohort(
        source,
        spec.features,
        consent=spec.consent,
        radius=spec.l2_radius,
        columns=settings.columns,
        opt_out=settings.opt_out,
        profile=spec.profile_columns,
    )

and show `mpcseg.report.cohort.CohortView(own.name, cohort, spec.features)` to the party alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mpcseg.customers.cells import finite_numbers, records_text, verify_domain
from mpcseg.customers.column_values import column_vectors
from mpcseg.customers.columns import agreed_columns
from mpcseg.customers.selection import Kept, Selection, load_opt_out
from mpcseg.customers.source import TableSource
from mpcseg.customers.table import read_cells
from mpcseg.study.profile_columns import ProfileColumn
from mpcseg.study.spec import Consent, FeatureSpec

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class FeatureRange:
    """How one feature is spread over the records that are kept; for the party's own screen.

    Attributes:
        lowest: smallest value, original units, before clipping.
        mean: of all values.
        highest: largest value.
    """

    lowest: float
    mean: float
    highest: float


@dataclass(frozen=True)
class Cohort:
    """One party's records in scaled space.

    Attributes:
        records: shape (n, d), every value in [-1, 1] and no record longer than the agreed radius.
            No order or identifier leads back to a customer but the row itself.
        n_clipped: per feature, how many values lay outside the agreed bounds.
        warnings: plain sentences for the party's own screen; they hold no values.
        n_read: rows in the table.
        n_duplicates: of these, rows that repeat another one exactly.
        n_without_consent: of the others, rows without the agreed consent.
        n_opted_out: of the others, rows on the party's opt-out list.
        n_shortened: records that were longer than the agreed radius.
        ranges: per feature, how the values are spread; for the party's own screen.
        columns: vectors of the profile columns, shape (n, v); None where none are agreed.
    """

    records: Array = field(repr=False)
    n_clipped: tuple[int, ...]
    warnings: tuple[str, ...]
    n_read: int = 0
    n_duplicates: int = 0
    n_without_consent: int = 0
    n_opted_out: int = 0
    n_shortened: int = 0
    ranges: tuple[FeatureRange, ...] = field(default=(), repr=False)
    columns: Array | None = field(default=None, repr=False)

    @property
    def n_records(self) -> int:
        """How many records (n)."""
        return int(self.records.shape[0])

    @property
    def account(self) -> str:
        """Who takes part and who does not, as one sentence."""
        return (
            f"{records_text(self.n_read)} read: {self.n_duplicates:,} repeated, "
            f"{self.n_without_consent:,} without consent and {self.n_opted_out:,} opted out are "
            f"left out; {self.n_records:,} kept"
        )


@dataclass(frozen=True)
class Scaled:
    """Records in the agreed domain.

    Attributes:
        records: shape (n, d), every value in [-1, 1], no record longer than the radius.
        n_clipped: per feature, how many values lay outside the agreed bounds.
        n_shortened: records that were longer than the radius.
    """

    records: Array = field(repr=False)
    n_clipped: tuple[int, ...]
    n_shortened: int


def load_cohort(
    source: TableSource,
    features: Sequence[FeatureSpec],
    *,
    consent: Consent | None,
    radius: float | None,
    columns: Mapping[str, str] | None = None,
    opt_out: Path | None = None,
    profile: Sequence[ProfileColumn] = (),
) -> Cohort:
    """Read a party's table, leave out who does not take part, and scale the rest as agreed.

    Args:
        source: where the table is. Without an identifier column nobody notices a customer who
            stands twice, which is warned about.
        features: the agreed features.
        consent: the agreed consent column and value; None where none is needed.
        radius: the agreed L2 radius; None for sqrt(d), which shortens nothing.
        columns: agreed name to the party's own column name, where the two differ.
        opt_out: a list of identifiers to leave out (`load_opt_out`).
        profile: the agreed profile columns.

    Raises:
        ConfigError: ``columns`` names something unknown, one column is used twice, or there is an
            opt-out list and no identifier column.
        EmptyTableError: no rows, or none that takes part.
        DuplicateIdError: an identifier that stands twice, with different values.
        TransformDomainError: a value where log1p is not defined.
        UnlistedValueError: a category's value that is not agreed.
        DataError: what `mpcseg.customers.table.open_chunks` and the checks of cells raise.
    """
    used = agreed_columns(features, consent, source.id_column, columns or {}, profile)
    selection = Selection(source, used, consent, load_opt_out(opt_out, source.id_column))
    kept = selection.keep(read_cells(source, used.wanted))
    selection.verify_not_empty()
    values = agreed_values(kept, used.features, features)
    scaled = scale_records(values, features, radius)
    beside = column_vectors(kept, used.profile, profile) if profile else None
    return Cohort(
        records=scaled.records,
        n_clipped=scaled.n_clipped,
        warnings=(
            *selection.warnings(),
            *_clipping_warnings(scaled, used.features, features, source, radius),
            *(beside.warnings if beside else ()),
        ),
        n_read=selection.n_read,
        n_duplicates=selection.n_duplicates,
        n_without_consent=selection.n_without_consent,
        n_opted_out=selection.n_opted_out,
        n_shortened=scaled.n_shortened,
        ranges=tuple(
            FeatureRange(float(column.min()), float(column.mean()), float(column.max()))
            for column in values.T
        ),
        columns=beside.vectors if beside else None,
    )


def agreed_values(kept: Kept, columns: Sequence[str], features: Sequence[FeatureSpec]) -> Array:
    """The feature columns of rows that take part, every cell checked.

    Args:
        kept: the rows.
        columns: the party's column for each feature.
        features: the agreed features.

    Returns:
        Shape (n, d), original units, finite.

    Raises:
        MissingValueError: an empty cell, a NaN or an infinity.
        NotANumberError: text, a yes-or-no value or a date where a number must stand.
        TransformDomainError: a value where log1p is not defined.
    """
    values = np.empty((kept.cells.num_rows, len(features)))
    for index, (feature, column) in enumerate(zip(features, columns, strict=True)):
        cells = kept.cells.column(column).combine_chunks()
        values[:, index] = finite_numbers(cells, kept.place, column)
        verify_domain(values[:, index], feature.transform, kept.place, column)
    return values


def scale_records(
    values: Array, features: Sequence[FeatureSpec], radius: float | None = None
) -> Scaled:
    """Bring values into the agreed domain: transform, scale and clip each, then the whole record.

    Cohorts and labels both take this way, so that a customer is labelled as it was clustered.

    Args:
        values: shape (n, d), original units, finite.
        features: the agreed features.
        radius: the agreed L2 radius; None for sqrt(d), which shortens nothing.
    """
    records = np.empty_like(values)
    n_clipped: list[int] = []
    for index, feature in enumerate(features):
        column = values[:, index]
        # Compared in original units: after the transform, rounding can put a bound outside itself.
        n_clipped.append(int(np.count_nonzero((column < feature.lower) | (column > feature.upper))))
        records[:, index] = np.clip(feature.scale(column), -1.0, 1.0)
    if radius is None:
        return Scaled(records, tuple(n_clipped), 0)
    lengths = np.linalg.norm(records, axis=1)
    is_longer = lengths > radius
    records[is_longer] *= (radius / lengths[is_longer])[:, None]
    return Scaled(records, tuple(n_clipped), int(is_longer.sum()))


def _clipping_warnings(
    scaled: Scaled,
    columns: Sequence[str],
    features: Sequence[FeatureSpec],
    source: TableSource,
    radius: float | None,
) -> list[str]:
    n_records = len(scaled.records)
    found: list[str] = []
    for index, (feature, column) in enumerate(zip(features, columns, strict=True)):
        if scaled.n_clipped[index]:
            found.append(
                f"{source.name}: {scaled.n_clipped[index]} of {n_records} values in column "
                f"'{column}' lie outside the agreed bounds {feature.lower:g} to "
                f"{feature.upper:g} and are clipped."
            )
        if n_records > 1 and np.ptp(scaled.records[:, index]) == 0:
            found.append(
                f"{source.name}: column '{column}' has the same value in every record here; that "
                "is useful only if it differs at the other parties."
            )
    if scaled.n_shortened:
        found.append(
            f"{source.name}: {scaled.n_shortened} of {n_records} records lie farther out than the "
            f"agreed radius {radius or math.sqrt(len(features)):g} and are shortened to it."
        )
    return found
