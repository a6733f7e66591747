"""One entry of a log, shown without the rest: a proof that anybody can check.

An organisation that does not want to hand out its log can show a single entry: the entry itself, a
checkpoint under its signature, and the inclusion proof between the two (RFC 6962).
"""

from __future__ import annotations

import json
from typing import Any

import rfc8785
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mpcseg.audit.checkpoint import verify_checkpoint
from mpcseg.audit.log_file import LogFile
from mpcseg.audit.merkle import leaf_hash, verify_inclusion
from mpcseg.audit.records import Checkpoint, Entry, Sha256
from mpcseg.errors import EvidenceError, LogError
from mpcseg.study.spec import StudySpec

PROOF_BYTES = 64 << 10
"""More than any proof has."""

_LONGEST_PATH = 64


class EntryProof(BaseModel):
    """An entry and the proof that it stands in a log.

    Attributes:
        entry: as it stands there.
        checkpoint: of the log, signed by its organisation.
        path: hashes from the entry up to the checkpoint's root.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    entry: Entry
    checkpoint: Checkpoint
    path: tuple[Sha256, ...] = Field(max_length=_LONGEST_PATH)


def prove_entry(log: LogFile, number: int) -> bytes:
    """Make the proof of an entry, against the last checkpoint that its organisation has signed.

    Raises:
        EvidenceError: there is no such entry, or none so far is signed.
    """
    head = log.heads[-1] if log.heads else None
    if head is None or not 0 <= number < head.size:
        raise EvidenceError(
            f"{log} has no entry {number} under its organisation's signature",
            f"Signed are the first {head.size if head else 0}; they count from 0.",
        )
    path = log.tree.inclusion_proof(number, head.size)
    proof = EntryProof(
        entry=log.entries[number], checkpoint=head, path=tuple(step.hex() for step in path)
    )
    return rfc8785.dumps(proof.model_dump(mode="json"))


def verify_entry(spec: StudySpec, content: bytes) -> EntryProof:
    """Check a proof; returns what it proves.

    1. It has the form of a proof, and its entry is of this study.
    2. The checkpoint is signed by an organisation of the study, for this study.
    3. The entry stands at its place in the tree that the checkpoint commits to.

    Raises:
        EvidenceError: it is no proof, or of another study.
        SignatureError: the checkpoint is not signed by its organisation.
        LogError: the entry does not stand in that log.
    """
    try:
        document: Any = json.loads(content)
        proof = EntryProof.model_validate(document)  # 1
        canonical = proof.entry.canonical()
    except (ValueError, ValidationError, RecursionError):
        raise EvidenceError(
            "this is not the proof of a log's entry", "Ask for the file that was written for you."
        ) from None
    if proof.entry.study != spec.digest:
        raise EvidenceError("the entry is of another study", "Compare it with its agreement.")
    verify_checkpoint(spec, proof.checkpoint)  # 2
    try:
        verify_inclusion(  # 3
            leaf_hash(canonical),
            proof.entry.number,
            proof.checkpoint.size,
            [bytes.fromhex(step) for step in proof.path],
            bytes.fromhex(proof.checkpoint.root),
        )
    except LogError:
        raise LogError(
            f"the entry does not stand in the log of the {proof.checkpoint.role} node "
            f"{proof.checkpoint.organisation}",
            "The entry or the proof was changed.",
        ) from None
    return proof
