"""Nodes as real processes, ended in the middle of what they do."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mpcseg.audit.log import log_path
from mpcseg.audit.log_file import read_log
from mpcseg.audit.records import Began
from mpcseg.cli.suspension import suspendable
from mpcseg.errors import ProtocolError
from mpcseg.nodes.compute import serve_compute
from mpcseg.nodes.key import run_key
from mpcseg.nodes.party import run_party
from mpcseg.nodes.transport import open_channel
from mpcseg.study.agreement import load_agreement
from mpcseg.verification.checks import blocks_are_the_parties, wires_agree
from mpcseg.verification.evidence import collect
from tests.nodes.processes import NodeProcess, spawn
from tests.nodes.studies import Nodes, close, make_cohort, run, start_compute
from tests.organisations import write_study

pytestmark = pytest.mark.processes


@pytest.fixture
def started() -> Iterator[list[NodeProcess]]:
    """Whatever a test has started; what still runs is ended by its id."""
    processes: list[NodeProcess] = []
    yield processes
    for node in processes:
        if node.process.is_alive():
            node.process.kill()
            node.process.join()


STOPPED = "stopped; start it again with the same command and it goes on"


def run_suspendable(node: Callable[..., Any], *arguments: Any, **options: Any) -> None:
    """A node that its operator can stop, as the command line starts it."""
    with suspendable():
        node(*arguments, **options)


def test_a_party_that_is_killed_in_its_upload_goes_on_at_the_missing_blob(
    nodes: Nodes, tmp_path: Path, started: list[NodeProcess]
) -> None:
    compute, address = start_compute(nodes, tmp_path / "storage", patience=30.0)
    key = run(run_key, nodes.spec, nodes.key, address, tmp_path / "key")
    logs = tmp_path / "logs"
    near = run(run_party, nodes.spec, nodes.parties[0], address, make_cohort(30, 2, 1), audit=logs)
    own = nodes.parties[1]
    party = (run_party, nodes.spec, own, address, make_cohort(30, 2, 2))
    first = spawn(tmp_path / "first", *party, deadly="advance upload", audit=logs)
    started.append(first)
    assert first.result() == "killed"
    assert first.process.exitcode == -signal.SIGKILL
    secret = logs / f"shuffle-{nodes.spec.digest[:16]}-{own.name}.json"
    assert secret.stat().st_mode & 0o777 == 0o600
    changed = spawn(tmp_path / "changed", *party[:-1], make_cohort(30, 2, 3), audit=logs)
    started.append(changed)
    assert changed.result().startswith("data: the table, or what is selected of it, has changed")
    second = spawn(tmp_path / "second", run_suspendable, *party, audit=logs)
    started.append(second)
    second.wait_line(f"message party node {own.name} is ready")
    os.kill(second.process.pid or 0, signal.SIGINT)
    assert second.result() == "suspended: " + STOPPED
    third = spawn(tmp_path / "third", *party, audit=logs)
    started.append(third)
    assert third.result() == "done"
    assert "blocks are complete already" in third.report.read_text()
    assert "advance upload" not in third.report.read_text()
    said = second.report.read_text().splitlines()
    found = [line for line in said if line.startswith("message the compute node has")]
    there = int(found[0].split()[5])
    assert 1 <= there < 3
    assert said.count("advance upload") == 3 - there
    # No record is counted twice, and none is missing.
    assert key.join().result.n_records == pytest.approx(60, abs=0.1)
    near.join()
    close(nodes, address)
    assert compute.join().n_blocks == {"party-a": 1, "party-b": 1}
    assert not secret.exists()
    agreement = load_agreement(write_study(tmp_path / "trial.agreement", nodes.spec))
    evidence = collect(agreement, [tmp_path / "storage", tmp_path / "key", logs], None, None)
    assert "one digest at both ends" in wires_agree(evidence)
    assert "party-b 1" in blocks_are_the_parties(evidence)
    log = read_log(log_path(logs, nodes.spec, "party", own.name), nodes.spec)
    began = [entry.record for entry in log.entries if isinstance(entry.record, Began)]
    assert [record.resumes for record in began] == [False, True, True]


def test_a_party_started_again_with_another_table_may_send_that_one_instead(
    nodes: Nodes, tmp_path: Path, started: list[NodeProcess]
) -> None:
    compute, address = start_compute(nodes, tmp_path / "storage", patience=30.0)
    key = run(run_key, nodes.spec, nodes.key, address, tmp_path / "key")
    near = run(run_party, nodes.spec, nodes.parties[0], address, make_cohort(30, 2, 1))
    party = (run_party, nodes.spec, nodes.parties[1], address)
    logs = tmp_path / "logs"
    first = spawn(
        tmp_path / "first", *party, make_cohort(30, 2, 2), deadly="advance upload", audit=logs
    )
    started.append(first)
    assert first.result() == "killed"
    second = spawn(tmp_path / "second", *party, make_cohort(20, 2, 3), audit=logs, restart=True)
    started.append(second)
    assert second.result() == "done"
    assert second.report.read_text().splitlines().count("advance upload") == 3
    assert key.join().result.n_records == pytest.approx(50, abs=0.1)
    near.join()
    close(nodes, address)
    compute.join()


def test_a_compute_node_that_is_killed_in_a_round_is_waited_for_and_given_up(
    nodes: Nodes, tmp_path: Path, started: list[NodeProcess]
) -> None:
    compute = spawn(
        tmp_path / "compute",
        serve_compute,
        nodes.spec,
        nodes.compute,
        "127.0.0.1:0",
        tmp_path / "storage",
        1,
        deadly="advance round 1",
    )
    started.append(compute)
    address = compute.wait_line("event listening")
    key = run(run_key, nodes.spec, nodes.key, address, tmp_path / "key", patience=1.5)
    parties = [
        run(run_party, nodes.spec, identity, address, make_cohort(30, 2, seed), patience=1.5)
        for seed, identity in enumerate(nodes.parties)
    ]
    for running in (key, *parties):
        error = running.error()
        assert error.code == "node_unreachable"
        assert error.message == (
            f"the compute node at {address} does not answer: nothing listens there"
        )
        assert any("trying again for" in text for text in running.progress.messages)
    assert compute.result() == "killed"


def test_a_compute_node_that_comes_back_without_its_storage_is_not_taken_for_the_old_one(
    nodes: Nodes, tmp_path: Path, started: list[NodeProcess]
) -> None:
    def serve(name: str, listen: str) -> NodeProcess:
        storage = tmp_path / f"storage-of-{name}"
        node = spawn(tmp_path / name, serve_compute, nodes.spec, nodes.compute, listen, storage, 1)
        started.append(node)
        return node

    first = serve("first", "127.0.0.1:0")
    address = first.wait_line("event listening")
    key = run(run_key, nodes.spec, nodes.key, address, tmp_path / "key", patience=60.0)
    key.progress.wait(lambda p: p.facts("keys"))
    first.process.kill()
    first.process.join()
    serve("second", address).wait_line("event listening")
    error = key.error(60.0)
    assert type(error) is ProtocolError
    assert "what this node had sent to it is gone" in error.message


def test_the_workers_of_a_killed_compute_node_do_not_stay(
    nodes: Nodes, tmp_path: Path, started: list[NodeProcess]
) -> None:
    compute = spawn(
        tmp_path / "compute",
        serve_compute,
        nodes.spec,
        nodes.compute,
        "127.0.0.1:0",
        tmp_path / "storage",
        1,
    )
    started.append(compute)
    address = compute.wait_line("event listening")
    run(run_key, nodes.spec, nodes.key, address, tmp_path / "key", patience=0.2)
    for seed, identity in enumerate(nodes.parties):
        run(run_party, nodes.spec, identity, address, make_cohort(5, 2, seed), patience=0.2)
    compute.wait_line("start round 0")
    children = _children(compute.process.pid or 0)
    assert children
    compute.process.kill()
    compute.process.join()
    deadline = time.monotonic() + 15
    while any(_is_running(pid) for pid in children):
        assert time.monotonic() < deadline, "a worker outlived its node"
        time.sleep(0.1)


def test_health_is_answered_while_the_workers_are_busy(
    nodes: Nodes, tmp_path: Path, started: list[NodeProcess]
) -> None:
    """In a process of its own, the compute node does not wait for the lock of the other nodes."""
    compute = spawn(
        tmp_path / "compute",
        serve_compute,
        nodes.spec,
        nodes.compute,
        "127.0.0.1:0",
        tmp_path / "storage",
        1,
    )
    started.append(compute)
    address = compute.wait_line("event listening")
    key = run(run_key, nodes.spec, nodes.key, address, tmp_path / "key")
    for seed, identity in enumerate(nodes.parties):
        run(run_party, nodes.spec, identity, address, make_cohort(30, 2, seed))
    key.progress.wait(lambda p: p.facts("all_parties_ready"))
    waits = []
    with open_channel(nodes.spec, nodes.parties[0], address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        while len(key.progress.facts("round")) < 3:
            began = time.monotonic()
            reply = stub.Check(health_pb2.HealthCheckRequest(), timeout=5)
            waits.append(time.monotonic() - began)
            assert reply.status == health_pb2.HealthCheckResponse.SERVING
            time.sleep(0.05)
    key.join()
    close(nodes, address)
    assert compute.result() == "done"
    assert len(waits) > 10
    assert max(waits) < 2.0


def _children(pid: int) -> list[int]:
    # Whichever thread started a child, the system lists it with that thread.
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for path in lists for child in path.read_text().split()]


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
