"""What a compute node does for whom, as tables of operations: success, or the error and its reason.

Real mutual TLS and real signatures; the calls are made below the clients that would make them
right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from mpcseg.errors import (
    AgreementError,
    DuplicateNodeError,
    MpcsegError,
    NodeUnreachableError,
    ParameterMismatchError,
    ProtocolError,
    SealError,
    SignatureError,
    StudyAbortedError,
    StudyClosedError,
    UnknownCertificateError,
)
from mpcseg.nodes.client import ComputeClient
from mpcseg.nodes.compute import serve_compute
from mpcseg.nodes.connection import Connection
from mpcseg.nodes.planning import study_plan
from mpcseg.nodes.requests import close_study, fetch_results, withdraw
from mpcseg.nodes.roles import Role
from mpcseg.study.closing import Action, sign_key_destroyed, sign_request, verify_record
from mpcseg.study.identity import Identity
from mpcseg.study.results import open_results
from mpcseg.study.spec import StudySpec
from mpcseg.wire import conversions as convert
from mpcseg.wire.blobs import header_of
from mpcseg.wire.events import KEYS_PURPOSE, KeyAttestation, attested_bytes
from mpcseg.wire.names import BlobKind, BlobName
from mpcseg.wire.v1 import audit_pb2, blob_pb2, closing_pb2, event_pb2, round_pb2
from tests.nodes.material import Material
from tests.nodes.studies import (
    Nodes,
    Ran,
    Recorder,
    audit_folder,
    connect,
    make_cohort,
    run_study,
    start_compute,
    two_organisations,
)
from tests.organisations import identity, no_noise, study_spec

TIME = "2025-03-31T12:00:00Z"
FEATURE = BlobName(BlobKind.FEATURE)


@dataclass
class Bench:
    """A compute node that has its keys and waits for blocks, and one of another study.

    Attributes:
        nodes: the study.
        address: of its compute node.
        other: another study of the same organisations.
        sessions: of the nodes that have joined, by who they are.
        foreign_session: of party-a in the other study.
    """

    nodes: Nodes
    material: Material
    address: str
    other: StudySpec
    sessions: dict[tuple[str, Role], str]
    foreign_session: str

    @property
    def spec(self) -> StudySpec:
        return self.nodes.spec

    def line(self, own: Identity) -> Connection:
        return Connection(self.spec, own, self.address, progress=Recorder(), patience=0.3)

    def client(self, own: Identity, role: Role, **options: Any) -> ComputeClient:
        return connect(self.nodes, own, self.address, role=role, patience=0.3, **options)

    def join(self, own: Identity, role: Role, **options: Any) -> None:
        with self.client(own, role, **options) as client:
            client.join()

    def call(self, own: Identity, method: str, request: Any) -> Any:
        with self.line(own) as line:
            return line.call(getattr(line.stub, method), request)

    def envelope(self, own: Identity, role: Role, digest: str = "") -> dict[str, str]:
        session = self.sessions[own.name, role]
        return {"study_digest": digest or self.spec.digest, "session": session}

    def ask(
        self,
        own: Identity,
        action: Action,
        *,
        digest: str = "",
        signed_for: str = "",
        signer: Identity | None = None,
    ) -> Any:
        """Ask for the study's end, with a digest and a signature that need not fit."""
        digest = digest or self.spec.digest
        request = sign_request(signer or own, signed_for or digest, action, TIME)
        signed = closing_pb2.Signed(time=request.time, signature=request.signature)
        if action == "close":
            message: Any = closing_pb2.CloseStudyRequest(study_digest=digest, signed=signed)
            return self.call(own, "CloseStudy", message)
        message = closing_pb2.WithdrawRequest(study_digest=digest, signed=signed)
        return self.call(own, "Withdraw", message)

    def fetch(self, own: Identity, recipient: str, digest: str = "") -> bytes:
        request = blob_pb2.FetchResultRequest(
            study_digest=digest or self.spec.digest, recipient=recipient
        )
        with self.line(own) as line:
            name = BlobName(BlobKind.RESULT)
            return line.fetch(line.stub.FetchResult, request, name, 10**6)

    def upload(self, own: Identity, role: Role, name: BlobName, **envelope: str) -> Any:
        blob = self.material.block[FEATURE]
        opening = blob_pb2.UploadHeader(
            **{**self.envelope(own, role), **envelope},
            blob=convert.header_to_wire(header_of(name, blob)),
        )
        with self.line(own) as line:
            return line.call(
                line.stub.Upload, lambda: iter([blob_pb2.UploadRequest(header=opening)])
            )

    def attest(self, study_digest: str) -> Any:
        right = self.material.attestation()
        parameters = study_plan(self.spec).digest
        signed = attested_bytes(study_digest, parameters, right.public_key_sha256)
        forged = KeyAttestation(right.public_key_sha256, self.nodes.key.sign(KEYS_PURPOSE, signed))
        request = round_pb2.PublishKeysRequest(
            **self.envelope(self.nodes.key, Role.KEY),
            attestation=convert.attestation_to_wire(forged),
        )
        return self.call(self.nodes.key, "PublishKeys", request)

    def destroyed(self, own: Identity, role: Role, study_digest: str) -> Any:
        statement = sign_key_destroyed(own, study_digest, 70, TIME)
        request = closing_pb2.ReportDestroyedRequest(
            **self.envelope(own, role), statement=convert.destroyed_to_wire(statement)
        )
        return self.call(own, "ReportDestroyed", request)

    def watch(self, own: Identity, role: Role, **envelope: str) -> None:
        request = event_pb2.WatchRequest(**{**self.envelope(own, role), **envelope})
        with self.line(own) as line:
            line.call(
                lambda message, timeout: next(line.stub.Watch(message, timeout=timeout)), request
            )


@pytest.fixture(scope="module")
def bench(
    nodes: Nodes, material: Material, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bench]:
    other = replace(nodes, spec=study_spec(
        parties=("party-a", "party-b"), name="other", privacy=no_noise(), retention_days=1.0
    ))  # fmt: skip
    running, address = start_compute(nodes, tmp_path_factory.mktemp("a"), patience=600.0)
    beside, elsewhere = start_compute(other, tmp_path_factory.mktemp("b"), patience=600.0)
    party = nodes.parties[0]
    with (
        connect(nodes, nodes.key, address) as key,
        connect(nodes, party, address) as first,
        connect(other, party, elsewhere) as foreign,
    ):
        sessions = {
            (nodes.key.name, Role.KEY): key.join().session,
            (party.name, Role.PARTY): first.join().session,
        }
        material.publish(key)
        yield Bench(nodes, material, address, other.spec, sessions, foreign.join().session)
        foreign.abort(MpcsegError("done"))
        key.abort(MpcsegError("done"))
    for served in (running, beside):
        assert isinstance(served.error(), StudyAbortedError)


HUB, KEEPER = identity("hub"), identity("keeper")
ALDER, BIRCH = identity("party-a"), identity("party-b")
STRANGER = identity("stranger")
IMPOSTOR = identity("party-a", 1)
"""Of the same name, with other keys."""

Operation = tuple[str, Callable[[Bench], object], type[MpcsegError] | None, str]

OPERATIONS: list[Operation] = [
    ("a party joins", lambda b: b.join(BIRCH, Role.PARTY), None, ""),
    # Certificates that the agreement does not pin.
    (
        "a stranger joins",
        lambda b: b.join(STRANGER, Role.PARTY),
        UnknownCertificateError,
        "does not know this node's certificate",
    ),
    (
        "somebody joins by a party's name, with another certificate",
        lambda b: b.join(IMPOSTOR, Role.PARTY),
        UnknownCertificateError,
        "does not know this node's certificate",
    ),
    (
        "a stranger closes the study",
        lambda b: b.ask(STRANGER, "close"),
        UnknownCertificateError,
        "does not know this node's certificate",
    ),
    (
        "a stranger fetches results",
        lambda b: b.fetch(STRANGER, "party-a"),
        UnknownCertificateError,
        "does not know this node's certificate",
    ),
    # Roles that the agreement does not give.
    (
        "a party joins as key node",
        lambda b: b.join(ALDER, Role.KEY),
        ProtocolError,
        "the agreement has no key node party-a",
    ),
    (
        "the key node's organisation joins as a party",
        lambda b: b.join(KEEPER, Role.PARTY),
        ProtocolError,
        "the agreement has no party node keeper",
    ),
    (
        "the compute node's organisation joins as a party",
        lambda b: b.join(HUB, Role.PARTY),
        ProtocolError,
        "the agreement has no party node hub",
    ),
    (
        "the compute node's organisation joins as key node",
        lambda b: b.join(HUB, Role.KEY),
        ProtocolError,
        "the agreement has no key node hub",
    ),
    (
        "a party opens a round",
        lambda b: b.call(
            ALDER,
            "OpenRound",
            round_pb2.OpenRoundRequest(
                **b.envelope(ALDER, Role.PARTY), kind=round_pb2.ROUND_KIND_ADMISSION
            ),
        ),
        ProtocolError,
        "may not open rounds",
    ),
    (
        "a party uploads results",
        lambda b: b.upload(ALDER, Role.PARTY, BlobName(BlobKind.RESULT)),
        ProtocolError,
        "may not send",
    ),
    # Messages of another study.
    (
        "a node of another agreement joins",
        lambda b: b.join(BIRCH, Role.PARTY, spec=b.other),
        ParameterMismatchError,
        "runs another study",
    ),
    (
        "a call with the digest of another study",
        lambda b: b.watch(ALDER, Role.PARTY, study_digest=b.other.digest),
        ParameterMismatchError,
        "made a call for another study",
    ),
    (
        "a call with the session of another study",
        lambda b: b.watch(ALDER, Role.PARTY, session=b.foreign_session),
        NodeUnreachableError,  # as after a restart of the compute node: to be tried again
        "has not joined",
    ),
    (
        "a call with the session of another organisation",
        lambda b: b.watch(ALDER, Role.PARTY, session=b.sessions["keeper", Role.KEY]),
        DuplicateNodeError,
        "not the session",
    ),
    (
        "an upload whose header is of another study",
        lambda b: b.upload(ALDER, Role.PARTY, FEATURE, study_digest=b.other.digest),
        ParameterMismatchError,
        "made a call for another study",
    ),
    (
        "keys attested for another study",
        lambda b: b.attest(b.other.digest),
        SignatureError,
        "not that of 'keeper'",
    ),
    (
        "results of another study",
        lambda b: b.fetch(ALDER, "party-a", digest=b.other.digest),
        ParameterMismatchError,
        "made a call for another study",
    ),
    (
        "a request to close another study",
        lambda b: b.ask(KEEPER, "close", digest=b.other.digest),
        ParameterMismatchError,
        "made a call for another study",
    ),
    (
        "a request to close that was signed for another study",
        lambda b: b.ask(KEEPER, "close", signed_for=b.other.digest),
        SignatureError,
        "not that of 'keeper'",
    ),
    (
        "a withdrawal that was signed for another study",
        lambda b: b.ask(ALDER, "withdraw", signed_for=b.other.digest),
        SignatureError,
        "not that of 'party-a'",
    ),
    (
        "a statement on the key of another study",
        lambda b: b.destroyed(KEEPER, Role.KEY, b.other.digest),
        SignatureError,
        "not that of 'keeper'",
    ),
    # Ends that somebody may not ask for.
    (
        "a party closes the study",
        lambda b: b.ask(ALDER, "close"),
        AgreementError,
        "'party-a' may not close",
    ),
    (
        "a party closes the study with the key node's signature",
        lambda b: b.ask(ALDER, "close", signer=KEEPER),
        AgreementError,
        "'party-a' may not close",
    ),
    (
        "the compute node's organisation closes it with another's signature",
        lambda b: b.ask(HUB, "close", signer=KEEPER),
        SignatureError,
        "not that of 'hub'",
    ),
    (
        "the key node's organisation withdraws",
        lambda b: b.ask(KEEPER, "withdraw"),
        AgreementError,
        "'keeper' may not withdraw",
    ),
    (
        "the compute node's organisation withdraws",
        lambda b: b.ask(HUB, "withdraw"),
        AgreementError,
        "'hub' may not withdraw",
    ),
    (
        "a party says that the key is destroyed",
        lambda b: b.destroyed(ALDER, Role.PARTY, b.spec.digest),
        SignatureError,
        "not that of 'keeper'",
    ),
    # Results.
    (
        "a recipient fetches results that are not there yet",
        lambda b: b.fetch(ALDER, "party-a"),
        ProtocolError,
        "no results yet",
    ),
    (
        "the key node's organisation, no recipient, fetches results",
        lambda b: b.fetch(KEEPER, "keeper"),
        ProtocolError,
        "keeper receives no results",
    ),
    (
        "the compute node's organisation, no recipient, fetches a party's",
        lambda b: b.fetch(HUB, "party-a"),
        ProtocolError,
        "hub receives no results",
    ),
    # Audit logs: how many entries there are would tell how many blocks came.
    (
        "a party asks for the log's head before all blocks are complete",
        lambda b: b.call(
            ALDER,
            "GetCheckpoint",
            audit_pb2.GetCheckpointRequest(**b.envelope(ALDER, Role.PARTY)),
        ),
        ProtocolError,
        "before all blocks are complete",
    ),
    (
        "the key node does",
        lambda b: b.call(
            KEEPER,
            "GetCheckpoint",
            audit_pb2.GetCheckpointRequest(**b.envelope(KEEPER, Role.KEY)),
        ),
        ProtocolError,
        "before all blocks are complete",
    ),
    (
        "a party leaves its own before all blocks are complete",
        lambda b: b.call(
            ALDER,
            "LeaveCheckpoint",
            audit_pb2.LeaveCheckpointRequest(**b.envelope(ALDER, Role.PARTY)),
        ),
        ProtocolError,
        "before all blocks are complete",
    ),
    # Nothing of all that has changed anything.
    ("a party listens", lambda b: b.watch(ALDER, Role.PARTY), None, ""),
    (
        "the key node's attestation, repeated",
        lambda b: b.attest(b.spec.digest),
        None,
        "",
    ),
]


def check(operation: Operation, bench: Any) -> None:
    _, perform, error, reason = operation
    if error is None:
        perform(bench)
        return
    with pytest.raises(MpcsegError, match=reason) as caught:
        perform(bench)
    assert type(caught.value) is error
    assert caught.value.message.isprintable()


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation[0])
def test_who_may_do_what_while_blocks_are_collected(bench: Bench, operation: Operation) -> None:
    check(operation, bench)


@dataclass
class Finished:
    """A study of two organisations whose results are there."""

    nodes: Nodes
    ran: Ran
    folder: Path

    def fetch(self, own: Identity) -> bytes:
        return fetch_results(
            self.nodes.spec,
            own,
            self.ran.address,
            Recorder(),
            audit=audit_folder(),
            patience=0.3,
        )

    def fetch_of(self, own: Identity, recipient: str) -> bytes:
        request = blob_pb2.FetchResultRequest(
            study_digest=self.nodes.spec.digest, recipient=recipient
        )
        line = Connection(self.nodes.spec, own, self.ran.address, progress=Recorder(), patience=0.3)
        with line:
            name = BlobName(BlobKind.RESULT)
            return line.fetch(line.stub.FetchResult, request, name, 10**6)

    def open(self, own: Identity, sealed_for: Identity, spec: StudySpec | None = None) -> None:
        opened = open_results(spec or self.nodes.spec, own, self.fetch(sealed_for))
        assert opened.recipient == own.name
        assert opened.report is not None
        assert sum(segment.size for segment in opened.report.segments) == pytest.approx(90, abs=2)

    def end(self, own: Identity, how: Callable[..., bytes]) -> None:
        record = how(self.nodes.spec, own, self.ran.address, Recorder(), patience=0.3)
        closed = verify_record(self.nodes.spec, record)
        assert closed.reason == "closed"
        assert closed.request is not None
        assert closed.request.organisation == own.name
        assert closed.key_destroyed is not None
        assert closed.key_destroyed.decrypted_values == self.ran.key.decrypted_values
        assert closed.purged.n_blobs > 0
        assert not (self.folder / "storage" / "study").exists()
        self.ran.compute.join()

    def serve_again(self) -> None:
        arguments = (self.nodes.spec, self.nodes.compute, "127.0.0.1:0", self.folder / "storage")
        serve_compute(*arguments, 1, Recorder())


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    nodes, folder = two_organisations(), tmp_path_factory.mktemp("two")
    ran = run_study(nodes, folder, [make_cohort(60, 2, 1), make_cohort(30, 2, 2)])
    return Finished(nodes, ran, folder)


A, B = identity("alder"), identity("birch")
ANOTHER = study_spec(compute="birch", key="alder", parties=("alder", "birch"), name="another")

AFTERWARDS: list[tuple[str, Callable[[Finished], object], type[MpcsegError] | None, str]] = [
    ("alder fetches and opens", lambda f: f.open(A, A), None, ""),
    ("alder fetches again", lambda f: f.open(A, A), None, ""),
    ("birch, which runs the compute node, opens its own", lambda f: f.open(B, B), None, ""),
    ("birch opens alder's", lambda f: f.open(B, A), SealError, "for another organisation"),
    (
        "alder opens them under another agreement",
        lambda f: f.open(A, A, ANOTHER),
        SealError,
        "another study",
    ),
    (
        "alder fetches birch's",
        lambda f: f.fetch_of(A, "birch"),
        ProtocolError,
        "not sealed to it",
    ),
    (
        "a stranger fetches alder's",
        lambda f: f.fetch_of(STRANGER, "alder"),
        UnknownCertificateError,
        "does not know",
    ),
    (
        "birch withdraws after the first round",
        lambda f: f.end(B, withdraw),
        ProtocolError,
        "after the first round",
    ),
    ("alder, which runs the key node, closes", lambda f: f.end(A, close_study), None, ""),
    (
        "birch closes a second time",
        lambda f: f.end(B, close_study),
        NodeUnreachableError,
        "does not answer",
    ),
    (
        "alder fetches after the closing",
        lambda f: f.fetch(A),
        NodeUnreachableError,
        "does not answer",
    ),
    (
        "birch serves the study again",
        lambda f: f.serve_again(),
        StudyClosedError,
        r"ended on .* \(closed\)",
    ),
]


def test_who_may_do_what_when_the_results_are_there(finished: Finished) -> None:
    for operation in AFTERWARDS:
        try:
            check(operation, finished)  # type: ignore[arg-type]
        except BaseException as error:
            error.add_note(f"operation: {operation[0]}")
            raise


def test_two_organisations_need_no_third(finished: Finished) -> None:
    """Each is there twice, by one identity."""
    spec = finished.nodes.spec
    assert {card.name for card in spec.organisations} == {"alder", "birch"}
    assert [party.n_records for party in finished.ran.parties] == [60, 30]
    assert finished.ran.key.result.n_records == pytest.approx(90, abs=0.5)
