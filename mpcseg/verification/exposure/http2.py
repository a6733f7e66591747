"""One direction of an HTTP/2 connection, put together again from its frames."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from google.protobuf.message import DecodeError
from hyperframe.exceptions import HyperframeError
from hyperframe.frame import ContinuationFrame, DataFrame, Frame, HeadersFrame

from mpcseg.wire.v1 import blob_pb2

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_FRAME_HEADER = 9
_GRPC_PREFIX = 5


def reassembled(plain: memoryview) -> Iterator[bytes]:
    """Everything that was cut on its way, whole again.

    Args:
        plain: what went in one direction, inside TLS.

    Yields:
        For every stream its header blocks, its body, the messages in it without gRPC's prefixes,
        and the blob that its chunks make.
    """
    headers: dict[int, bytearray] = defaultdict(bytearray)
    bodies: dict[int, bytearray] = defaultdict(bytearray)
    for frame in _frames(plain):
        if isinstance(frame, HeadersFrame | ContinuationFrame):
            headers[frame.stream_id] += frame.data
        elif isinstance(frame, DataFrame):
            bodies[frame.stream_id] += frame.data
    yield from map(bytes, headers.values())
    for body in bodies.values():
        yield bytes(body)
        messages = list(_messages(bytes(body)))
        yield b"".join(messages)
        yield b"".join(map(_chunk, messages))


def _frames(plain: memoryview) -> Iterator[Frame]:
    at = len(_PREFACE) if plain[: len(_PREFACE)] == _PREFACE else 0
    while at + _FRAME_HEADER <= len(plain):
        try:
            frame, length = Frame.parse_frame_header(plain[at : at + _FRAME_HEADER])
            at += _FRAME_HEADER + length
            frame.parse_body(memoryview(bytes(plain[at - length : at])))
        except HyperframeError:
            continue  # the raw bytes are searched in any case
        yield frame


def _messages(body: bytes) -> Iterator[bytes]:
    at = 0
    while at + _GRPC_PREFIX <= len(body):
        length = int.from_bytes(body[at + 1 : at + _GRPC_PREFIX], "big")
        at += _GRPC_PREFIX
        yield body[at : at + length]
        at += length


def _chunk(message: bytes) -> bytes:
    """The part of a blob that a message carries; uploads and downloads have it in one place."""
    try:
        return blob_pb2.UploadRequest.FromString(message).chunk.data
    except DecodeError:
        return b""
