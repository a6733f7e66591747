"""Between wire messages and plain values; the only module that knows the messages' fields.

What comes in may be anything: whatever is not a well-formed value raises ``ProtocolError``.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable

from pydantic import ValidationError

from mpcseg.audit.merkle import HASH_BYTES
from mpcseg.audit.records import Checkpoint
from mpcseg.errors import ProtocolError
from mpcseg.reference.rounds import RoundKind
from mpcseg.study.closing import KeyDestroyed
from mpcseg.wire import events
from mpcseg.wire.names import BlobHeader, BlobKind, BlobName, Chunk, Role
from mpcseg.wire.status import from_detail, to_detail
from mpcseg.wire.v1 import audit_pb2, blob_pb2, closing_pb2, event_pb2, round_pb2, session_pb2

# Raised by one whenever nodes of before and after a change could not talk to each other.
PROTOCOL_VERSION = 5

_LONGEST_PROOF = 128

_KINDS = {
    BlobKind.PUBLIC_KEY: blob_pb2.BLOB_KIND_PUBLIC_KEY,
    BlobKind.RELINEARISATION_KEYS: blob_pb2.BLOB_KIND_RELINEARISATION_KEYS,
    BlobKind.FEATURE: blob_pb2.BLOB_KIND_FEATURE,
    BlobKind.PRESENCE: blob_pb2.BLOB_KIND_PRESENCE,
    BlobKind.COLUMN: blob_pb2.BLOB_KIND_COLUMN,
    BlobKind.HYPERPLANE: blob_pb2.BLOB_KIND_HYPERPLANE,
    BlobKind.RELEASE: blob_pb2.BLOB_KIND_RELEASE,
    BlobKind.RESULT: blob_pb2.BLOB_KIND_RESULT,
}
_KINDS_BACK = {int(number): kind for kind, number in _KINDS.items()}

_ROUNDS: dict[RoundKind, round_pb2.RoundKind] = {
    "admission": round_pb2.ROUND_KIND_ADMISSION,
    "moments": round_pb2.ROUND_KIND_MOMENTS,
    "lloyd": round_pb2.ROUND_KIND_LLOYD,
    "profile": round_pb2.ROUND_KIND_PROFILE,
    "scout": round_pb2.ROUND_KIND_SCOUT,
    "appraisal": round_pb2.ROUND_KIND_APPRAISAL,
}
_ROUNDS_BACK = {int(number): kind for kind, number in _ROUNDS.items()}

# The compute node is the server: nobody calls in its role.
_ROLES = {Role.KEY: session_pb2.ROLE_KEY, Role.PARTY: session_pb2.ROLE_PARTY}
_ROLES_BACK = {int(number): role for role, number in _ROLES.items()}


def name_to_wire(name: BlobName) -> blob_pb2.BlobName:
    """Return the ``BlobName`` message."""
    return blob_pb2.BlobName(
        kind=_KINDS[name.kind], round=name.round, item=name.item, part=name.part
    )


def name_from_wire(message: blob_pb2.BlobName) -> BlobName:
    """Return the name in a ``BlobName`` message; an unknown kind raises ``ProtocolError``."""
    kind = _KINDS_BACK.get(message.kind)
    if kind is None:
        raise ProtocolError(
            f"a blob of unknown kind {message.kind} was announced",
            "The nodes must run the same version of mpcseg.",
        )
    return BlobName(kind, message.round, message.item, message.part)


def header_to_wire(header: BlobHeader) -> blob_pb2.BlobHeader:
    """Return the ``BlobHeader`` message."""
    return blob_pb2.BlobHeader(
        name=name_to_wire(header.name), length=header.length, sha256=header.sha256
    )


def header_from_wire(message: blob_pb2.BlobHeader) -> BlobHeader:
    """Return the header in a ``BlobHeader`` message."""
    return BlobHeader(name_from_wire(message.name), message.length, message.sha256)


def chunk_to_wire(chunk: Chunk) -> blob_pb2.BlobChunk:
    """Return the ``BlobChunk`` message."""
    return blob_pb2.BlobChunk(offset=chunk.offset, data=chunk.data)


def chunk_from_wire(message: blob_pb2.UploadRequest | blob_pb2.DownloadReply) -> Chunk:
    """Return the chunk in an upload or download message; a header there raises."""
    if message.WhichOneof("part") != "chunk":
        raise ProtocolError("a blob stream holds something else than chunks after its header")
    return Chunk(message.chunk.offset, message.chunk.data)


def round_kind_to_wire(kind: RoundKind) -> round_pb2.RoundKind:
    """Return the number of a kind of round ("admission", "moments", "lloyd", …)."""
    return _ROUNDS[kind]


def round_kind_from_wire(number: int) -> RoundKind:
    """Return the word for a kind of round; an unknown number raises ``ProtocolError``."""
    kind = _ROUNDS_BACK.get(number)
    if kind is None:
        raise ProtocolError(f"a round of unknown kind {number} was asked for")
    return kind


def role_to_wire(role: Role) -> session_pb2.Role:
    """Return the number of a role that dials out."""
    return _ROLES[role]


def role_from_wire(number: int) -> Role:
    """Return the role; one that does not dial out, or is not known, raises ``ProtocolError``."""
    role = _ROLES_BACK.get(number)
    if role is None:
        raise ProtocolError(
            f"a node names the role {number}, which no caller has",
            "The nodes must run the same version of mpcseg.",
        )
    return role


def destroyed_to_wire(statement: KeyDestroyed) -> closing_pb2.KeyDestroyed:
    """Return the ``KeyDestroyed`` message."""
    return closing_pb2.KeyDestroyed(
        decrypted_values=statement.decrypted_values,
        time=statement.time,
        signature=statement.signature,
    )


def destroyed_from_wire(message: closing_pb2.KeyDestroyed) -> KeyDestroyed:
    """Return the statement in a ``KeyDestroyed`` message; its signature is not checked yet."""
    return KeyDestroyed(message.decrypted_values, message.time, message.signature)


def attestation_to_wire(attestation: events.KeyAttestation) -> round_pb2.KeyAttestation:
    """Return the ``KeyAttestation`` message."""
    return round_pb2.KeyAttestation(
        public_key_sha256=attestation.public_key_sha256, signature=attestation.signature
    )


def attestation_from_wire(message: round_pb2.KeyAttestation) -> events.KeyAttestation:
    """Return the attestation in a ``KeyAttestation`` message."""
    return events.KeyAttestation(message.public_key_sha256, message.signature)


def checkpoint_to_wire(checkpoint: Checkpoint) -> audit_pb2.Checkpoint:
    """Return the ``Checkpoint`` message."""
    return audit_pb2.Checkpoint(
        organisation=checkpoint.organisation,
        role=checkpoint.role,
        size=checkpoint.size,
        root=bytes.fromhex(checkpoint.root),
        time=checkpoint.time,
        signature=checkpoint.signature,
    )


def checkpoint_from_wire(message: audit_pb2.Checkpoint) -> Checkpoint:
    """Return the checkpoint in a ``Checkpoint`` message; its signature is not checked yet."""
    fields = {name: getattr(message, name) for name in Checkpoint.model_fields}
    try:
        return Checkpoint.model_validate({**fields, "root": message.root.hex()})
    except ValidationError:
        raise ProtocolError("a checkpoint of an audit log is not what it must be") from None


def proof_from_wire(steps: Iterable[bytes]) -> list[bytes]:
    """Return the hashes of a consistency proof; its truth is not checked yet."""
    proof = list(steps)
    # Two for each level of the largest tree that a size can name.
    if len(proof) > _LONGEST_PROOF or any(len(step) != HASH_BYTES for step in proof):
        raise ProtocolError("a consistency proof of an audit log is not what it must be")
    return proof


def event_to_wire(  # noqa: PLR0911  one per kind
    number: int, event: events.Event, study_digest: str
) -> event_pb2.StudyEvent:
    """Return the ``StudyEvent`` message of an event, its number and its study."""
    make = functools.partial(event_pb2.StudyEvent, study_digest=study_digest)
    match event:
        case events.KeysReady(attestation):
            ready = event_pb2.KeysReady(attestation=attestation_to_wire(attestation))
            return make(number=number, keys_ready=ready)
        case events.PartyReady(party):
            party_ready = event_pb2.PartyReady(party=party)
            return make(number=number, party_ready=party_ready)
        case events.AllPartiesReady(n_blocks):
            all_ready = event_pb2.AllPartiesReady(n_blocks=n_blocks)
            return make(number=number, all_parties_ready=all_ready)
        case events.RoundProgress(index, done, tasks):
            progress = event_pb2.RoundProgress(index=index, tasks_done=done, tasks=tasks)
            return make(number=number, round_progress=progress)
        case events.ReleaseReady(index, count):
            release = event_pb2.ReleaseReady(index=index, count=count)
            return make(number=number, release_ready=release)
        case events.NodeAbsent(node, role, seconds_left):
            absent = event_pb2.NodeAbsent(
                node=node, role=role_to_wire(role), seconds_left=seconds_left
            )
            return make(number=number, node_absent=absent)
        case events.NodeBack(node, role):
            back = event_pb2.NodeBack(node=node, role=role_to_wire(role))
            return make(number=number, node_back=back)
        case events.ResultsReady():
            return make(number=number, results_ready=event_pb2.ResultsReady())
        case events.StudyAborted(error):
            return make(number=number, aborted=to_detail(error))


def event_from_wire(message: event_pb2.StudyEvent) -> events.Event:  # noqa: PLR0911  one per kind
    """Return the event in a ``StudyEvent`` message; an unknown one raises ``ProtocolError``."""
    match message.WhichOneof("event"):
        case "keys_ready":
            return events.KeysReady(attestation_from_wire(message.keys_ready.attestation))
        case "party_ready":
            return events.PartyReady(message.party_ready.party)
        case "all_parties_ready":
            return events.AllPartiesReady(message.all_parties_ready.n_blocks)
        case "round_progress":
            progress = message.round_progress
            return events.RoundProgress(progress.index, progress.tasks_done, progress.tasks)
        case "release_ready":
            return events.ReleaseReady(message.release_ready.index, message.release_ready.count)
        case "node_absent":
            absent = message.node_absent
            return events.NodeAbsent(absent.node, role_from_wire(absent.role), absent.seconds_left)
        case "node_back":
            back = message.node_back
            return events.NodeBack(back.node, role_from_wire(back.role))
        case "results_ready":
            return events.ResultsReady()
        case "aborted":
            return events.StudyAborted(from_detail(message.aborted))
    raise ProtocolError(
        "the compute node sent an event that is not known here",
        "The nodes must run the same version of mpcseg.",
    )
