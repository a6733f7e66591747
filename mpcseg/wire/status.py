"""Errors of mpcseg as gRPC statuses, and back: a client raises the class that the server raised.

Code, message and hint travel in the trailing metadata, so that nothing depends on the text of a
gRPC status. What comes from another node is shown to a person: it is cut to a length and freed of
control characters before it becomes an error again.
"""

from __future__ import annotations

import grpc
from google.protobuf.message import DecodeError

from mpcseg.errors import MpcsegError, subclasses
from mpcseg.text import one_line
from mpcseg.wire.v1 import error_pb2

METADATA_KEY = "mpcseg-error-bin"

# gRPC allows 8 KiB of metadata in all; a character takes up to 4 bytes, and base64 a third more.
_MESSAGE_CHARACTERS = 800
_HINT_CHARACTERS = 400


def to_detail(error: MpcsegError) -> error_pb2.ErrorDetail:
    """Return the ``ErrorDetail`` message of an error."""
    return error_pb2.ErrorDetail(
        code=error.code,
        message=one_line(error.message, _MESSAGE_CHARACTERS),
        hint=one_line(error.hint, _HINT_CHARACTERS),
    )


def from_detail(detail: error_pb2.ErrorDetail) -> MpcsegError:
    """Return the error of an ``ErrorDetail`` message; ``MpcsegError`` for a code not known here."""
    cls = subclasses().get(detail.code, MpcsegError)
    return cls(
        one_line(detail.message, _MESSAGE_CHARACTERS), one_line(detail.hint, _HINT_CHARACTERS)
    )


def to_status(
    error: MpcsegError,
) -> tuple[grpc.StatusCode, str, tuple[tuple[str, str | bytes], ...]]:
    """Return status code, details and trailing metadata with which a server ends the call."""
    detail = to_detail(error)
    code = grpc.StatusCode[error.grpc_status]
    # The status text counts against the same limit, so the message is not sent twice.
    return code, error.code, ((METADATA_KEY, detail.SerializeToString()),)


def from_call(error: grpc.RpcError) -> MpcsegError | None:
    """Return the error that the server raised, or None if the failure is gRPC's own."""
    trailing = getattr(error, "trailing_metadata", lambda: None)()
    for key, value in trailing or ():
        if key == METADATA_KEY:
            try:
                return from_detail(error_pb2.ErrorDetail.FromString(value))
            except DecodeError:
                return None
    return None
