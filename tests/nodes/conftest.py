"""One study, its keys and a block, made once for all node tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.nodes.material import Material, make_material
from tests.nodes.studies import Nodes, make_nodes


@pytest.fixture(scope="session")
def nodes() -> Nodes:
    return make_nodes()


@pytest.fixture(scope="session")
def material(nodes: Nodes) -> Material:
    return make_material(nodes)


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    return tmp_path / "storage"
