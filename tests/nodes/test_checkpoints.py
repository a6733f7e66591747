"""Checkpoints of audit logs between nodes: who may show, leave and take what, over real TLS."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mpcseg.audit.checkpoint import sign_checkpoint, verify_checkpoint
from mpcseg.audit.log import AuditLog, log_path
from mpcseg.audit.log_file import read_log
from mpcseg.audit.merkle import EMPTY_ROOT
from mpcseg.audit.records import Checkpoint, CheckpointTaken, NodeRole, RoundOpened
from mpcseg.errors import (
    DuplicateNodeError,
    LogError,
    MpcsegError,
    ParameterMismatchError,
    ProtocolError,
    SignatureError,
    UnknownCertificateError,
)
from mpcseg.nodes.client import ComputeClient
from mpcseg.nodes.roles import Role
from mpcseg.study.closing import now, sign_key_destroyed
from mpcseg.study.identity import Identity
from mpcseg.wire import conversions as convert
from mpcseg.wire.v1 import audit_pb2
from tests.nodes.material import Material
from tests.nodes.studies import Nodes, connect, start_compute
from tests.organisations import identity

ALDER, BIRCH, KEEPER = identity("party-a"), identity("party-b"), identity("keeper")
IMPOSTOR = identity("party-a", 1)
"""Of the same name, with other keys."""


@dataclass
class Bench:
    """A compute node that has everybody's blocks, and its clients."""

    nodes: Nodes
    address: str
    clients: dict[str, ComputeClient]
    sessions: dict[str, str]

    def get(self, own: str, size: int = 0, **envelope: str) -> Checkpoint:
        client = self.clients[own]
        request = audit_pb2.GetCheckpointRequest(**self._envelope(own, envelope), known_size=size)
        reply = client.call(client.stub.GetCheckpoint, request)
        taken = convert.checkpoint_from_wire(reply.checkpoint)
        verify_checkpoint(self.nodes.spec, taken)
        assert (taken.organisation, taken.role) == (self.nodes.compute.name, "compute")
        return taken

    def leave(
        self, own: str, checkpoint: Any, proof: list[bytes] | None = None, **envelope: str
    ) -> None:
        client = self.clients[own]
        if isinstance(checkpoint, Checkpoint):
            checkpoint = convert.checkpoint_to_wire(checkpoint)
        request = audit_pb2.LeaveCheckpointRequest(
            **self._envelope(own, envelope), checkpoint=checkpoint, consistency=proof or []
        )
        client.call(client.stub.LeaveCheckpoint, request)

    def head(self, own: str) -> Checkpoint:
        return self.clients[own].log.checkpoint()

    def grown(self, own: str) -> tuple[Checkpoint, list[bytes]]:
        """The head of a log after one entry more, and the proof from what is known of it."""
        client = self.clients[own]
        head = client.log.checkpoint()
        client.log.append(RoundOpened(round=0, kind="admission"))
        later = client.log.checkpoint()
        return later, client.log.consistency_proof(head.size, later.size)

    def forged(
        self, signer: Identity, role: NodeRole = "party", study: str = "", size: int = 10**6
    ) -> Checkpoint:
        study = study or self.nodes.spec.digest
        root = bytes(32) if size else EMPTY_ROOT
        return sign_checkpoint(signer, role, study, size, root)

    def of_a_stranger(self) -> None:
        spec, stranger = self.nodes.spec, self.nodes.stranger
        with connect(self.nodes, stranger, self.address, role=Role.PARTY, patience=0.3) as client:
            request = audit_pb2.GetCheckpointRequest(
                study_digest=spec.digest, session=self.sessions["party-a"]
            )
            client.call(client.stub.GetCheckpoint, request)

    def _envelope(self, own: str, changed: dict[str, str]) -> dict[str, str]:
        right = {"study_digest": self.nodes.spec.digest, "session": self.sessions[own]}
        return {**right, **changed}


@pytest.fixture(scope="module")
def bench(
    nodes: Nodes, material: Material, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bench]:
    storage = tmp_path_factory.mktemp("checkpoints")
    running, address = start_compute(nodes, storage, patience=600.0)
    with (
        connect(nodes, nodes.key, address) as key,
        connect(nodes, nodes.parties[0], address) as alder,
        connect(nodes, nodes.parties[1], address) as birch,
    ):
        clients = {"keeper": key, "party-a": alder, "party-b": birch}
        sessions = {name: client.join().session for name, client in clients.items()}
        material.publish(key)
        material.send_block(alder)
        with pytest.raises(ProtocolError, match="another party has encrypted"):
            material.send_block(birch)
        for client in clients.values():  # not all blocks are there yet
            with pytest.raises(ProtocolError, match="before all blocks are complete"):
                client.exchange_checkpoints()
            assert client.log.known_size("hub", "compute") == 0
        material.encrypted_afresh().send_block(birch)
        for client in clients.values():
            client.exchange_checkpoints()
        yield Bench(nodes, address, clients, sessions)
        said = sign_key_destroyed(nodes.key, nodes.spec.digest, 0, now())
        key.report_destroyed(said)  # so that nobody waits for it
        key.abort(MpcsegError("done"))
    running.error()
    log = read_log(log_path(storage, nodes.spec, "compute", "hub"), nodes.spec)
    taken = [e.record.checkpoint for e in log.entries if isinstance(e.record, CheckpointTaken)]
    # Each that went on once, those of the operations below among them, and nothing else.
    assert len(taken) == len({(c.organisation, c.size) for c in taken})
    assert {c.organisation for c in taken} == {"keeper", "party-a", "party-b"}
    for organisation, client in clients.items():
        sizes = [c.size for c in taken if c.organisation == organisation]
        assert sizes == sorted(sizes)
        assert sizes[-1] <= len(client.log)


A = "party-a"
MALFORMED, UNSIGNED, OTHERS = "not what it must be", "not signed by it", "of another log"

Operation = tuple[str, Callable[[Bench], object], type[MpcsegError] | None, str]

OPERATIONS: list[Operation] = [
    ("a party asks for the head", lambda b: b.get(A), None, ""),
    ("the key node asks for the head", lambda b: b.get("keeper"), None, ""),
    (
        "a proof from a size that was never signed, which would show single entries' hashes",
        lambda b: b.get("keeper", size=1),
        LogError,
        "does not go on",
    ),
    (
        "a stranger asks with a party's session",
        lambda b: b.of_a_stranger(),
        UnknownCertificateError,
        "does not know",
    ),
    (
        "a party asks with another's session",
        lambda b: b.get(A, session=b.sessions["party-b"]),
        DuplicateNodeError,
        "not the session",
    ),
    (
        "a party asks for that of another study",
        lambda b: b.get(A, study_digest="0" * 64),
        ParameterMismatchError,
        "another study",
    ),
    (
        "a party knows more entries than there are",
        lambda b: b.get(A, size=10**6),
        LogError,
        "does not go on from one of 1000000",
    ),
    (
        "a party knows more than can be counted",
        lambda b: b.get(A, size=2**64 - 1),
        LogError,
        "does not go on",
    ),
    ("a party leaves its head again", lambda b: b.leave(A, b.head(A)), None, ""),
    ("a party leaves a later one", lambda b: b.leave(A, *b.grown(A)), None, ""),
    ("a party leaves it once more", lambda b: b.leave(A, b.head(A)), None, ""),
    (
        "a party leaves one for another study",
        lambda b: b.leave(A, b.head(A), study_digest="0" * 64),
        ParameterMismatchError,
        "another study",
    ),
    ("a party leaves the key node's", lambda b: b.leave(A, b.head("keeper")), LogError, OTHERS),
    ("a party leaves another party's", lambda b: b.leave(A, b.head("party-b")), LogError, OTHERS),
    (
        "a party leaves one as key node",
        lambda b: b.leave(A, b.forged(ALDER, "key")),
        LogError,
        OTHERS,
    ),
    (
        "a party leaves one as recipient",
        lambda b: b.leave(A, b.forged(ALDER, "recipient")),
        LogError,
        OTHERS,
    ),
    (
        "the key node leaves one as party",
        lambda b: b.leave("keeper", b.forged(KEEPER)),
        LogError,
        OTHERS,
    ),
    (
        "a party leaves one that an impostor signed",
        lambda b: b.leave(A, b.forged(IMPOSTOR)),
        SignatureError,
        UNSIGNED,
    ),
    (
        "a party leaves one that another party signed",
        lambda b: b.leave(A, b.forged(BIRCH).model_copy(update={"organisation": "party-a"})),
        SignatureError,
        UNSIGNED,
    ),
    (
        "a party leaves one that it signed for another study",
        lambda b: b.leave(A, b.forged(ALDER, study="0" * 64)),
        SignatureError,
        UNSIGNED,
    ),
    (
        "a party leaves one with a signature of nothing",
        lambda b: b.leave(A, b.head(A).model_copy(update={"signature": bytes(64)})),
        SignatureError,
        UNSIGNED,
    ),
    (
        "a party leaves one whose time was changed",
        lambda b: b.leave(A, b.head(A).model_copy(update={"time": "2001-01-01T00:00:00Z"})),
        SignatureError,
        UNSIGNED,
    ),
    (
        "a party leaves one of a log that was rewritten",
        lambda b: b.leave(A, b.forged(ALDER), [bytes(32)] * 7),
        LogError,
        "does not go on",
    ),
    (
        "a party leaves one of a log that was cut",
        lambda b: b.leave(A, b.forged(ALDER, size=1)),
        LogError,
        "has 1 entries",
    ),
    (
        "a party leaves one of an empty log",
        lambda b: b.leave(A, b.forged(ALDER, size=0)),
        LogError,
        "has 0 entries",
    ),
    (
        "a party leaves another root of the same size",
        lambda b: b.leave(A, b.forged(ALDER, size=b.head(A).size)),
        LogError,
        "does not go on",
    ),
    (
        "a party leaves no proof",
        lambda b: b.leave("party-b", b.grown("party-b")[0]),
        LogError,
        "does not go on",
    ),
    (
        "a party leaves a proof without end",
        lambda b: b.leave(A, b.head(A), [bytes(32)] * 1000),
        ProtocolError,
        MALFORMED,
    ),
    (
        "a party leaves a proof of short hashes",
        lambda b: b.leave(A, b.head(A), [bytes(31)]),
        ProtocolError,
        MALFORMED,
    ),
    (
        "a party leaves a short root",
        lambda b: b.leave(
            A, audit_pb2.Checkpoint(organisation="party-a", role="party", size=1, root=b"short")
        ),
        ProtocolError,
        MALFORMED,
    ),
    (
        "a party leaves a name that steers a terminal",
        lambda b: b.leave(
            A, audit_pb2.Checkpoint(organisation="\x1b[2J", role="party", size=1, root=bytes(32))
        ),
        ProtocolError,
        MALFORMED,
    ),
    (
        "a party leaves nothing",
        lambda b: b.leave(A, audit_pb2.Checkpoint()),
        ProtocolError,
        MALFORMED,
    ),
    (
        "nothing of all that has changed anything",
        lambda b: b.clients["party-a"].exchange_checkpoints(),
        None,
        "",
    ),
]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation[0])
def test_who_may_exchange_which_checkpoint(bench: Bench, operation: Operation) -> None:
    _, perform, error, reason = operation
    if error is None:
        perform(bench)
        return
    with pytest.raises(MpcsegError, match=reason) as caught:
        perform(bench)
    assert type(caught.value) is error
    assert caught.value.message.isprintable()


def test_a_client_whose_log_was_rolled_back_is_refused(bench: Bench, tmp_path: Path) -> None:
    """Its operator put back an older copy: it can neither prove its way nor be taken without."""
    nodes, client = bench.nodes, bench.clients["party-b"]
    client.exchange_checkpoints()
    folder = client.log.path.parent
    older = tmp_path / "older"
    shutil.copytree(folder, older)  # nobody writes at the moment
    client.log.append(RoundOpened(round=0, kind="admission"))
    client.exchange_checkpoints()
    known = client.log.known_size("hub", "compute")
    whole = client.log
    with AuditLog(older, nodes.spec, nodes.parties[1], "party") as rolled_back:
        client.log = rolled_back
        try:
            with pytest.raises(LogError, match="does not go on from"):
                client.exchange_checkpoints()
            with pytest.raises(LogError, match="entries, and had"):
                bench.leave("party-b", rolled_back.checkpoint())
            for _ in range(5):  # past what it has signed before
                rolled_back.append(RoundOpened(round=1, kind="moments"))
            with pytest.raises(LogError, match="does not go on"):
                client.exchange_checkpoints()
        finally:
            client.log = whole
    client.exchange_checkpoints()
    assert whole.known_size("hub", "compute") >= known
