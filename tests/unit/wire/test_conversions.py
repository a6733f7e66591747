"""Plain values survive the wire; anything unknown is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpcseg.errors import NodeVanishedError, ProtocolError
from mpcseg.reference.rounds import RoundKind
from mpcseg.study.closing import KeyDestroyed
from mpcseg.wire import conversions as convert
from mpcseg.wire import events
from mpcseg.wire.names import BlobHeader, BlobKind, BlobName, Chunk, Role
from mpcseg.wire.v1 import blob_pb2, event_pb2

UINT32 = st.integers(0, 2**32 - 1)
NAMES = st.builds(BlobName, st.sampled_from(BlobKind), UINT32, UINT32, UINT32)
HEADERS = st.builds(BlobHeader, NAMES, st.integers(0, 2**64 - 1), st.binary(max_size=64))


@given(HEADERS)
def test_headers(header: BlobHeader) -> None:
    sent = convert.header_to_wire(header).SerializeToString()
    assert convert.header_from_wire(blob_pb2.BlobHeader.FromString(sent)) == header


@given(st.builds(Chunk, st.integers(0, 2**64 - 1), st.binary(max_size=64)))
def test_chunks(chunk: Chunk) -> None:
    request = blob_pb2.UploadRequest(chunk=convert.chunk_to_wire(chunk))
    assert convert.chunk_from_wire(request) == chunk


@pytest.mark.parametrize(
    "event",
    [
        events.KeysReady(events.KeyAttestation(b"d" * 32, b"signature")),
        events.PartyReady("a"),
        events.AllPartiesReady(7),
        events.RoundProgress(0, 0, 12),
        events.ReleaseReady(2, 15),
        events.NodeAbsent("b", Role.PARTY, 12.5),
        events.NodeBack("b", Role.KEY),
        events.ResultsReady(),
    ],
    ids=lambda event: type(event).__name__,
)
def test_events(event: events.Event) -> None:
    sent = convert.event_to_wire(5, event, "d" * 64).SerializeToString()
    message = event_pb2.StudyEvent.FromString(sent)
    assert (message.number, message.study_digest) == (5, "d" * 64)
    assert convert.event_from_wire(message) == event


def test_an_abort_carries_its_error() -> None:
    event = events.StudyAborted(NodeVanishedError("party node b is gone", "Start it."))
    back = convert.event_from_wire(convert.event_to_wire(1, event, "d" * 64))
    assert isinstance(back, events.StudyAborted)
    assert isinstance(back.error, NodeVanishedError)
    assert (back.error.message, back.error.hint) == ("party node b is gone", "Start it.")


@pytest.mark.parametrize("kind", ["admission", "moments", "lloyd", "profile"])
def test_kinds_of_round(kind: RoundKind) -> None:
    assert convert.round_kind_from_wire(convert.round_kind_to_wire(kind)) == kind


@pytest.mark.parametrize("role", [Role.KEY, Role.PARTY])
def test_roles_that_dial_out(role: Role) -> None:
    assert convert.role_from_wire(convert.role_to_wire(role)) is role


@given(st.builds(KeyDestroyed, st.integers(0, 2**64 - 1), st.text(), st.binary(max_size=64)))
def test_statements_that_the_key_is_destroyed(statement: KeyDestroyed) -> None:
    assert convert.destroyed_from_wire(convert.destroyed_to_wire(statement)) == statement


def test_unknown_things_are_refused() -> None:
    with pytest.raises(ProtocolError, match="kind 0"):
        convert.name_from_wire(blob_pb2.BlobName())
    with pytest.raises(ProtocolError, match="kind 99"):
        convert.name_from_wire(blob_pb2.BlobName.FromString(b"\x08\x63"))
    with pytest.raises(ProtocolError, match="kind 0"):
        convert.round_kind_from_wire(0)
    with pytest.raises(ProtocolError, match="role 0"):
        convert.role_from_wire(0)
    with pytest.raises(ProtocolError, match="event"):
        convert.event_from_wire(event_pb2.StudyEvent(number=1))
    absent = event_pb2.StudyEvent(node_absent=event_pb2.NodeAbsent(node="a"))
    with pytest.raises(ProtocolError, match="role"):
        convert.event_from_wire(absent)
    with pytest.raises(ProtocolError, match="chunks"):
        convert.chunk_from_wire(blob_pb2.UploadRequest(header=blob_pb2.UploadHeader()))


@given(NAMES, NAMES)
def test_two_blobs_of_a_node_never_share_a_file(one: BlobName, other: BlobName) -> None:
    used = {
        BlobKind.PUBLIC_KEY: (),
        BlobKind.RELINEARISATION_KEYS: (),
        BlobKind.FEATURE: ("item", "part"),
        BlobKind.PRESENCE: ("item",),
        BlobKind.COLUMN: ("item", "part"),
        BlobKind.HYPERPLANE: ("round", "item", "part"),
        BlobKind.RELEASE: ("round", "item"),
        BlobKind.RESULT: ("item",),
    }

    def place(name: BlobName) -> tuple[object, ...]:
        return (name.kind, *(getattr(name, field) for field in used[name.kind]))

    assert (str(one) == str(other)) == (place(one) == place(other))
