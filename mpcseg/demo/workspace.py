"""The files of a demonstration: exactly what the organisations of a real study would have."""

from __future__ import annotations

import csv
import datetime
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Literal

from mpcseg.demo.customers import Customers
from mpcseg.demo.tables import DealtTables
from mpcseg.errors import ConfigError, OutputError
from mpcseg.private import open_private
from mpcseg.study.agreement import Agreement, freeze, load_study, utc_today, write_agreement
from mpcseg.study.documents import check
from mpcseg.study.identity import Identity, new_identity
from mpcseg.study.spec import (
    NO_NOISE_SENTENCE,
    FeatureSpec,
    PartyCard,
    Privacy,
    StudySpec,
)

COMPUTE_NAME = "hub"
KEY_NAME = "notary"
LOOPBACK = "127.0.0.1"

# All nodes are started together here, so that a silent one has a defect.
_PATIENCE_SECONDS = 60

# The agreement is made for this one study.
_DAYS = 7


@dataclass(frozen=True)
class StudyShape:
    """What the organisations of a demonstration agree on, beside the features.

    Attributes:
        n_clusters: k.
        n_rounds: Lloyd rounds at most.
        seed: of the starting centroids.
        epsilon: privacy budget, or ``none``.
        delta: its delta.
        smallest_segment: segments with fewer customers are not shown.
        significant_digits: to which every number is rounded.
    """

    n_clusters: int
    n_rounds: int
    seed: int
    epsilon: float | Literal["none"]
    delta: float = 1e-6
    smallest_segment: int = 20
    significant_digits: int = 3


@dataclass(frozen=True)
class NodeFolder:
    """One node's folder.

    Attributes:
        name: the node's name.
        role: the command group that runs it, ``compute``, ``key`` or ``party``.
        path: the folder.
    """

    name: str
    role: str
    path: Path

    @property
    def config(self) -> Path:
        """The node's configuration file."""
        return self.path / f"{self.role}.toml"

    @property
    def summary(self) -> Path:
        """Where the node writes its summary."""
        return self.path / "summary.json"

    @property
    def identity(self) -> Path:
        """Where the identity of the node's organisation is."""
        return self.path / "identity"

    @property
    def table(self) -> Path:
        """A party's customers."""
        return self.path / "customers.csv"

    @property
    def results(self) -> Path:
        """Where a node writes its results."""
        return self.path / "results"

    @property
    def trial(self) -> Path:
        """Where the key node writes everything that it knows, which only a trial may."""
        return self.path / "trial.json"

    @property
    def audit(self) -> Path:
        """Where a party's audit logs stand."""
        return self.path / "audit"

    @property
    def labels(self) -> Path:
        """Where a party writes the segments of its own customers."""
        return self.path / "labels.csv"


@dataclass(frozen=True)
class Workspace:
    """All folders of a demonstration.

    Attributes:
        study: the agreement, signed by all.
        spec: its content.
        id_column: heading of the identifiers in every party's table.
        compute: the compute node's folder.
        key: the key node's folder.
        parties: the party nodes' folders.
    """

    study: Path
    spec: StudySpec
    id_column: str
    compute: NodeFolder
    key: NodeFolder
    parties: tuple[NodeFolder, ...]

    @property
    def closing_record(self) -> Path:
        """What is left of the study in the end."""
        return self.study.parent / "closing.json"


def make_workspace(
    folder: Path, tables: DealtTables, shape: StudyShape, *, workers: int
) -> Workspace:
    """Write identities, the signed agreement, every node's configuration and every party's table.

    Args:
        folder: an empty folder, or one to be made.
        tables: who holds what.
        shape: what is agreed on.
        workers: worker processes of the compute node.

    Raises:
        ConfigError: the folder is not empty or cannot be written, or the study is impossible.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} is not an empty folder", "Name one that does not exist yet.")
    compute = NodeFolder(COMPUTE_NAME, "compute", folder / COMPUTE_NAME)
    key = NodeFolder(KEY_NAME, "key", folder / KEY_NAME)
    parties = tuple(NodeFolder(name, "party", folder / name) for name in tables.parties)
    try:
        identities = {
            node.name: new_identity(node.name, node.identity, [LOOPBACK] if node is compute else [])
            for node in (compute, key, *parties)
        }
        study = folder / "demo.agreement"
        unsigned = freeze(_spec(tables, shape, identities))
        write_agreement(reduce(Agreement.signed_by, identities.values(), unsigned), study)
        _write_config(compute, listen=f"{LOOPBACK}:0", storage="storage", workers=workers)
        _write_config(key, output="results")
        for party in parties:
            _write_config(
                party,
                data=party.table.name,
                id_column=tables.id_column,
                audit=party.audit.name,
            )
            _write_table(party.table, tables, tables.parties[party.name])
    except OSError as error:
        raise _unwritable(folder, error) from None
    return Workspace(study, load_study(study), tables.id_column, compute, key, parties)


def _spec(tables: DealtTables, shape: StudyShape, identities: Mapping[str, Identity]) -> StudySpec:
    n_records = {name: len(customers.identifiers) for name, customers in tables.parties.items()}
    return trial_spec("demo", tables.features, n_records, shape, identities)


def trial_spec(
    name: str,
    features: tuple[FeatureSpec, ...],
    n_records: Mapping[str, int],
    shape: StudyShape,
    identities: Mapping[str, Identity],
) -> StudySpec:
    """What is agreed on in a study on one machine: everybody who brings records receives all.

    Args:
        name: of the study.
        features: what is clustered on.
        n_records: how many records each party brings, by its name.
        shape: the rest.
        identities: of the parties, `COMPUTE_NAME` and `KEY_NAME`.

    Raises:
        ConfigError: no study can be like that; says which field.
    """
    parties = tuple(n_records)
    content = {
        "name": name,
        "purpose": "Show what a joint study looks like.",
        "legal_basis": "None needed: a demonstration on one machine.",
        "n_clusters": shape.n_clusters,
        "n_rounds": shape.n_rounds,
        "features": features,
        "privacy": check(
            Privacy,
            {
                "epsilon": shape.epsilon,
                "delta": shape.delta,
                "acknowledgement": NO_NOISE_SENTENCE if shape.epsilon == "none" else "",
            },
            f"epsilon {shape.epsilon}",
            hint="Take 1, or a number near it.",
        ),
        "release": {
            "smallest_segment": shape.smallest_segment,
            "significant_digits": shape.significant_digits,
            "report": parties,
            "centroids": parties,
        },
        "retention_days": _DAYS,
        "expires": utc_today() + datetime.timedelta(days=_DAYS),
        "seed": shape.seed,
        "compute": identities[COMPUTE_NAME].card,
        "key": identities[KEY_NAME].card,
        "parties": tuple(
            PartyCard(
                **identities[name].card.model_dump(),
                # The next power of two: enough to share blocks, and it tells little.
                most_records=1 << (count - 1).bit_length(),
            )
            for name, count in n_records.items()
        ),
    }
    return check(StudySpec, content, f"the study '{name}'")


def _write_config(node: NodeFolder, **fields: object) -> None:
    common = {"study": "../demo.agreement", "identity": "identity", "patience": _PATIENCE_SECONDS}
    lines = [_assign(name, value) for name, value in {**common, **fields}.items()]
    if node.role == "compute":
        lines.insert(0, "# Takes a free port, and says which one when it listens.")
    else:
        lines.insert(0, "# Start it with --address HOST:PORT, as the compute node says.")
    node.config.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_tables(folder: Path, tables: DealtTables) -> list[Path]:
    """Write every party's table as ``NAME.csv``; returns the paths.

    Raises:
        ConfigError: the folder cannot be written.
    """
    paths = [folder / f"{name}.csv" for name in tables.parties]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, customers in zip(paths, tables.parties.values(), strict=True):
            _write_table(path, tables, customers)
    except OSError as error:
        raise _unwritable(folder, error) from None
    return paths


def _unwritable(folder: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{folder} cannot be written: {error.strerror or 'unknown reason'}",
        "Choose a place that this user may write to.",
    )


def _write_table(path: Path, tables: DealtTables, customers: Customers) -> None:
    with io.TextIOWrapper(open_private(path), encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([tables.id_column, *(feature.name for feature in tables.features)])
        for identifier, row in zip(customers.identifiers, customers.values, strict=True):
            writer.writerow([identifier, *map(repr, row.tolist())])


def _assign(name: str, value: object) -> str:
    """One TOML assignment; a JSON text or number is also TOML."""
    return f"{name} = {json.dumps(value)}"
