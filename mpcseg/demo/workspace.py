"""The files of a demonstration: exactly what the organisations of a real study would have."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path

from mpcseg.demo.customers import Customers
from mpcseg.demo.tables import DealtTables
from mpcseg.errors import ConfigError, OutputError
from mpcseg.private import open_private
from mpcseg.study.identity import CERTIFICATE_FILE, new_identity
from mpcseg.study.spec import StudySpec, load_study

COMPUTE_NAME = "hub"
KEY_NAME = "notary"
LOOPBACK = "127.0.0.1"

# All nodes are started together here, so that a silent one has a defect.
_PATIENCE_SECONDS = 60

# A party agrees on a round number, not on how many customers it has.
_RECORDS_STEP = 100


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
    def results(self) -> Path:
        """Where the key node writes its results."""
        return self.path / "results"


@dataclass(frozen=True)
class Workspace:
    """All folders of a demonstration.

    Attributes:
        study: the study file.
        spec: its content.
        compute: the compute node's folder.
        key: the key node's folder.
        parties: the party nodes' folders.
    """

    study: Path
    spec: StudySpec
    compute: NodeFolder
    key: NodeFolder
    parties: tuple[NodeFolder, ...]


def make_workspace(
    folder: Path, tables: DealtTables, *, n_clusters: int, n_rounds: int, seed: int, workers: int
) -> Workspace:
    """Write identities, the study file, every node's configuration and every party's table.

    Args:
        folder: an empty folder, or one to be made.
        tables: who holds what.
        n_clusters: of the study.
        n_rounds: of the study.
        seed: of the study.
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
        for node in (compute, key, *parties):
            hosts = [LOOPBACK] if node is compute else []
            new_identity(node.name, node.path / "identity", hosts)
        study = folder / "study.toml"
        study.write_text(
            _study_text(tables, compute, key, parties, (n_clusters, n_rounds, seed)),
            encoding="utf-8",
        )
        _write_config(compute, listen=f"{LOOPBACK}:0", storage="storage", workers=workers)
        _write_config(key, output="results")
        for party in parties:
            _write_config(party, data="customers.csv", id_column=tables.id_column)
            _write_table(party.path / "customers.csv", tables, tables.parties[party.name])
    except OSError as error:
        raise _unwritable(folder, error) from None
    return Workspace(study, load_study(study), compute, key, parties)


def _study_text(
    tables: DealtTables,
    compute: NodeFolder,
    key: NodeFolder,
    parties: tuple[NodeFolder, ...],
    numbers: tuple[int, int, int],
) -> str:
    n_clusters, n_rounds, seed = numbers
    lines = ["# Agreed by all organisations.", _assign("name", "demo")]
    lines += [_assign("n_clusters", n_clusters), _assign("n_rounds", n_rounds)]
    lines += [_assign("seed", seed), _assign("epsilon", "none"), ""]
    for feature in tables.features:
        lines += ["[[features]]", *(_assign(*entry) for entry in feature.model_dump().items()), ""]
    for heading, node in [
        ("[compute]", compute),
        ("[key]", key),
        *(("[[parties]]", party) for party in parties),
    ]:
        certificate = f"{node.path.name}/identity/{CERTIFICATE_FILE}"
        lines += [heading, _assign("name", node.name), _assign("certificate", certificate)]
        if node in parties:
            # The next power of two: enough to share blocks, and it tells little.
            most = 1 << (len(tables.parties[node.name].identifiers) - 1).bit_length()
            lines.append(_assign("most_records", most))
        lines.append("")
    return "\n".join(lines)


def _write_config(node: NodeFolder, **fields: object) -> None:
    common = {"study": "../study.toml", "identity": "identity", "patience": _PATIENCE_SECONDS}
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
