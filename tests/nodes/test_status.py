"""How far a study is, asked of a real compute node over TLS by each of its organisations."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mpcseg.cli.app import app
from mpcseg.cli.study_status import STILL_RUNNING, exit_status
from mpcseg.errors import (
    MpcsegError,
    NodeUnreachableError,
    ParameterMismatchError,
    StudyAbortedError,
    StudyClosedError,
    TooFewRecordsError,
    UnknownCertificateError,
    WithdrawnError,
)
from mpcseg.nodes.key import run_key
from mpcseg.nodes.party import run_party
from mpcseg.nodes.requests import fetch_results, study_status
from mpcseg.study.identity import Identity
from mpcseg.wire.study_status import Presence, StudyPhase, StudyStatus
from tests.nodes.studies import (
    Nodes,
    Recorder,
    Running,
    audit_folder,
    close,
    connect,
    make_cohort,
    make_nodes,
    run,
    start_compute,
)
from tests.organisations import study_spec, write_study


@dataclass
class Asked:
    """A study whose status was asked for at its beginning, before its last party and at its end."""

    nodes: Nodes
    address: str
    compute: Running
    first: StudyStatus
    one_missing: dict[str, StudyStatus]
    finished: dict[str, StudyStatus]


def ask(nodes: Nodes, own: Identity, address: str, **options: Any) -> StudyStatus:
    options.setdefault("patience", 1.0)
    return study_status(options.pop("spec", nodes.spec), own, address, Recorder(), **options)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    folder = tmp_path_factory.mktemp("status")
    nodes = make_nodes(n_rounds=1)
    compute, address = start_compute(nodes, folder / "storage", patience=60.0)
    everybody = [nodes.compute, nodes.key, *nodes.parties]
    first = ask(nodes, nodes.parties[0], address)
    key = run(run_key, nodes.spec, nodes.key, address, folder / "key")
    one = run(run_party, nodes.spec, nodes.parties[0], address, make_cohort(40, 2, 1))
    compute.progress.wait(lambda p: p.facts("party_ready"))
    missing = {own.name: ask(nodes, own, address) for own in everybody}
    two = run(run_party, nodes.spec, nodes.parties[1], address, make_cohort(30, 2, 2))
    for node in (key, one, two):
        node.join()
    fetch_results(nodes.spec, nodes.parties[0], address, Recorder(), audit=audit_folder())
    finished = {own.name: ask(nodes, own, address) for own in everybody}
    yield Asked(nodes, address, compute, first, missing, finished)
    if compute.thread.is_alive():
        close(nodes, address)
        compute.join()


def presences(status: StudyStatus) -> list[Presence]:
    return [node.presence for node in status.nodes]


def test_before_anybody_has_joined_all_nodes_are_awaited(asked: Asked) -> None:
    assert asked.first.phase is StudyPhase.KEYS
    assert presences(asked.first) == [Presence.AWAITED] * 3
    assert not any(node.ready for node in asked.first.nodes)


def test_while_a_party_is_missing_everybody_sees_who_is_ready(asked: Asked) -> None:
    for status in asked.one_missing.values():
        assert status.phase is StudyPhase.BLOCKS
        assert presences(status) == [Presence.HERE, Presence.HERE, Presence.AWAITED]
        assert [node.ready for node in status.nodes] == [True, True, False]
        assert (status.rounds_opened, status.rounds_released, status.rounds_at_most) == (0, 0, 4)


def test_how_many_blocks_a_party_has_is_told_to_itself_and_the_compute_node_only(
    asked: Asked,
) -> None:
    blocks = {
        name: [node.n_blocks for node in status.nodes] for name, status in asked.finished.items()
    }
    assert blocks == {
        "hub": [None, 1, 1],
        "keeper": [None, None, None],
        "party-a": [None, 1, None],
        "party-b": [None, None, 1],
    }


def test_at_the_end_each_is_told_of_its_own_results(asked: Asked) -> None:
    told = {
        name: (status.is_recipient, status.results_fetched)
        for name, status in asked.finished.items()
    }
    recipients = set(asked.nodes.spec.recipients)
    for name, (is_recipient, fetched) in told.items():
        assert is_recipient == (name in recipients)
        assert fetched == (name == "party-a")
    for status in asked.finished.values():
        assert status.phase is StudyPhase.RESULTS
        assert status.rounds_opened == status.rounds_released == 4
        assert status.running is None
        assert Presence.ABSENT not in presences(status)


def test_a_stranger_is_told_nothing(asked: Asked) -> None:
    with pytest.raises((UnknownCertificateError, NodeUnreachableError)):
        ask(asked.nodes, asked.nodes.stranger, asked.address)


def test_the_status_of_another_study_is_refused(asked: Asked) -> None:
    other = study_spec(name="other", parties=("party-a", "party-b"))
    with pytest.raises(ParameterMismatchError):
        ask(asked.nodes, asked.nodes.parties[0], asked.address, spec=other)


def test_asking_makes_no_session_and_refuses_nobody(asked: Asked, tmp_path: Path) -> None:
    nodes = make_nodes(n_rounds=1)
    compute, address = start_compute(nodes, tmp_path / "storage")
    for _ in range(3):
        ask(nodes, nodes.key, address)
    assert not compute.progress.facts("joined")
    with connect(nodes, nodes.key, address) as client:
        client.join()
        assert ask(nodes, nodes.compute, address).nodes[0].presence is Presence.HERE
        client.abort(MpcsegError("enough"))
    compute.error()


def command(
    monkeypatch: pytest.MonkeyPatch, folder: Path, asked_by: Identity, asked: Asked, *options: str
) -> Any:
    monkeypatch.setattr("mpcseg.cli.study_status.load_own_identity", lambda _: asked_by)
    file = folder / "trial.agreement"
    if not file.exists():
        write_study(file, asked.nodes.spec)
    arguments = [str(file), "--identity", "any", "--address", asked.address, *options]
    return CliRunner().invoke(app, ["study", "status", *arguments])


def test_the_command_ends_with_success_once_there_are_results(
    asked: Asked, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = asked.nodes.parties[1]
    shown = command(monkeypatch, tmp_path, own, asked)
    assert shown.exit_code == 0, shown.output
    assert "finished" in shown.output
    assert "mpcseg party results" in shown.output
    shown = command(monkeypatch, tmp_path, own, asked, "--json", "--watch")
    document = json.loads(shown.output)
    assert (document["phase"], document["rounds_released"]) == ("results", 4)
    assert document["nodes"][2] == {
        "node": "party-b",
        "role": "party",
        "presence": document["nodes"][2]["presence"],
        "ready": True,
        "absent_seconds": 0.0,
        "n_blocks": 1,
    }


def test_the_command_ends_with_ask_again_while_the_study_goes_on(
    asked: Asked, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    compute, address = start_compute(asked.nodes, tmp_path / "storage")
    waiting = Asked(asked.nodes, address, compute, asked.first, {}, {})
    shown = command(monkeypatch, tmp_path, asked.nodes.key, waiting)
    assert shown.exit_code == STILL_RUNNING == 75, shown.output
    assert "waiting for the keys" in shown.output
    close(asked.nodes, address)
    compute.error()


@pytest.mark.parametrize(
    ("ending", "error", "fetched", "status"),
    [
        ("retention", "", False, 0),
        ("closed", "", True, 0),
        ("closed", "", False, StudyClosedError.exit_status),
        ("withdrawn", "", False, WithdrawnError.exit_status),
        ("aborted", "too_few_records", False, TooFewRecordsError.exit_status),
        ("aborted", "never_heard_of", False, StudyAbortedError.exit_status),
    ],
)
def test_the_exit_status_of_a_study_that_is_over_says_how_it_ended(
    asked: Asked, ending: Any, error: str, fetched: bool, status: int
) -> None:
    over = replace(
        asked.finished["hub"],
        phase=StudyPhase.OVER,
        ending=ending,
        error=error,
        results_fetched=fetched,
    )
    assert exit_status(over) == status
