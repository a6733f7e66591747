"""Errors cross the wire as the class they were."""

from __future__ import annotations

import base64

import grpc
import pytest

from mpcseg.errors import DigestMismatchError, MpcsegError, ProtocolError, subclasses
from mpcseg.wire.status import METADATA_KEY, from_call, from_detail, to_detail, to_status
from mpcseg.wire.v1 import error_pb2


class FailedCall(grpc.RpcError):
    def __init__(self, trailing: object) -> None:
        self._trailing = trailing

    def trailing_metadata(self) -> object:
        return self._trailing


@pytest.mark.parametrize("cls", subclasses().values(), ids=lambda cls: cls.__name__)
def test_every_error_comes_back_as_itself(cls: type[MpcsegError]) -> None:
    code, _, trailing = to_status(cls("party node äöü is late", "Wait."))
    error = from_call(FailedCall(trailing))
    assert type(error) is cls
    assert (error.message, error.hint) == ("party node äöü is late", "Wait.")
    assert code.name == cls.grpc_status
    assert code is not grpc.StatusCode.OK


@pytest.mark.parametrize(
    "trailing", [None, (), (("other", "x"),), ((METADATA_KEY, b"\xff\xff\xff"),)]
)
def test_a_failure_of_grpc_itself_is_nobodys_error(trailing: object) -> None:
    assert from_call(FailedCall(trailing)) is None


def test_an_unknown_code_is_still_an_error() -> None:
    error = from_detail(error_pb2.ErrorDetail(code="from_the_future", message="m", hint="h"))
    assert type(error) is MpcsegError
    assert (error.message, error.hint) == ("m", "h")


def test_what_another_node_writes_cannot_steer_a_terminal_or_fill_it() -> None:
    detail = error_pb2.ErrorDetail(
        code="digest_mismatch", message="\x1b[2J\x07bad\nworse" + "x" * 5000, hint="\r\x00h"
    )
    error = from_detail(detail)
    assert error.message.isprintable()
    assert error.hint.isprintable()
    assert len(error.message) == 800


def test_a_long_message_stays_under_the_metadata_limit_of_grpc() -> None:
    _, details, trailing = to_status(DigestMismatchError("😀" * 100_000, "😀" * 100_000))
    assert len(details) + sum(len(base64.b64encode(value)) for _, value in trailing) < 8000


def test_the_detail_of_an_error_has_its_code() -> None:
    assert to_detail(DigestMismatchError("m")).code == "digest_mismatch"


def test_a_private_error_of_one_module_does_not_take_the_place_of_its_parent() -> None:
    class _OneModulesError(ProtocolError):
        """Raised and caught within one module."""

    assert subclasses()[_OneModulesError.code] is ProtocolError
