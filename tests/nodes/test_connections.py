"""Who gets through to a compute node, and what those who do not are told."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mpcseg.errors import (
    ConfigError,
    DuplicateNodeError,
    MpcsegError,
    NodeUnreachableError,
    ParameterMismatchError,
    StudyAbortedError,
    UnknownCertificateError,
)
from mpcseg.nodes.client import ComputeClient
from mpcseg.nodes.compute import serve_compute
from mpcseg.nodes.key import run_key
from mpcseg.nodes.party import run_party
from mpcseg.nodes.transport import open_channel
from mpcseg.nodes.watcher import StudyWatcher
from mpcseg.study.identity import Identity
from tests.nodes.studies import (
    Nodes,
    Recorder,
    Running,
    connect,
    make_cohort,
    run,
    start_compute,
)


@pytest.fixture(scope="module")
def compute(
    nodes: Nodes, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Running, str]]:
    running, address = start_compute(nodes, tmp_path_factory.mktemp("storage"), patience=600.0)
    yield running, address
    with connect(nodes, nodes.key, address) as key:
        key.join()
        key.abort(MpcsegError("the tests are done"))
    assert isinstance(running.error(), StudyAbortedError)


@pytest.fixture(scope="module")
def address(compute: tuple[Running, str]) -> str:
    return compute[1]


def test_every_node_of_the_study_gets_in(nodes: Nodes, address: str) -> None:
    for identity in (nodes.key, *nodes.parties):
        with connect(nodes, identity, address) as client:
            joined = client.join()
            assert joined.session
            assert not joined.committed
            assert client.join() == joined  # a reply that was lost


def test_a_stranger_is_told_that_the_server_does_not_know_it(nodes: Nodes, address: str) -> None:
    with (
        connect(nodes, nodes.stranger, address) as client,
        pytest.raises(UnknownCertificateError, match="does not know this node's certificate"),
    ):
        client.join()


def test_a_server_with_another_certificate_is_told_from_one_that_is_not_there(
    nodes: Nodes, address: str
) -> None:
    spec = nodes.spec.model_copy(update={"compute": nodes.stranger.card})
    del spec.__dict__["organisations"]  # cached; the digest stays that of the study
    with (
        connect(nodes, nodes.parties[0], address, spec=spec) as client,
        pytest.raises(UnknownCertificateError, match="a certificate that the study does not name"),
    ):
        client.join()


def test_where_nothing_listens_it_is_tried_again_and_then_given_up(nodes: Nodes) -> None:
    progress = Recorder()
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound, not listening: nobody else can take it
        address = f"127.0.0.1:{held.getsockname()[1]}"
        with (
            connect(nodes, nodes.key, address, progress=progress, patience=1.2) as client,
            pytest.raises(NodeUnreachableError, match="nothing listens there") as caught,
        ):
            client.join()
    assert "mpcseg compute serve" in caught.value.hint
    assert progress.messages == [
        f"compute node at {address} does not answer (nothing listens there); trying again for up "
        "to 1 s"
    ]


def test_what_listens_there_may_be_something_else(nodes: Nodes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"

        def answer() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(b"220 mail.example.org ESMTP\r\n")

        threading.Thread(target=answer, daemon=True).start()
        with (
            connect(nodes, nodes.key, address, patience=0.3) as client,
            pytest.raises(NodeUnreachableError, match="does not speak TLS"),
        ):
            client.join()


def test_a_compute_node_that_comes_late_is_found(nodes: Nodes, storage: Path) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{held.getsockname()[1]}"
    progress = Recorder()
    with connect(nodes, nodes.key, address, progress=progress, patience=20.0) as client:
        joined: list[object] = []
        waiting = threading.Thread(target=lambda: joined.append(client.join()), daemon=True)
        waiting.start()
        progress.wait(lambda p: p.messages)
        running = run(serve_compute, nodes.spec, nodes.compute, address, storage, 1, patience=60.0)
        waiting.join(20)
        assert joined
        client.abort(MpcsegError("done"))
    assert isinstance(running.error(), StudyAbortedError)


def test_another_study_or_parameter_set_is_refused(nodes: Nodes, address: str) -> None:
    other = nodes.spec.model_copy(update={"n_rounds": 3})
    for cached in ("canonical", "digest"):  # a copy has those of its original
        other.__dict__.pop(cached, None)
    assert other.digest != nodes.spec.digest
    with (
        connect(nodes, nodes.parties[0], address, spec=other) as client,
        pytest.raises(ParameterMismatchError, match="party node party-a runs another study"),
    ):
        client.join()
    with (
        connect(nodes, nodes.parties[0], address, parameter_digest="0" * 64) as client,
        pytest.raises(ParameterMismatchError, match="another parameter set"),
    ):
        client.join()


def test_two_processes_with_one_name(nodes: Nodes, address: str) -> None:
    with (
        connect(nodes, nodes.parties[1], address) as first,
        connect(nodes, nodes.parties[1], address) as second,
    ):
        _join_in_time(first)
        with (
            StudyWatcher(first, Recorder()),
            pytest.raises(DuplicateNodeError, match="party-b is in the study already"),
        ):
            second.join()


def _join_in_time(client: ComputeClient) -> None:
    """Join as soon as the place of an earlier test is free."""
    deadline = time.monotonic() + 15
    while True:
        try:
            client.join()
        except DuplicateNodeError:
            assert time.monotonic() < deadline
            time.sleep(0.5)
        else:
            return


def test_a_node_in_a_role_that_is_not_its_own(nodes: Nodes, storage: Path) -> None:
    quiet = Recorder()
    cohort = make_cohort(10, 2, 0)
    calls = (
        lambda: run_party(nodes.spec, nodes.key, "127.0.0.1:1", cohort, quiet, audit=storage),
        lambda: run_key(nodes.spec, nodes.parties[0], "127.0.0.1:1", storage, quiet),
        lambda: serve_compute(nodes.spec, nodes.key, "127.0.0.1:0", storage, 1, quiet),
    )
    for call in calls:
        with pytest.raises(ConfigError, match="is not a"):
            call()
    assert not storage.exists()


def test_one_folder_and_one_port_serve_one_compute_node(
    nodes: Nodes,
    compute: tuple[Running, str],
    storage: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    quiet = Recorder()
    with pytest.raises(ConfigError, match=r"cannot listen.*already in use"):
        serve_compute(nodes.spec, nodes.compute, compute[1], storage, 1, quiet)
    assert "bind" not in capfd.readouterr().err, "gRPC's library has had a word of its own"
    running, address = start_compute(nodes, storage, patience=600.0)
    with pytest.raises(ConfigError, match="another compute node uses"):
        serve_compute(nodes.spec, nodes.compute, "127.0.0.1:0", storage, 1, quiet)
    with connect(nodes, nodes.key, address) as key:
        key.join()
        key.abort(MpcsegError("done"))
    assert isinstance(running.error(), StudyAbortedError)


def test_health_is_told_to_nodes_of_the_study_only(nodes: Nodes, address: str) -> None:
    def check(identity: Identity) -> int:
        with open_channel(nodes.spec, identity, address) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            return int(stub.Check(health_pb2.HealthCheckRequest(), timeout=5).status)

    assert check(nodes.parties[0]) == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.RpcError):
        check(nodes.stranger)
