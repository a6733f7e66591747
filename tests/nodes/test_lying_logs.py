"""A compute node that rewrites its audit log during a study, or shows another one.

Real logs, real signatures, real TLS: what was agreed about the exchange holds, or nothing more is
sent to it and nothing of it is decrypted.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mpcseg.audit.log import AuditLog
from mpcseg.audit.records import Checkpoint, NodeRole, RoundOpened
from mpcseg.errors import (
    LogError,
    MalformedBlobError,
    MpcsegError,
    ProtocolError,
    SignatureError,
)
from mpcseg.nodes.key_rounds import LEDGER_FILE
from mpcseg.reference.rounds import ADMISSION_RULES
from mpcseg.study.identity import Identity
from mpcseg.wire import conversions as convert
from mpcseg.wire.v1 import audit_pb2
from tests.nodes.material import Material
from tests.nodes.studies import Nodes, audit_folder
from tests.nodes.test_lying_compute_node import Liar, take_part
from tests.nodes.test_lying_to_the_key_node import LiarToKeyNode, lead

Shown = tuple[Checkpoint, list[bytes]]
Lie = Callable[[Nodes, AuditLog, int], Shown]
"""What is shown in the second exchange, with the log of the first and the size known of it."""


def grow(log: AuditLog, *rounds: int) -> None:
    log.append(*(RoundOpened(round=index, kind="admission") for index in rounds))


def head(log: AuditLog, known: int) -> Shown:
    shown = log.checkpoint()
    return shown, log._tree.consistency_proof(min(known, shown.size), shown.size)


def goes_on(_: Nodes, log: AuditLog, known: int) -> Shown:
    grow(log, 7)
    return head(log, known)


def another_log(nodes: Nodes, own: Identity, role: NodeRole, known: int, size: int) -> Shown:
    with AuditLog(audit_folder(), nodes.spec, own, role) as log:
        grow(log, *range(100, 100 + size))
        return head(log, known)


def cut(nodes: Nodes, _: AuditLog, known: int) -> Shown:
    """Rolled back to an older copy: the same entries, less the last."""
    with AuditLog(audit_folder(), nodes.spec, nodes.compute, "compute") as log:
        grow(log, *range(known - 1))
        return head(log, known)


def rewritten(nodes: Nodes, _: AuditLog, known: int) -> Shown:
    return another_log(nodes, nodes.compute, "compute", known, known + 2)


def split_view(nodes: Nodes, _: AuditLog, known: int) -> Shown:
    return another_log(nodes, nodes.compute, "compute", known, known)


def unproven(nodes: Nodes, log: AuditLog, known: int) -> Shown:
    return goes_on(nodes, log, known)[0], []


def of_another_node(nodes: Nodes, _: AuditLog, known: int) -> Shown:
    return another_log(nodes, nodes.parties[0], "party", known, known + 1)


def unsigned(nodes: Nodes, log: AuditLog, known: int) -> Shown:
    shown, proof = goes_on(nodes, log, known)
    return shown.model_copy(update={"signature": bytes(64)}), proof


def signed_by_a_stranger(nodes: Nodes, log: AuditLog, known: int) -> Shown:
    shown, proof = goes_on(nodes, log, known)
    with AuditLog(audit_folder(), nodes.spec, nodes.stranger, "compute") as other:
        grow(other, 1)
        signature = other.checkpoint().signature
    return shown.model_copy(update={"signature": signature}), proof


class Rewriter:
    """Answers the first exchange truly, and the second as the lie wants it."""

    def __init__(self, nodes: Nodes, lie: Lie) -> None:
        self._nodes, self._lie = nodes, lie
        self.n_exchanges = 0

    def answer(self, log: AuditLog, request: Any) -> audit_pb2.GetCheckpointReply:
        self.n_exchanges += 1
        if self.n_exchanges == 1:
            grow(log, 0, 1, 2)
            shown, proof = head(log, request.known_size)
        else:
            assert request.known_size == 3
            shown, proof = self._lie(self._nodes, log, request.known_size)
        return audit_pb2.GetCheckpointReply(
            study_digest=self._nodes.spec.digest,
            checkpoint=convert.checkpoint_to_wire(shown),
            consistency=proof,
        )


class RewriterToKeyNode(LiarToKeyNode):
    def __init__(self, nodes: Nodes, lie: Lie) -> None:
        super().__init__(len(nodes.parties) * len(ADMISSION_RULES), b"short")
        self.rewriter = Rewriter(nodes, lie)

    def GetCheckpoint(self, request: Any, context: Any) -> audit_pb2.GetCheckpointReply:  # noqa: N802
        assert self.log is not None
        return self.rewriter.answer(self.log, request)


class RewriterToParty(Liar):
    def __init__(self, nodes: Nodes, material: Material, lie: Lie) -> None:
        super().__init__(material.attestation(), material.public_key)
        self.rewriter = Rewriter(nodes, lie)

    def GetCheckpoint(self, request: Any, context: Any) -> audit_pb2.GetCheckpointReply:  # noqa: N802
        assert self.log is not None
        return self.rewriter.answer(self.log, request)


LIES: dict[Lie, tuple[type[MpcsegError], str]] = {
    cut: (LogError, "has 2 entries, and had 3 before"),
    rewritten: (LogError, "does not go on from the 3 entries"),
    split_view: (LogError, "does not go on from the 3 entries"),
    unproven: (LogError, "does not go on from the 3 entries"),
    of_another_node: (ProtocolError, "checkpoint of another log"),
    unsigned: (SignatureError, "not signed by it"),
    signed_by_a_stranger: (SignatureError, "not signed by it"),
}


def test_a_log_that_goes_on_is_taken(nodes: Nodes, material: Material, tmp_path: Path) -> None:
    """So that the refusals below are of the lie, not of how the server here was made."""
    liar = RewriterToKeyNode(nodes, goes_on)
    assert type(lead(nodes, liar, tmp_path)) is MalformedBlobError  # of the release
    assert liar.n_downloads > 0
    party = RewriterToParty(nodes, material, goes_on)
    take_part(nodes, party)
    assert (party.rewriter.n_exchanges, party.aborts) == (2, [])


@pytest.mark.parametrize("lie", LIES)
def test_nothing_is_decrypted_when_the_compute_node_changes_its_log(
    nodes: Nodes, tmp_path: Path, lie: Lie
) -> None:
    error, reason = LIES[lie]
    liar = RewriterToKeyNode(nodes, lie)
    caught = lead(nodes, liar, tmp_path)
    assert type(caught) is error
    assert reason in caught.message
    assert liar.rewriter.n_exchanges == 2
    assert (liar.n_downloads, liar.n_decrypted) == (0, [0])
    assert liar.aborts == [error.code]
    assert not (tmp_path / LEDGER_FILE).exists()


@pytest.mark.parametrize("lie", [cut, rewritten])
def test_a_party_notices_a_changed_log_at_the_end(
    nodes: Nodes, material: Material, lie: Lie
) -> None:
    error, reason = LIES[lie]
    liar = RewriterToParty(nodes, material, lie)
    with pytest.raises(error, match=reason):
        take_part(nodes, liar)
    assert liar.aborts == [error.code]
