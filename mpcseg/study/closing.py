"""How a study's end is put on record: who asked for it, what was deleted, under whose signature.

The closing record is a small file that any organisation can check against the agreement
(`verify_record`), years later and without a node. It says no more than its signatures: that the
compute node's organisation deleted what it held, and the key node's organisation its secret key.
"""

from __future__ import annotations

import base64
import datetime
import json
import re
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast

import rfc8785

from mpcseg.errors import AgreementError, SignatureError
from mpcseg.study.card import verify_signature
from mpcseg.study.identity import Identity
from mpcseg.study.spec import StudySpec

Action = Literal["close", "withdraw"]
Reason = Literal["closed", "retention", "withdrawn", "aborted"]

RECORD_BYTES = 64 << 10
"""More than any closing record has."""

_FORMAT = "mpcseg closing record 1"
_RECORD_PURPOSE = "closing record"
_DESTROYED_PURPOSE = "key destroyed"
_ACTIONS: dict[Reason, Action | None] = {
    "closed": "close",
    "retention": None,
    "withdrawn": "withdraw",
    "aborted": None,
}
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_CODE = re.compile(r"[a-z_]{0,64}")
_LARGEST_COUNT = 2**53 - 1


@dataclass(frozen=True)
class SignedRequest:
    """An organisation asks for the end of a study.

    Attributes:
        organisation: whose signature it is.
        action: "close" (key or compute node's organisation) or "withdraw" (a party's).
        time: UTC, as `now` gives it.
        signature: by the organisation, over study, action and time.
    """

    organisation: str
    action: Action
    time: str
    signature: bytes


@dataclass(frozen=True)
class KeyDestroyed:
    """The key node's organisation states that the study's secret key is no more.

    Attributes:
        decrypted_values: numbers that were decrypted with it.
        time: UTC, as `now` gives it.
        signature: by the key node's organisation, over study, number and time.
    """

    decrypted_values: int
    time: str
    signature: bytes


@dataclass(frozen=True)
class Purged:
    """What the compute node deleted at the end: keys, ciphertexts and sealed results."""

    n_blobs: int
    n_bytes: int


@dataclass(frozen=True)
class ClosingRecord:
    """What the compute node's organisation puts on record.

    Attributes:
        reason: "closed" or "withdrawn" on request, "retention" when it ran out, "aborted".
        time: UTC, when everything was deleted.
        purged: what was deleted.
        request: of the organisation that asked for it; None for retention and aborts.
        key_destroyed: None where the key node did not say so.
        error: the code of the error that aborted the study; empty otherwise.
    """

    reason: Reason
    time: str
    purged: Purged
    request: SignedRequest | None
    key_destroyed: KeyDestroyed | None
    error: str = ""


def now() -> str:
    """The time in UTC, to the second, as closing records have it."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def sign_request(identity: Identity, study_digest: str, action: Action, time: str) -> SignedRequest:
    """Ask for a study's end, in the name of one's organisation. Runs anywhere but on a node."""
    signed = _request_bytes(study_digest, time)
    return SignedRequest(identity.name, action, time, identity.sign(_purpose(action), signed))


def verify_request(spec: StudySpec, request: SignedRequest) -> None:
    """Check that an organisation really asks for this, for this study, and that it may.

    Raises:
        SignatureError: the signature is not the organisation's, or for another study.
        AgreementError: the organisation has no role that may ask for this.
    """
    may = {
        "close": {spec.key.name, spec.compute.name},
        "withdraw": {party.name for party in spec.parties},
    }[request.action]
    if request.organisation not in may:
        who = "a party" if request.action == "withdraw" else "the key or the compute node"
        raise AgreementError(
            f"'{request.organisation}' may not {request.action}: it is not {who} of the study",
            "The key and the compute node's organisation close a study; a party withdraws.",
        )
    _verify_time(request.time)
    card = spec.card_of(request.organisation)
    signed = _request_bytes(spec.digest, request.time)
    verify_signature(card, _purpose(request.action), signed, request.signature)


def sign_key_destroyed(
    identity: Identity, study_digest: str, decrypted_values: int, time: str
) -> KeyDestroyed:
    """State that the secret key is destroyed. Runs on the key node, right after it was."""
    signed = _destroyed_bytes(study_digest, decrypted_values, time)
    return KeyDestroyed(decrypted_values, time, identity.sign(_DESTROYED_PURPOSE, signed))


def verify_key_destroyed(spec: StudySpec, statement: KeyDestroyed) -> None:
    """Check that the key node's organisation has said so, of this study's key.

    Raises:
        SignatureError: it has not.
    """
    _verify_time(statement.time)
    if statement.decrypted_values > _LARGEST_COUNT:
        raise SignatureError("more values than anybody can decrypt are stated")
    signed = _destroyed_bytes(spec.digest, statement.decrypted_values, statement.time)
    verify_signature(spec.key, _DESTROYED_PURPOSE, signed, statement.signature)


def sign_record(spec: StudySpec, identity: Identity, record: ClosingRecord) -> bytes:
    """Sign a record. Runs on the compute node, after everything is deleted.

    Returns:
        Canonical JSON (RFC 8785), the content of the record's file.
    """
    content = _content(spec, record)
    signature = identity.sign(_RECORD_PURPOSE, rfc8785.dumps(content))
    return rfc8785.dumps({"record": content, "signature": _text(signature)})


def verify_record(spec: StudySpec, data: bytes) -> ClosingRecord:
    """Check a closing record against the agreement; needs no node and no network.

    1. It is canonical JSON of the known form, as long as a record can be.
    2. It is about this study.
    3. The compute node's organisation has signed it.
    4. What it says of a request is signed by an organisation that may ask for that.
    5. What it says of the secret key is signed by the key node's organisation.

    Args:
        spec: the agreement, which may be expired by now.
        data: content of the record's file.

    Raises:
        AgreementError: it is no closing record, or of another study.
        SignatureError: a signature is not what it must be.
    """
    document = _document(data)  # 1
    content = document["record"]
    if content.get("study_digest") != spec.digest:  # 2
        raise AgreementError(
            "the closing record is of another study", "Compare it with the right agreement."
        )
    signature = _bytes(document["signature"])
    verify_signature(spec.compute, _RECORD_PURPOSE, rfc8785.dumps(content), signature)  # 3
    record = _record(spec, content)
    if record.request is not None:
        verify_request(spec, record.request)  # 4
    if record.key_destroyed is not None:
        verify_key_destroyed(spec, record.key_destroyed)  # 5
    return record


def _content(spec: StudySpec, record: ClosingRecord) -> dict[str, Any]:
    content = asdict(record)
    for name in ("request", "key_destroyed"):
        if content[name] is not None:
            content[name]["signature"] = _text(content[name]["signature"])
    return {
        "format": _FORMAT,
        "study": spec.name,
        "study_digest": spec.digest,
        "compute": spec.compute.name,
        "key": spec.key.name,
        **content,
    }


def _document(data: bytes) -> dict[str, Any]:
    no_record = AgreementError(
        "this is not a closing record, or it was changed",
        "Ask for the file that `mpcseg study close` wrote; it must not be edited.",
    )
    if len(data) > RECORD_BYTES:
        raise no_record
    try:
        document = json.loads(data)
        canonical = rfc8785.dumps(document)
    except (ValueError, RecursionError, rfc8785.CanonicalizationError):
        raise no_record from None
    if canonical != data or not isinstance(document, dict) or set(document) != _OUTER:
        raise no_record
    content = document["record"]
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise no_record
    return document


_OUTER = {"record", "signature"}


def _record(spec: StudySpec, content: dict[str, Any]) -> ClosingRecord:
    """The record in a content whose signature holds; its form may still be nonsense."""
    try:
        reason = content["reason"]
        request, destroyed = content["request"], content["key_destroyed"]
        record = ClosingRecord(
            reason=cast("Reason", reason),
            time=_verify_time(content["time"]),
            purged=Purged(*(_count(content["purged"][name]) for name in ("n_blobs", "n_bytes"))),
            request=None if request is None else _request(request),
            key_destroyed=None if destroyed is None else _destroyed(destroyed),
            error=content["error"],
        )
        asked = record.request.action if record.request else None
        named = record.request is None or isinstance(record.request.organisation, str)
        is_sound = named and _ACTIONS[reason] == asked and _CODE.fullmatch(record.error)
    except (KeyError, TypeError, ValueError, AttributeError):
        is_sound = None
    if not is_sound or _content(spec, record) != content:
        raise AgreementError("the closing record does not say what a closing record must say")
    return record


def _request(content: dict[str, Any]) -> SignedRequest:
    return SignedRequest(**{**content, "signature": _bytes(content["signature"])})


def _destroyed(content: dict[str, Any]) -> KeyDestroyed:
    return KeyDestroyed(
        _count(content["decrypted_values"]), content["time"], _bytes(content["signature"])
    )


def _request_bytes(study_digest: str, time: str) -> bytes:
    return f"{study_digest}\n{time}".encode()


def _destroyed_bytes(study_digest: str, decrypted_values: int, time: str) -> bytes:
    return f"{study_digest}\n{decrypted_values}\n{time}".encode()


def _purpose(action: Action) -> str:
    return f"{action} study"


def _verify_time(time: str) -> str:
    """Shown to people and signed by others, so that nothing but a time may stand there."""
    if not isinstance(time, str) or not _TIME.fullmatch(time):
        raise SignatureError("a signed time is not a time in UTC, as in 2025-03-31T12:00:00Z")
    return time


def _count(number: object) -> int:
    if type(number) is not int or not 0 <= number <= _LARGEST_COUNT:
        raise ValueError("not a count")
    return number


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def _bytes(text: object) -> bytes:
    if not isinstance(text, str):
        raise SignatureError("a signature is missing")
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        raise SignatureError("a signature is not base64 text") from None
    if _text(raw) != text:  # other letters for the same bytes: one record has one form
        raise SignatureError("a signature is not base64 text in its one form")
    return raw
