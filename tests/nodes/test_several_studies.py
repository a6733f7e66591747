"""Two real studies on one compute node at once: nothing of the one can be had by way of the other.

alder is in both studies; birch is in the first alone and cedar in the second alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest

from mpcseg.audit.log import log_path
from mpcseg.audit.log_file import read_log, signed_part
from mpcseg.errors import (
    ConfigError,
    DuplicateNodeError,
    MpcsegError,
    ParameterMismatchError,
    StudyClosedError,
    UnknownSessionError,
)
from mpcseg.nodes.compute import serve_studies
from mpcseg.nodes.connection import Connection
from mpcseg.nodes.hosting import study_folder, verify_distinct
from mpcseg.nodes.key import run_key
from mpcseg.nodes.party import run_party
from mpcseg.nodes.requests import fetch_results, study_status
from mpcseg.nodes.summary import ComputeSummary
from mpcseg.study.identity import Identity
from mpcseg.study.spec import StudySpec
from mpcseg.wire.names import BlobKind, BlobName
from mpcseg.wire.status import from_call
from mpcseg.wire.study_status import StudyPhase
from mpcseg.wire.v1 import blob_pb2
from tests.nodes.studies import (
    Nodes,
    Recorder,
    audit_folder,
    close,
    connect,
    make_cohort,
    run,
)
from tests.organisations import identity, no_noise, study_spec


def make(name: str, key: str, parties: tuple[str, str]) -> Nodes:
    terms = {"privacy": no_noise(), "retention_days": 1.0, "n_rounds": 1}
    spec = study_spec(name=name, compute="hub", key=key, parties=parties, **terms)
    own = [identity(party) for party in parties]
    return Nodes(spec, identity("hub"), identity(key), own, identity("stranger"))


@dataclass
class Host:
    """A compute node of several studies in a thread."""

    studies: dict[StudySpec, Recorder]
    storage: Path
    outcomes: dict[str, Any] = field(default_factory=dict)

    def start(self) -> str:
        told = dict(self.studies)

        def target() -> None:
            self.outcomes = serve_studies(
                told, identity("hub"), "127.0.0.1:0", self.storage, 2, patience=60.0
            )

        self.thread = threading.Thread(target=target, daemon=True)
        self.thread.start()
        first = next(iter(self.studies.values()))
        first.wait(lambda p: p.facts("listening"))
        return str(first.facts("listening")[0]["address"])


@dataclass
class Both:
    """What was tried while both studies ran, and what they left."""

    first: Nodes
    second: Nodes
    host: Host
    refused: dict[str, MpcsegError]
    second_while_first_over: StudyPhase
    n_unsigned: int
    """Entries of the first study's log that were not signed when its closing record was there."""


def error_of(call: Callable[[], object]) -> MpcsegError:
    with pytest.raises(MpcsegError) as caught:
        call()
    return caught.value


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Both:
    folder = tmp_path_factory.mktemp("several")
    first = make("first", "keeper", ("alder", "birch"))
    second = make("second", "watcher", ("alder", "cedar"))
    host = Host({first.spec: Recorder(), second.spec: Recorder()}, folder / "storage")
    address = host.start()
    refused: dict[str, MpcsegError] = {}
    recorder = Recorder()

    def status(nodes: Nodes, own: Identity) -> Any:
        return study_status(nodes.spec, own, address, recorder, patience=1.0)

    refused["status of a study that one is not in"] = error_of(
        lambda: status(second, first.parties[1])
    )
    unknown = make("third", "keeper", ("alder", "birch"))
    refused["status of no study"] = error_of(lambda: status(unknown, first.parties[1]))

    running = [
        run(run_key, nodes.spec, nodes.key, address, folder / nodes.spec.name)
        for nodes in (first, second)
    ]
    with (
        connect(second, second.parties[0], address) as alder,
        connect(first, first.parties[0], address) as other,
    ):
        alder.join()
        other.join()
        # Not by the client, which would join again.
        request = blob_pb2.ListBlobsRequest(study_digest=second.spec.digest, session=other._session)
        with pytest.raises(grpc.RpcError) as caught:
            list(alder.stub.ListBlobs(request, timeout=10))
        refused["a session of the other study"] = from_call(caught.value) or MpcsegError("none")
    # Whoever takes alder's place now need not wait for as long as a node has to open its watch.
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr("mpcseg.nodes.membership._GRACE_SECONDS", 0.0)
    with connect(first, first.parties[1], address, spec=second.spec) as birch:
        refused["joining a study that one is not in"] = error_of(birch.join)
        blob = b"not of this study"
        name = BlobName(BlobKind.FEATURE)
        refused["uploading to it"] = error_of(lambda: birch.upload(name, blob))
    running += [
        run(run_party, nodes.spec, own, address, make_cohort(30 + 10 * i, 2, i))
        for i, (nodes, own) in enumerate(
            [(first, first.parties[0]), (first, first.parties[1]), (second, second.parties[0])]
        )
    ]
    host.studies[first.spec].wait(lambda p: p.facts("party_ready"))
    monkeypatch.undo()
    for node in (running[0], running[2], running[3]):
        node.join()
    for nodes, own in ((first, second.parties[1]), (second, first.parties[1])):
        refused[f"results of the {nodes.spec.name} study for {own.name}"] = error_of(
            lambda nodes=nodes, own=own: results(nodes, own, address)
        )
    fetch_results(first.spec, first.parties[1], address, recorder, audit=audit_folder())
    close(first, address)
    place = study_folder(host.storage, first.spec, is_alone=False)
    whole = read_log(log_path(place, first.spec, "compute", "hub"), first.spec)
    n_unsigned = len(whole.entries) - len(signed_part(whole).entries)
    host.studies[first.spec].wait(lambda p: any("is over" in text for text in p.messages))
    phase = status(second, second.key).phase
    refused["results of a study that is over"] = error_of(
        lambda: fetch_results(
            first.spec, first.parties[0], address, recorder, audit=audit_folder(), patience=1.0
        )
    )
    last = run(run_party, second.spec, second.parties[1], address, make_cohort(50, 2, 5))
    for node in (running[1], running[4], last):
        node.join()
    fetch_results(second.spec, second.parties[1], address, recorder, audit=audit_folder())
    close(second, address)
    host.thread.join(60.0)
    assert not host.thread.is_alive()
    return Both(first, second, host, refused, phase, n_unsigned)


def results(nodes: Nodes, own: Identity, address: str) -> bytes:
    """Ask for what is sealed to another, in a study that the caller is not in."""
    recipient = nodes.parties[0].name
    request = blob_pb2.FetchResultRequest(study_digest=nodes.spec.digest, recipient=recipient)
    name = BlobName(BlobKind.RESULT, item=nodes.spec.recipients.index(recipient))
    with Connection(nodes.spec, own, address, progress=Recorder(), patience=1.0) as compute:
        return compute.fetch(compute.stub.FetchResult, request, name, 1 << 20)


def test_calls_to_a_study_that_the_caller_is_not_in_are_refused(both: Both) -> None:
    for what in (
        "status of a study that one is not in",
        "joining a study that one is not in",
        "uploading to it",
        "results of the first study for cedar",
        "results of the second study for birch",
    ):
        assert isinstance(both.refused[what], ParameterMismatchError), what


def test_nobody_can_tell_whether_there_is_a_study_that_it_is_not_in(both: Both) -> None:
    hosted = both.refused["status of a study that one is not in"]
    absent = both.refused["status of no study"]
    assert (type(hosted), hosted.message, hosted.hint) == (
        type(absent),
        absent.message,
        absent.hint,
    )


def test_a_session_is_worth_nothing_in_another_study_of_the_same_organisation(both: Both) -> None:
    error = both.refused["a session of the other study"]
    assert isinstance(error, DuplicateNodeError | UnknownSessionError)


def test_one_study_ends_and_the_other_goes_on_to_its_results(both: Both) -> None:
    assert both.second_while_first_over is StudyPhase.BLOCKS
    assert isinstance(both.refused["results of a study that is over"], StudyClosedError)
    for nodes in (both.first, both.second):
        summary = both.host.outcomes[nodes.spec.digest]
        assert isinstance(summary, ComputeSummary)
        assert summary.ending == "closed"
        assert set(summary.n_blocks) == {party.name for party in nodes.spec.parties}


def test_the_log_of_a_study_is_signed_when_its_closing_record_is_there(both: Both) -> None:
    """Its file stays open until the other study is over, and may be verified before."""
    assert both.n_unsigned == 0


def test_each_study_has_a_folder_log_and_ledger_of_its_own(both: Both) -> None:
    storage = both.host.storage
    digests = {nodes.spec.digest[:16] for nodes in (both.first, both.second)}
    assert {path.name for path in storage.iterdir()} == digests
    for nodes, strangers in (
        (both.first, {"cedar", "watcher"}),
        (both.second, {"birch", "keeper"}),
    ):
        folder = storage / nodes.spec.digest[:16]
        names = {path.name.split("-")[0] for path in folder.iterdir()}
        assert {"ledger", "audit", "closing"} <= names
        log = read_log(log_path(folder, nodes.spec, "compute", "hub"), nodes.spec)
        peers = {getattr(entry.record, "peer", "") for entry in log.entries}
        assert not peers & strangers
        assert nodes.parties[0].name in peers


def test_what_happens_in_a_study_is_told_to_its_own_listener(both: Both) -> None:
    joined = {
        nodes.spec.name: {facts["node"] for facts in both.host.studies[nodes.spec].facts("joined")}
        for nodes in (both.first, both.second)
    }
    assert joined == {
        "first": {"keeper", "alder", "birch"},
        "second": {"watcher", "alder", "cedar"},
    }


def test_studies_of_different_certificates_of_the_compute_node_are_not_served_together() -> None:
    one = make("first", "keeper", ("alder", "birch")).spec
    renewed = identity("hub", 1).card
    other = make("second", "keeper", ("alder", "birch")).spec.model_copy(
        update={"compute": renewed}
    )
    with pytest.raises(ConfigError, match="different certificates"):
        verify_distinct([one, other])
    with pytest.raises(ConfigError, match="twice"):
        verify_distinct([one, one])


def test_a_study_stays_where_it_was_begun(tmp_path: Path) -> None:
    spec = make("first", "keeper", ("alder", "birch")).spec
    own = tmp_path / spec.digest[:16]
    assert study_folder(tmp_path, spec, is_alone=True) == tmp_path
    assert study_folder(tmp_path, spec, is_alone=False) == own
    log_path(tmp_path, spec, "compute", "hub").touch()
    assert study_folder(tmp_path, spec, is_alone=False) == tmp_path
    own.mkdir()
    assert study_folder(tmp_path, spec, is_alone=True) == own
