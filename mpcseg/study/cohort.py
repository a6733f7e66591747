"""A party's records, ready to be packed: read, checked, transformed, scaled and clipped.

Runs at the party node. Records leave it only as ciphertexts; identifiers are checked for
duplicates and dropped (docs/protocol.md section 2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mpcseg.errors import ConfigError, TransformDomainError
from mpcseg.study.spec import FeatureSpec
from mpcseg.study.table import read_table, rows_text

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Cohort:
    """One party's records in scaled space.

    Attributes:
        records: shape (n, d), every value in [-1, 1], so that no record is longer than the agreed
            radius sqrt(d). No order or identifier leads back to a customer but the row itself.
        n_clipped: per feature, how many values lay outside the agreed bounds.
        warnings: plain sentences for the party's own screen; they hold no values.
    """

    records: Array = field(repr=False)
    n_clipped: tuple[int, ...]
    warnings: tuple[str, ...]

    @property
    def n_records(self) -> int:
        """How many records (n)."""
        return int(self.records.shape[0])


def load_cohort(
    path: Path,
    id_column: str | None,
    features: Sequence[FeatureSpec],
    columns: Mapping[str, str] | None = None,
) -> Cohort:
    """Read a party's table and bring it into the agreed scaled space.

    Args:
        path: a ``.csv`` or ``.parquet`` file.
        id_column: the identifiers, for the check that no customer stands twice; None to go
            without that check (which is warned about).
        features: the agreed features.
        columns: feature name to the party's own column name, where the two differ.

    Raises:
        ConfigError: ``columns`` names an unknown feature, or one column is used twice.
        DataError: what `mpcseg.study.table.read_table` raises.
        TransformDomainError: a value where log1p is not defined.
    """
    used = _columns(features, columns or {}, id_column)
    table = read_table(path, id_column, used)
    warnings: list[str] = []
    if id_column is None:
        warnings.append(
            f"{path}: no identifier column is named, so that customers who stand twice in the "
            "table count twice."
        )
    records = np.empty_like(table.values)
    n_clipped: list[int] = []
    for index, (feature, column) in enumerate(zip(features, used, strict=True)):
        values = table.values[:, index]
        _verify_domain(values, feature, path, column)
        # Compared in original units: after the transform, rounding can put a bound outside itself.
        outside = int(np.count_nonzero((values < feature.lower) | (values > feature.upper)))
        records[:, index] = np.clip(feature.scale(values), -1.0, 1.0)
        n_clipped.append(outside)
        if outside:
            warnings.append(
                f"{path}: {outside} of {len(values)} values in column '{column}' lie outside the "
                f"agreed bounds {feature.lower:g} to {feature.upper:g} and are clipped."
            )
        if len(values) > 1 and np.ptp(records[:, index]) == 0:
            warnings.append(
                f"{path}: column '{column}' has the same value in every record here; that is "
                "useful only if it differs at the other parties."
            )
    return Cohort(records, tuple(n_clipped), tuple(warnings))


def _columns(
    features: Sequence[FeatureSpec], columns: Mapping[str, str], id_column: str | None
) -> list[str]:
    """The party's column for each feature, in order."""
    unknown = sorted(set(columns) - {feature.name for feature in features})
    if unknown:
        raise ConfigError(
            f"columns maps '{unknown[0]}', which is not a feature of the study",
            "Map feature names of the study file to column names of your table.",
        )
    used = [columns.get(feature.name, feature.name) for feature in features]
    everything = [*used, *([id_column] if id_column else [])]
    repeated = next((name for name in everything if everything.count(name) > 1), None)
    if repeated is not None:
        raise ConfigError(
            f"column '{repeated}' of the table is used twice",
            "Each feature needs a column of its own, and identifiers are never clustered on.",
        )
    return used


def _verify_domain(values: Array, feature: FeatureSpec, path: Path, column: str) -> None:
    bad = values <= -1
    if feature.transform == "log1p" and bad.any():
        raise TransformDomainError(
            f"{path}: column '{column}' is -1 or less in {rows_text(bad)}, where log1p is not "
            "defined",
            "Correct these records, or agree on transform 'identity' for this feature.",
        )
