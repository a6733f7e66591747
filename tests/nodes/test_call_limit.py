"""One organisation cannot take all of the compute node's calls."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mpcseg.errors import MpcsegError, StudyAbortedError
from mpcseg.nodes.call_limit import CALLS_PER_NODE
from mpcseg.nodes.transport import open_channel
from tests.nodes.studies import Nodes, connect, start_compute


@pytest.fixture
def address(nodes: Nodes, tmp_path: Path) -> Iterator[str]:
    running, address = start_compute(nodes, tmp_path, patience=600.0)
    yield address
    with connect(nodes, nodes.key, address) as key:
        key.join()
        key.abort(MpcsegError("the tests are done"))
    assert isinstance(running.error(), StudyAbortedError)


def test_calls_are_counted_for_each_organisation_by_itself(nodes: Nodes, address: str) -> None:
    greedy, other = nodes.parties
    limit = 2 * CALLS_PER_NODE  # its one node, and a person
    with (
        open_channel(nodes.spec, greedy, address) as first,
        open_channel(nodes.spec, greedy, address) as second,
        open_channel(nodes.spec, other, address) as third,
    ):
        held = []
        # Streams that never end, over more than one connection.
        for number in range(limit):
            stub = health_pb2_grpc.HealthStub((first, second)[number % 2])
            stream = stub.Watch(health_pb2.HealthCheckRequest())
            assert next(stream).status == health_pb2.HealthCheckResponse.SERVING
            held.append(stream)
        stub = health_pb2_grpc.HealthStub(first)
        with pytest.raises(grpc.RpcError) as caught:
            stub.Check(health_pb2.HealthCheckRequest(), timeout=5)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED  # type: ignore[attr-defined]
        # Nobody else notices.
        others = health_pb2_grpc.HealthStub(third)
        assert others.Check(health_pb2.HealthCheckRequest(), timeout=5).status
        with connect(nodes, other, address) as party:
            party.join()
        # And a place that is given back can be taken again.
        held.pop().cancel()
        deadline = time.monotonic() + 10
        while True:
            try:
                stub.Check(health_pb2.HealthCheckRequest(), timeout=5)
            except grpc.RpcError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            else:
                break
        for stream in held:
            stream.cancel()
