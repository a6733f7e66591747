"""Signed checkpoints: what stops a node from rewriting its log alone.

A checkpoint is a Merkle tree head under the signature of the log's organisation. Nodes exchange
them during a study and enter what they take into logs of their own. Whoever rewrites its log later
contradicts what others hold under its signature. Runs on: every node, and at a reviewer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import rfc8785

from mpcseg.audit.merkle import verify_consistency
from mpcseg.audit.records import Checkpoint, NodeRole
from mpcseg.errors import LogError, SignatureError
from mpcseg.study.card import PublicCard, verify_signature
from mpcseg.study.closing import now
from mpcseg.study.identity import Identity
from mpcseg.study.spec import StudySpec

_PURPOSE = "audit checkpoint"
_FORMAT = "mpcseg checkpoint 1"


def sign_checkpoint(
    identity: Identity, role: NodeRole, study_digest: str, size: int, root: bytes
) -> Checkpoint:
    """Sign the head of one's own log."""
    unsigned: dict[str, Any] = {
        "organisation": identity.name,
        "role": role,
        "size": size,
        "root": root.hex(),
        "time": now(),
    }
    signature = identity.sign(_PURPOSE, _signed_bytes(study_digest, unsigned))
    return Checkpoint.model_validate({**unsigned, "signature": signature})


def verify_checkpoint(spec: StudySpec, checkpoint: Checkpoint) -> None:
    """Check that an organisation of the study has signed a checkpoint, for this study.

    Raises:
        LogError: no such node is in the study.
        SignatureError: the signature is not its own, or for another study.
    """
    card = card_in_role(spec, checkpoint.organisation, checkpoint.role)
    signed = checkpoint.model_dump(mode="json", exclude={"signature"})
    try:
        verify_signature(card, _PURPOSE, _signed_bytes(spec.digest, signed), checkpoint.signature)
    except SignatureError:
        raise SignatureError(
            f"a checkpoint of the {checkpoint.role} node {checkpoint.organisation} is not signed "
            "by it for this study"
        ) from None


def verify_goes_on(earlier: Checkpoint | None, later: Checkpoint, proof: Sequence[bytes]) -> None:
    """Check that a log goes on from the checkpoint that was taken of it before.

    Args:
        earlier: taken before; None for none.
        later: of the same log.
        proof: consistency proof between the two.

    Raises:
        LogError: it was rewritten, or is shorter than it was.
    """
    if earlier is None:
        return
    if later.size < earlier.size:
        raise LogError(
            f"the audit log of the {later.role} node {later.organisation} has {later.size} "
            f"entries, and had {earlier.size} before",
            "It was cut or replaced by an older copy. Stop, and ask its operator.",
        )
    try:
        verify_consistency(
            earlier.size,
            bytes.fromhex(earlier.root),
            later.size,
            bytes.fromhex(later.root),
            proof,
        )
    except LogError:
        raise LogError(
            f"the audit log of the {later.role} node {later.organisation} does not go on from the "
            f"{earlier.size} entries that it had before",
            "It was rewritten. Stop, and ask its operator.",
        ) from None


def card_in_role(spec: StudySpec, organisation: str, role: NodeRole) -> PublicCard:
    """The card of an organisation that has a role in the study.

    Raises:
        LogError: it has not.
    """
    names = {
        "compute": (spec.compute.name,),
        "key": (spec.key.name,),
        "party": tuple(party.name for party in spec.parties),
        "recipient": spec.recipients,
    }[role]
    if organisation not in names:
        raise LogError(f"the agreement has no {role} node '{organisation}'")
    return spec.card_of(organisation)


def _signed_bytes(study_digest: str, fields: dict[str, Any]) -> bytes:
    return rfc8785.dumps({"format": _FORMAT, "study": study_digest, **fields})
