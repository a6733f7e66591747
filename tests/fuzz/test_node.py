"""A compute node outlives spoilt calls, and serves an honest study afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz.node import NodeUnderFire
from tests.nodes.material import make_material
from tests.nodes.studies import make_nodes

_SHOTS = 60


@pytest.fixture
def fired(tmp_path: Path) -> Iterator[NodeUnderFire]:
    nodes = make_nodes()
    node = NodeUnderFire(tmp_path, nodes, make_material(nodes), seed=1, published=True)
    yield node
    node.close()


@pytest.mark.processes
def test_a_node_outlives_spoilt_calls_and_serves_honest_ones(fired: NodeUnderFire) -> None:
    accepted = sum(fired.fire() for _ in range(_SHOTS))
    assert accepted < _SHOTS // 3
    assert fired.lives
    assert fired.findings == {}
    assert fired.internal_errors() == []
    fired.serve_honest_ones()
    # Refusals in words, of several kinds: most calls came past gRPC and TLS.
    assert len([answer for answer in fired.answers if answer.islower()]) > 3
