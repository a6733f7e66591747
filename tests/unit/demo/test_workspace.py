"""The files of a demonstration are those of a real study."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np
import pytest

from mpcseg.cli.config import ComputeConfig, KeyConfig, PartyConfig, load_config
from mpcseg.customers.cohort import load_cohort
from mpcseg.customers.source import TableSource
from mpcseg.demo.tables import generated_tables
from mpcseg.demo.workspace import StudyShape, Workspace, make_workspace, write_tables
from mpcseg.errors import ConfigError
from mpcseg.study.identity import PRIVATE_KEYS_FILE, load_identity


def made(folder: Path) -> Workspace:
    shape = StudyShape(n_clusters=4, n_rounds=6, seed=1, epsilon=2.0)
    return make_workspace(folder, generated_tables(3, 1), shape, workers=2)


def test_every_node_finds_its_configuration_identity_and_data(tmp_path: Path) -> None:
    workspace = made(tmp_path / "demo")
    tables = generated_tables(3, 1)
    spec = workspace.spec
    assert (spec.n_clusters, spec.n_rounds, spec.seed) == (4, 6, 1)
    assert spec.features == tables.features
    assert (spec.privacy.epsilon, spec.compute_receives) == (2.0, False)
    compute = load_config(ComputeConfig, workspace.compute.config, {})
    address = {"address": "127.0.0.1:7443"}
    key = load_config(KeyConfig, workspace.key.config, address)
    assert (compute.listen, compute.workers) == ("127.0.0.1:0", 2)
    assert load_identity(compute.identity).fingerprint == spec.compute.fingerprint
    assert load_identity(key.identity).fingerprint == spec.key.fingerprint
    for node, card in zip(workspace.parties, spec.parties, strict=True):
        party = load_config(PartyConfig, node.config, address)
        assert load_identity(party.identity).fingerprint == card.fingerprint
        source = TableSource(party.data, party.id_column, party.table)
        cohort = load_cohort(
            source, spec.features, consent=None, radius=None, columns=party.columns
        )
        expected = np.column_stack(
            [
                np.clip(feature.scale(tables.parties[card.name].values[:, j]), -1, 1)
                for j, feature in enumerate(spec.features)
            ]
        )
        np.testing.assert_array_equal(cohort.records, expected)


def test_customer_tables_are_for_their_owner_only(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        workspace = made(tmp_path / "demo")
        written = write_tables(tmp_path / "tables", generated_tables(3, 1))
    finally:
        os.umask(before)
    tables = [node.path / "customers.csv" for node in workspace.parties] + written
    assert {stat.S_IMODE(path.stat().st_mode) for path in tables} == {0o600}


def test_private_keys_are_for_their_owner_only(tmp_path: Path) -> None:
    made(tmp_path / "demo")
    keys = list((tmp_path / "demo").rglob(PRIVATE_KEYS_FILE))
    assert len(keys) == 5
    assert all(stat.S_IMODE(key.stat().st_mode) == 0o600 for key in keys)


def test_a_folder_in_use_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    with pytest.raises(ConfigError, match="not an empty folder"):
        made(tmp_path)
    with pytest.raises(ConfigError, match="not an empty folder"):
        made(tmp_path / "mine")
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine"]


def test_an_impossible_budget_is_refused_in_words(tmp_path: Path) -> None:
    shape = StudyShape(n_clusters=4, n_rounds=6, seed=1, epsilon=1e9)
    with pytest.raises(ConfigError, match="epsilon"):
        make_workspace(tmp_path / "demo", generated_tables(3, 1), shape, workers=2)
