"""Who holds which records in a demonstration, and what everybody agreed on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mpcseg.customers.table import Table, read_table, records_text
from mpcseg.demo.customers import FEATURES, Customers, generated_companies
from mpcseg.errors import ConfigError, ConstantFeatureError, EmptyTableError, TooFewRecordsError
from mpcseg.study.documents import check
from mpcseg.study.spec import FeatureSpec

Array = npt.NDArray[np.float64]

_GENERATED_ID_COLUMN = "customer_id"


@dataclass(frozen=True)
class DealtTables:
    """Every party's table and the agreed features.

    Attributes:
        id_column: heading of the identifiers.
        features: the agreed features, in column order.
        parties: by party name.
    """

    id_column: str
    features: tuple[FeatureSpec, ...]
    parties: dict[str, Customers]

    @property
    def n_records(self) -> int:
        """Records of all parties together."""
        return sum(len(customers.identifiers) for customers in self.parties.values())

    def pooled_records(self) -> Array:
        """All records in scaled space as the parties encrypt them, shape (n, d).

        Nobody has this table in a real study.
        """
        values = np.concatenate([customers.values for customers in self.parties.values()])
        columns = [
            np.clip(feature.scale(values[:, index]), -1.0, 1.0)
            for index, feature in enumerate(self.features)
        ]
        return np.column_stack(columns)


def generated_tables(n_parties: int, seed: int) -> DealtTables:
    """Generated customers: of three companies, or pooled and dealt out where not three are asked.

    Args:
        n_parties: how many party nodes.
        seed: of the generator.
    """
    companies = generated_companies(seed)
    if n_parties != len(companies):
        pooled = Table(
            np.concatenate([company.values for company in companies.values()]),
            [name for company in companies.values() for name in company.identifiers],
        )
        companies = deal(pooled, n_parties)
    return DealtTables(_GENERATED_ID_COLUMN, FEATURES, companies)


def tables_from_file(
    path: Path,
    id_column: str,
    names: Sequence[str],
    log1p: Sequence[str],
    n_parties: int,
    *,
    n_clusters: int = 2,
) -> DealtTables:
    """A real table, dealt to the parties by a hash of the identifier.

    The agreed bounds are the table's own range, which only a demonstration can know.

    Args:
        path: CSV or Parquet.
        id_column: heading of the identifiers.
        names: the columns to cluster on.
        log1p: those of them to transform by log1p.
        n_parties: how many party nodes.
        n_clusters: how many segments will be looked for.

    Raises:
        ConfigError: the options contradict each other.
        TooFewRecordsError: fewer records than clusters.
        DataError: what `read_table` raises; a column with one value only; a party without records.
    """
    unknown = [name for name in log1p if name not in names]
    if unknown:
        raise ConfigError(
            f"--log1p names '{unknown[0]}', which is not among --features",
            "Give --log1p a part of the list that --features has.",
        )
    repeated = [name for name in [*names, id_column] if [*names, id_column].count(name) > 1]
    if repeated:
        raise ConfigError(f"column '{repeated[0]}' is named twice", "Name each column once.")
    table = read_table(path, id_column, names)
    verify_enough(len(table.values), n_clusters)  # of one record, every column would be constant
    features: list[FeatureSpec] = []
    for index, name in enumerate(names):
        lower, upper = float(table.values[:, index].min()), float(table.values[:, index].max())
        if lower == upper:
            raise ConstantFeatureError(
                f"{path}: column '{name}' has the same value in every record",
                "Leave it out of --features.",
            )
        content = {"name": name, "lower": lower, "upper": upper}
        if name in log1p:
            content["transform"] = "log1p"
        features.append(
            check(FeatureSpec, content, f"--features {name}", hint="Leave it out of --log1p?")
        )
    return DealtTables(id_column, tuple(features), deal(table, n_parties))


def deal(table: Table, n_parties: int) -> dict[str, Customers]:
    """Deal records to parties by SHA-256 of the identifier: the same on every machine.

    Raises:
        EmptyTableError: a party would get no record.
    """
    identifiers = table.identifiers or []
    turn = np.array(
        [
            int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % n_parties
            for name in identifiers
        ]
    )
    parties: dict[str, Customers] = {}
    for party in range(n_parties):
        rows = np.flatnonzero(turn == party)
        if len(rows) == 0:
            raise EmptyTableError(
                f"{records_text(len(identifiers))}, dealt to {n_parties} parties, would leave "
                f"party {party + 1} without any",
                "Ask for fewer --parties.",
            )
        parties[f"party-{party + 1}"] = Customers(
            tuple(identifiers[row] for row in rows), table.values[rows]
        )
    return parties


def verify_enough(n_records: int, n_clusters: int) -> None:
    """Refuse to start nodes for a study that cannot succeed.

    Raises:
        TooFewRecordsError: fewer records than clusters.
    """
    if n_records < n_clusters:
        raise TooFewRecordsError(
            f"{records_text(n_records)} {'is' if n_records == 1 else 'are'} fewer than "
            f"{n_clusters} clusters",
            "Ask for fewer --clusters.",
        )
