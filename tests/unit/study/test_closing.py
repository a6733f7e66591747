"""Closing records: what they say is signed by those who say it, or they are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import rfc8785

from mpcseg.errors import AgreementError, MpcsegError, SignatureError
from mpcseg.study import closing
from mpcseg.study.closing import (
    Action,
    ClosingRecord,
    KeyDestroyed,
    Purged,
    sign_key_destroyed,
    sign_record,
    sign_request,
    verify_key_destroyed,
    verify_record,
    verify_request,
)
from mpcseg.study.spec import StudySpec
from tests.organisations import identity, study_spec

TIME = "2025-03-31T12:00:00Z"
SPEC = study_spec()
OTHER = study_spec(name="other")
HUB, KEEPER, ALDER = identity("hub"), identity("keeper"), identity("alder")
REQUEST = sign_request(KEEPER, SPEC.digest, "close", TIME)
DESTROYED = sign_key_destroyed(KEEPER, SPEC.digest, 70, TIME)
RECORD = ClosingRecord("closed", TIME, Purged(12, 34_000_000), REQUEST, DESTROYED)


@pytest.mark.parametrize(
    "record",
    [
        RECORD,
        replace(RECORD, request=sign_request(HUB, SPEC.digest, "close", TIME)),
        replace(
            RECORD,
            reason="withdrawn",
            request=sign_request(ALDER, SPEC.digest, "withdraw", TIME),
            key_destroyed=None,
        ),
        replace(RECORD, reason="retention", request=None),
        replace(RECORD, reason="aborted", request=None, error="node_vanished"),
    ],
    ids=["key node", "compute node", "withdrawn", "retention", "aborted"],
)
def test_a_record_is_read_back_as_it_was_signed(record: ClosingRecord) -> None:
    data = sign_record(SPEC, HUB, record)
    assert verify_record(SPEC, data) == record
    assert rfc8785.dumps(json.loads(data)) == data
    assert len(data) < closing.RECORD_BYTES


def test_every_changed_byte_of_a_record_is_refused() -> None:
    data = sign_record(SPEC, HUB, RECORD)
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1
        with pytest.raises(AgreementError):
            verify_record(SPEC, bytes(changed))


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b"null", b"[" * 100_000, b'{"record":{},"signature":""}', b"\xff"]
)
def test_what_is_no_record_is_refused(data: bytes) -> None:
    with pytest.raises(AgreementError, match="not a closing record"):
        verify_record(SPEC, data)


def test_a_record_of_another_study_is_refused() -> None:
    with pytest.raises(AgreementError, match="of another study"):
        verify_record(OTHER, sign_record(SPEC, HUB, RECORD))


def test_a_record_that_somebody_else_signed_is_refused() -> None:
    for signer in (KEEPER, ALDER, identity("stranger")):
        with pytest.raises(SignatureError):
            verify_record(SPEC, sign_record(SPEC, signer, RECORD))


def _request(record: ClosingRecord, **changes: Any) -> ClosingRecord:
    assert record.request is not None
    return replace(record, request=replace(record.request, **changes))


LIES: dict[str, ClosingRecord] = {
    "a request that nobody made": _request(RECORD, signature=b"\0" * 64),
    "a request of another study": replace(
        RECORD, request=sign_request(KEEPER, OTHER.digest, "close", TIME)
    ),
    "a request of another time": _request(RECORD, time="2025-03-31T12:00:01Z"),
    "a party's request": replace(RECORD, request=sign_request(ALDER, SPEC.digest, "close", TIME)),
    "a withdrawal taken for a request to close": _request(
        replace(RECORD, request=sign_request(ALDER, SPEC.digest, "withdraw", TIME)), action="close"
    ),
    "closed without a request": replace(RECORD, request=None),
    "retention with a request": replace(RECORD, reason="retention"),
    "a withdrawal that was a closing": replace(RECORD, reason="withdrawn"),
    "a key that was not destroyed": replace(
        RECORD, key_destroyed=KeyDestroyed(70, TIME, b"\0" * 64)
    ),
    "another number of decrypted values": replace(
        RECORD, key_destroyed=replace(DESTROYED, decrypted_values=69)
    ),
    "a key of another study": replace(
        RECORD, key_destroyed=sign_key_destroyed(KEEPER, OTHER.digest, 70, TIME)
    ),
    "a key that the compute node destroyed": replace(
        RECORD, key_destroyed=sign_key_destroyed(HUB, SPEC.digest, 70, TIME)
    ),
    "a time that steers a terminal": replace(RECORD, time="\x1b[2J"),
    "an error that is none": replace(RECORD, error="\x1b[2J"),
    "a reason that is none": replace(RECORD, reason="\x1b[2J"),  # type: ignore[arg-type]
    "less than nothing deleted": replace(RECORD, purged=Purged(-1, 0)),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
def test_a_compute_node_cannot_put_others_words_on_record(lie: ClosingRecord) -> None:
    with pytest.raises(AgreementError):
        verify_record(SPEC, sign_record(SPEC, HUB, lie))


def test_a_record_has_one_form() -> None:
    """Base64 leaves bits at its end that mean nothing."""
    data = sign_record(SPEC, HUB, RECORD)
    at = data.rindex(b'=="')  # of the record's own signature, the last field
    letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    other = bytes([letters[letters.index(data[at - 1]) ^ 1]])
    with pytest.raises(SignatureError, match="one form"):
        verify_record(SPEC, data[: at - 1] + other + data[at:])


Operation = Callable[[StudySpec], object]


def _ask(who: str, action: Action, *, study: StudySpec = SPEC) -> Operation:
    request = sign_request(identity(who), study.digest, action, TIME)
    return lambda spec: verify_request(spec, request)


OPERATIONS: list[tuple[str, Operation, type[MpcsegError] | None]] = [
    ("the key node's organisation closes", _ask("keeper", "close"), None),
    ("the compute node's organisation closes", _ask("hub", "close"), None),
    ("a party withdraws", _ask("alder", "withdraw"), None),
    ("a party closes", _ask("alder", "close"), AgreementError),
    ("the key node's organisation withdraws", _ask("keeper", "withdraw"), AgreementError),
    ("a stranger closes", _ask("stranger", "close"), AgreementError),
    ("a request of another study", _ask("keeper", "close", study=OTHER), SignatureError),
    (
        "a request in another's name",
        lambda spec: verify_request(spec, replace(REQUEST, organisation="hub")),
        SignatureError,
    ),
    ("the key is destroyed", lambda spec: verify_key_destroyed(spec, DESTROYED), None),
    (
        "more values than there are",
        lambda spec: verify_key_destroyed(
            spec, replace(DESTROYED, decrypted_values=2**64 - 1, signature=b"")
        ),
        SignatureError,
    ),
]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation[0])
def test_who_may_say_what(operation: tuple[str, Operation, type[MpcsegError] | None]) -> None:
    _, verify, error = operation
    if error is None:
        verify(SPEC)
        return
    with pytest.raises(AgreementError) as caught:
        verify(SPEC)
    assert type(caught.value) is error
    assert caught.value.message.isprintable()


def test_an_organisation_with_two_roles_may_do_both() -> None:
    spec = study_spec(compute="birch", key="alder", parties=("alder", "birch"))
    for action in ("close", "withdraw"):
        request = sign_request(ALDER, spec.digest, action, closing.now())
        verify_request(spec, request)
