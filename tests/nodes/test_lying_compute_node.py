"""A compute node that lies to a party: about the public key, and about who takes part."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import pytest

from mpcseg.audit.log import AuditLog
from mpcseg.errors import KeyFingerprintError, ProtocolError
from mpcseg.nodes.party import run_party
from mpcseg.nodes.planning import study_plan
from mpcseg.nodes.roles import Role
from mpcseg.study.identity import Identity
from mpcseg.wire import conversions as convert
from mpcseg.wire.blobs import chunks_of, header_of
from mpcseg.wire.events import (
    KEYS_PURPOSE,
    AllPartiesReady,
    Event,
    KeyAttestation,
    KeysReady,
    NodeAbsent,
    NodeBack,
    PartyReady,
    ResultsReady,
    attested_bytes,
)
from mpcseg.wire.v1 import audit_pb2, blob_pb2, compute_pb2_grpc, event_pb2, round_pb2, session_pb2
from tests.nodes.material import Material, make_material
from tests.nodes.studies import Nodes, Recorder, audit_folder, make_cohort


class Liar(compute_pb2_grpc.ComputeNodeServicer):
    """Offers whatever key it was given, and takes every upload."""

    def __init__(
        self, attestation: KeyAttestation, public_key: bytes, *, first: Sequence[Event] = ()
    ) -> None:
        self._attestation = attestation
        self._public_key = public_key
        self._first = first
        self.says_committed = False
        self.committed = threading.Event()
        self.study = ""
        self.log: AuditLog | None = None
        self.n_uploads = 0
        self.aborts: list[str] = []

    def Join(self, request: Any, context: Any) -> session_pb2.JoinReply:  # noqa: N802  named by the .proto
        self.study = self.study or request.study_digest
        return session_pb2.JoinReply(
            session="session", study_digest=self.study, committed=self.says_committed
        )

    def Watch(self, request: Any, context: Any) -> Iterator[event_pb2.StudyEvent]:  # noqa: N802
        events = [*self._first, KeysReady(self._attestation)]
        for number, event in enumerate(events, start=1):
            yield convert.event_to_wire(number, event, self.study)
        while context.is_active():
            if self.committed.wait(0.1):
                last = (AllPartiesReady(1), ResultsReady())
                for number, event in enumerate(last, start=len(events) + 1):
                    yield convert.event_to_wire(number, event, self.study)
                return

    def Download(self, request: Any, context: Any) -> Iterator[blob_pb2.DownloadReply]:  # noqa: N802
        header = header_of(convert.name_from_wire(request.name), self._public_key)
        opening = blob_pb2.DownloadHeader(
            study_digest=self.study, blob=convert.header_to_wire(header)
        )
        yield blob_pb2.DownloadReply(header=opening)
        for chunk in chunks_of(self._public_key):
            yield blob_pb2.DownloadReply(chunk=convert.chunk_to_wire(chunk))

    def Upload(self, requests: Any, context: Any) -> blob_pb2.UploadReply:  # noqa: N802
        self.n_uploads += 1
        for _ in requests:
            pass
        return blob_pb2.UploadReply(study_digest=self.study)

    def Commit(self, request: Any, context: Any) -> round_pb2.CommitReply:  # noqa: N802
        self.committed.set()
        return round_pb2.CommitReply(study_digest=self.study)

    def GetCheckpoint(self, request: Any, context: Any) -> audit_pb2.GetCheckpointReply:  # noqa: N802
        assert self.log is not None
        head = convert.checkpoint_to_wire(self.log.checkpoint())
        return audit_pb2.GetCheckpointReply(study_digest=self.study, checkpoint=head)

    def LeaveCheckpoint(  # noqa: N802
        self, request: Any, context: Any
    ) -> audit_pb2.LeaveCheckpointReply:
        return audit_pb2.LeaveCheckpointReply(study_digest=self.study)

    def Abort(self, request: Any, context: Any) -> session_pb2.AbortReply:  # noqa: N802
        self.aborts.append(request.reason.code)
        return session_pb2.AbortReply(study_digest=self.study)


@contextmanager
def serving(nodes: Nodes, liar: Liar) -> Iterator[str]:
    """Serve with the compute node's own identity over mutual TLS."""
    known = b"".join(node.certificate_pem for node in (nodes.key, *nodes.parties))
    liar.log = AuditLog(audit_folder(), nodes.spec, nodes.compute, "compute")
    with ThreadPoolExecutor(8) as pool:
        server = grpc.server(pool)
        compute_pb2_grpc.add_ComputeNodeServicer_to_server(liar, server)
        port = server.add_secure_port(
            "127.0.0.1:0",
            grpc.ssl_server_credentials(
                [(nodes.compute.private_key_pem, nodes.compute.certificate_pem)],
                known,
                require_client_auth=True,
            ),
        )
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.stop(0).wait()


def take_part(nodes: Nodes, liar: Liar) -> list[str]:
    """Run a party to its end; returns what its operator was shown."""
    progress = Recorder()
    with serving(nodes, liar) as address:
        cohort = make_cohort(40, 2, 0)
        run_party(
            nodes.spec,
            nodes.parties[0],
            address,
            cohort,
            progress,
            audit=audit_folder(),
            patience=2.0,
        )
    return progress.messages


def attest(nodes: Nodes, signer: Identity, key: bytes, study: str = "") -> KeyAttestation:
    digest = hashlib.sha256(key).digest()
    study = study or nodes.spec.digest
    signed = attested_bytes(study, study_plan(nodes.spec).digest, digest)
    return KeyAttestation(digest, signer.sign(KEYS_PURPOSE, signed))


def assert_refused(nodes: Nodes, liar: Liar) -> None:
    with pytest.raises(KeyFingerprintError):
        take_part(nodes, liar)
    assert liar.n_uploads == 0
    assert liar.aborts == [KeyFingerprintError.code]


@pytest.fixture(scope="module")
def own(nodes: Nodes) -> Material:
    """Keys that the compute node has made itself, well-formed in every way."""
    return make_material(nodes)


def test_an_honest_key_is_taken(nodes: Nodes, material: Material) -> None:
    """So that the refusals below are of the lie, not of how the server here was made."""
    honest = Liar(material.attestation(), material.public_key)
    take_part(nodes, honest)
    assert honest.n_uploads == nodes.spec.n_features + 1
    assert honest.aborts == []


@pytest.mark.parametrize("signer", ["compute", "party", "stranger"])
def test_a_key_that_somebody_else_signed_is_refused_and_nothing_is_sent(
    nodes: Nodes, own: Material, signer: str
) -> None:
    identity = {"compute": nodes.compute, "party": nodes.parties[1], "stranger": nodes.stranger}
    attestation = attest(nodes, identity[signer], own.public_key)
    assert_refused(nodes, Liar(attestation, own.public_key))


def test_another_key_than_the_signed_one_is_refused_and_nothing_is_sent(
    nodes: Nodes, material: Material, own: Material
) -> None:
    assert_refused(nodes, Liar(material.attestation(), own.public_key))


def test_a_key_signed_for_another_study_is_refused_and_nothing_is_sent(
    nodes: Nodes, material: Material
) -> None:
    attestation = attest(nodes, nodes.key, material.public_key, study="0" * 64)
    assert_refused(nodes, Liar(attestation, material.public_key))


def test_a_key_node_signature_moved_to_another_key_is_refused(
    nodes: Nodes, material: Material, own: Material
) -> None:
    digest = hashlib.sha256(own.public_key).digest()
    moved = KeyAttestation(digest, material.attestation().signature)
    assert_refused(nodes, Liar(moved, own.public_key))


def test_blocks_that_this_party_never_sent_are_not_its_own(
    nodes: Nodes, material: Material
) -> None:
    """A compute node could otherwise use blocks of its own making in a party's name."""
    liar = Liar(material.attestation(), material.public_key)
    liar.says_committed = True
    liar.committed.set()  # and the study goes on without it
    with pytest.raises(ProtocolError, match="this node's audit log does not"):
        take_part(nodes, liar)
    assert liar.n_uploads == 0


STEERING = "\x1b[2J\x1b]0;owned\x07"


@pytest.mark.parametrize(
    "event",
    [
        PartyReady(STEERING),
        PartyReady("keeper"),
        NodeAbsent(STEERING, Role.PARTY, 5.0),
        NodeAbsent("party-z", Role.PARTY, 5.0),
        NodeAbsent("keeper", Role.PARTY, 5.0),
        NodeBack(STEERING, Role.KEY),
        NodeBack("x" * 100_000, Role.KEY),
        NodeBack("party-a", Role.KEY),
    ],
    ids=lambda event: f"{type(event).__name__} {event!r:.30}",
)
def test_a_name_that_is_not_in_the_study_is_refused(
    nodes: Nodes, material: Material, event: Event
) -> None:
    liar = Liar(material.attestation(), material.public_key, first=[event])
    with pytest.raises(ProtocolError, match="not in the study") as caught:
        take_part(nodes, liar)
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 100
    assert liar.n_uploads == 0


def test_names_of_the_study_are_shown(nodes: Nodes, material: Material) -> None:
    first = [
        PartyReady("party-b"),
        NodeAbsent("keeper", Role.KEY, 5.0),
        NodeBack("keeper", Role.KEY),
    ]
    shown = take_part(nodes, Liar(material.attestation(), material.public_key, first=first))
    assert shown[:3] == [
        "party node party-b is ready",
        "key node keeper does not answer; the study waits 5 s for it",
        "key node keeper is back",
    ]


def test_an_answer_of_another_study_is_refused_and_nothing_is_sent(
    nodes: Nodes, material: Material
) -> None:
    liar = Liar(material.attestation(), material.public_key)
    liar.study = "0" * 64
    with pytest.raises(ProtocolError, match="answered for another study"):
        take_part(nodes, liar)
    assert liar.n_uploads == 0
