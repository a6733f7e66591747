"""Targets: messages, blob streams, and what a server says when it refuses."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator

import grpc
from google.protobuf.message import DecodeError, Message

from mpcseg.errors import MalformedBlobError
from mpcseg.nodes.progress import SilentProgress
from mpcseg.nodes.watcher import _Narrator
from mpcseg.study import closing
from mpcseg.wire import conversions as convert
from mpcseg.wire import events
from mpcseg.wire.blobs import header_of, receive
from mpcseg.wire.names import BlobKind, BlobName, Chunk, Role
from mpcseg.wire.status import METADATA_KEY, from_call, from_detail, to_detail, to_status
from mpcseg.wire.v1 import blob_pb2, closing_pb2, error_pb2, event_pb2, round_pb2, session_pb2
from tests.fuzz.documents import TIME, spec
from tests.fuzz.mutation import mutate_bytes, mutator_of_messages
from tests.fuzz.target import Target
from tests.organisations import identity

KINDS: tuple[type[Message], ...] = (
    blob_pb2.UploadRequest,
    blob_pb2.DownloadReply,
    blob_pb2.DownloadRequest,
    session_pb2.JoinRequest,
    session_pb2.AbortRequest,
    round_pb2.PublishKeysRequest,
    round_pb2.OpenRoundRequest,
    closing_pb2.FinishRequest,
    closing_pb2.CloseStudyRequest,
    event_pb2.StudyEvent,
    error_pb2.ErrorDetail,
)
"""Every message of which a node makes something else; the first byte of an input chooses one."""


def _message(data: bytes) -> None:
    """Convert a message as its receiver does."""
    if not data:
        return
    try:
        message = KINDS[data[0] % len(KINDS)].FromString(data[1:])
    except DecodeError:
        return  # gRPC refuses the call before a node hears of it
    _convert(message)


def _convert(message: Message) -> None:  # noqa: C901  one case per kind
    match message:
        case blob_pb2.UploadRequest() | blob_pb2.DownloadReply():
            if message.WhichOneof("part") == "header":
                header = convert.header_from_wire(message.header.blob)
                assert convert.header_from_wire(convert.header_to_wire(header)) == header
                assert "/" not in str(header.name)
            else:
                chunk = convert.chunk_from_wire(message)
                assert chunk.data == message.chunk.data
        case blob_pb2.DownloadRequest():
            assert str(convert.name_from_wire(message.name))
        case session_pb2.JoinRequest():
            assert convert.role_from_wire(message.role) in (Role.KEY, Role.PARTY)
        case session_pb2.AbortRequest():
            _detail(message.reason)
        case round_pb2.PublishKeysRequest():
            attestation = convert.attestation_from_wire(message.attestation)
            assert events.attested_bytes("0", "1", attestation.public_key_sha256)
        case round_pb2.OpenRoundRequest():
            convert.round_kind_from_wire(message.kind)
        case closing_pb2.FinishRequest():
            closing.verify_key_destroyed(spec(), convert.destroyed_from_wire(message.statement))
        case closing_pb2.CloseStudyRequest():
            asked = closing.SignedRequest(
                "keeper", "close", message.signed.time, message.signed.signature
            )
            closing.verify_request(spec(), asked)
        case event_pb2.StudyEvent():
            event = convert.event_from_wire(message)
            again = convert.event_to_wire(message.number, event, message.study_digest)
            assert repr(convert.event_from_wire(again)) == repr(event)
            _Narrator(SilentProgress()).show(event)
        case error_pb2.ErrorDetail():
            _detail(message)


def _detail(detail: error_pb2.ErrorDetail) -> None:
    error = from_detail(detail)
    assert error.message.isprintable()
    assert error.hint.isprintable()
    assert from_detail(to_detail(error)).message == error.message


def _messages() -> list[bytes]:
    keeper, digest = identity("keeper"), spec().digest
    statement = closing.sign_key_destroyed(keeper, digest, 70, TIME)
    request = closing.sign_request(keeper, digest, "close", TIME)
    header = convert.header_to_wire(header_of(BlobName(BlobKind.FEATURE, item=2, part=1), b"abc"))
    failure = MalformedBlobError("The bytes are wrong.", "Send others.")
    chosen = (
        blob_pb2.UploadRequest(header=blob_pb2.UploadHeader(study_digest=digest, blob=header)),
        blob_pb2.UploadRequest(chunk=blob_pb2.BlobChunk(offset=3, data=b"abc")),
        blob_pb2.DownloadReply(header=blob_pb2.DownloadHeader(study_digest=digest, blob=header)),
        blob_pb2.DownloadRequest(name=convert.name_to_wire(BlobName(BlobKind.RELEASE, round=1))),
        session_pb2.JoinRequest(protocol_version=2, role=session_pb2.ROLE_KEY, instance="00"),
        session_pb2.AbortRequest(reason=to_detail(failure)),
        round_pb2.PublishKeysRequest(
            attestation=round_pb2.KeyAttestation(public_key_sha256=bytes(32), signature=bytes(64))
        ),
        round_pb2.OpenRoundRequest(kind=round_pb2.ROUND_KIND_LLOYD, index=2, sign_degrees=[7, 15]),
        closing_pb2.FinishRequest(statement=convert.destroyed_to_wire(statement)),
        closing_pb2.CloseStudyRequest(
            signed=closing_pb2.Signed(time=request.time, signature=request.signature)
        ),
        *(convert.event_to_wire(number, event, digest) for number, event in enumerate(_EVENTS)),
        to_detail(failure),
    )
    return [bytes([KINDS.index(type(one))]) + one.SerializeToString() for one in chosen]


_EVENTS: tuple[events.Event, ...] = (
    events.KeysReady(events.KeyAttestation(bytes(32), bytes(64))),
    events.PartyReady("alder"),
    events.AllPartiesReady(3),
    events.RoundProgress(1, 2, 3),
    events.ReleaseReady(1, 6),
    events.NodeAbsent("alder", Role.PARTY, 12.5),
    events.NodeBack("keeper", Role.KEY),
    events.ResultsReady(),
    events.StudyAborted(MalformedBlobError("The bytes are wrong.")),
)


# --- streams -------------------------------------------------------------------------------

_LIMIT = 4096


def _stream(data: bytes) -> None:
    """A download as its receiver sees it: a header, then messages, each after its length."""
    messages = _split(data)
    first = next(messages, None)
    if first is None or first.WhichOneof("part") != "header":
        return
    header = convert.header_from_wire(first.header.blob)
    chunks: Iterator[Chunk] = (convert.chunk_from_wire(message) for message in messages)
    blob = receive(header, chunks, _LIMIT)
    assert len(blob) == header.length <= _LIMIT
    assert hashlib.sha256(blob).digest() == header.sha256


def _split(data: bytes) -> Iterator[blob_pb2.DownloadReply]:
    while data:
        length = int.from_bytes(data[:2], "little")
        try:
            yield blob_pb2.DownloadReply.FromString(data[2 : 2 + length])
        except DecodeError:
            return
        data = data[2 + length :]


def _streams() -> list[bytes]:
    blob = bytes(range(256)) * 8
    opening = blob_pb2.DownloadHeader(
        blob=convert.header_to_wire(header_of(BlobName(BlobKind.PUBLIC_KEY), blob))
    )
    pieces = [Chunk(0, blob[:1000]), Chunk(1000, blob[1000:])]
    messages = [
        blob_pb2.DownloadReply(header=opening),
        *(blob_pb2.DownloadReply(chunk=convert.chunk_to_wire(chunk)) for chunk in pieces),
    ]
    encoded = [message.SerializeToString() for message in messages]
    return [b"".join(len(one).to_bytes(2, "little") + one for one in encoded)]


# --- refusals ------------------------------------------------------------------------------


class _Refusal(grpc.RpcError):
    """A failed call with the trailing metadata that a server chose."""

    def __init__(self, value: bytes) -> None:
        super().__init__()
        self._value = value

    def trailing_metadata(self) -> tuple[tuple[str, bytes], ...]:
        return ((METADATA_KEY, self._value),)


def _refusal(data: bytes) -> None:
    error = from_call(_Refusal(data))
    if error is not None:
        assert error.message.isprintable()
        _, _, trailing = to_status(error)
        assert sum(len(value) for _, value in trailing) < 6000


@functools.cache
def _refusals() -> list[bytes]:
    failure = MalformedBlobError("The bytes are wrong.", "Send others.")
    return [to_detail(failure).SerializeToString()]


WIRE_TARGETS = (
    Target("messages", _message, _messages, (mutator_of_messages(KINDS), mutate_bytes), tries=600),
    Target("blob-stream", _stream, _streams, tries=300),
    Target("refusal", _refusal, _refusals, tries=300, refuses=False),
)
