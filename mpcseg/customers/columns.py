"""Which columns of a party's table are read: those that were agreed, and the identifiers."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mpcseg.errors import ConfigError, MissingColumnError, UnreadableTableError
from mpcseg.study.profile_columns import ProfileColumn
from mpcseg.study.spec import Consent, FeatureSpec


@dataclass(frozen=True)
class AgreedColumns:
    """The party's own names of the columns that are read.

    Attributes:
        features: one for each agreed feature, in order.
        identifier: the identifiers, or None.
        consent: the column that says who consents, or None where the agreement asks for none.
        profile: one for each agreed profile column, in order.
    """

    features: tuple[str, ...]
    identifier: str | None
    consent: str | None
    profile: tuple[str, ...] = ()

    @property
    def wanted(self) -> list[str]:
        """All of them; nothing else is asked of the table."""
        return [
            *([self.identifier] if self.identifier else []),
            *self.features,
            *([self.consent] if self.consent else []),
            *self.profile,
        ]


def agreed_columns(
    features: Sequence[FeatureSpec],
    consent: Consent | None,
    id_column: str | None,
    columns: Mapping[str, str],
    profile: Sequence[ProfileColumn] = (),
) -> AgreedColumns:
    """Find the party's column for everything that was agreed.

    Args:
        features: the agreed features.
        consent: the agreed consent, or None.
        id_column: the party's identifiers, or None.
        columns: agreed name (a feature's, a profile column's, or the consent column's) to the
            party's own column name, where the two differ.
        profile: the agreed profile columns.

    Raises:
        ConfigError: ``columns`` names something that was not agreed, or one column is used twice.
    """
    agreed = [column.name for column in (*features, *profile)]
    agreed += [consent.column] if consent else []
    unknown = sorted(set(columns) - set(agreed))
    if unknown:
        raise ConfigError(
            f"columns maps '{unknown[0]}', which is not a feature of the study",
            "Map names that the agreement has to column names of your table.",
        )
    used = AgreedColumns(
        tuple(columns.get(feature.name, feature.name) for feature in features),
        id_column,
        columns.get(consent.column, consent.column) if consent else None,
        tuple(columns.get(column.name, column.name) for column in profile),
    )
    repeated = next((name for name in used.wanted if used.wanted.count(name) > 1), None)
    if repeated is not None:
        raise ConfigError(
            f"column '{repeated}' of the table is used twice",
            "Each feature needs a column of its own; identifiers and consent are never clustered "
            "on.",
        )
    return used


def verify_columns(table: str, heading: Sequence[str], wanted: Sequence[str], hint: str) -> None:
    """Refuse missing and repeated columns.

    The heading is never quoted: in a file without one it would be somebody's record. A name close
    to the wanted one can only be a heading.

    Args:
        table: what messages call the table.
        heading: all of its columns' names.
        wanted: the columns to be read.
        hint: what to do about a missing column that resembles none.

    Raises:
        MissingColumnError: a column is not there.
        UnreadableTableError: a column is there more than once.
    """
    for column in wanted:
        if heading.count(column) > 1:
            raise UnreadableTableError(
                f"{table}: column '{column}' stands {heading.count(column)} times in the heading",
                "Keep one of them.",
            )
    missing = [column for column in wanted if column not in heading]
    if not missing:
        return
    folded = {name.strip().casefold(): name for name in heading}
    close = difflib.get_close_matches(missing[0].casefold(), folded, n=1, cutoff=0.75)
    if close:
        hint = f"Did you mean '{folded[close[0]]}'? A party may map its own column names."
    names = ", ".join(f"'{column}'" for column in missing)
    raise MissingColumnError(f"{table} has no column {names}", hint)
