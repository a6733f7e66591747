"""The public card: everything that the others need of an organisation, in one small file."""

from __future__ import annotations

import base64
import hashlib
import textwrap
import unicodedata
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Self

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
    model_validator,
)

from mpcseg.errors import ConfigError, SignatureError
from mpcseg.study.certificate import (
    certificate_fingerprint,
    certificate_name,
    load_certificate,
    verify_kind,
    verify_valid,
)
from mpcseg.study.documents import check, read_toml
from mpcseg.study.sealing import verify_sealing_key

FROZEN = ConfigDict(
    frozen=True, extra="forbid", allow_inf_nan=False, ignored_types=(cached_property,)
)

# Names of organisations become names of folders and files, and certificates' subjects.
NODE_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


def in_words(sentence: str) -> WrapValidator:
    """Say in a sentence what a text must look like, where pydantic would show the pattern."""

    def validate(value: object, inner: ValidatorFunctionWrapHandler) -> object:
        try:
            return inner(value)
        except ValidationError as error:
            if error.errors(include_url=False)[0]["type"] != "string_pattern_mismatch":
                raise
            raise ValueError(sentence) from None

    return WrapValidator(validate)


NodeName = Annotated[
    str,
    StringConstraints(pattern=NODE_NAME),
    in_words(
        "must be of letters, digits, '.', '_' and '-' without blanks, beginning with a letter or "
        "digit (64 at most)"
    ),
]

CARD_SUFFIX = ".card"
SIGNATURE_BYTES = 64

_CARD_FORMAT = "mpcseg card 1"
_CARD_BYTES = 64 * 1024
_CERTIFICATE_BYTES = 16 * 1024
_SIGNING_KEY_BYTES = 32
_SPOKEN_GROUPS, _GROUP_DIGITS = 8, 5

# The y coordinates of Ed25519's points of small order, as libraries read them. Under such a key
# anybody can sign, so that its owner could deny every signature (RFC 8032 leaves this check open).
_SMALL_ORDER = frozenset(
    bytes.fromhex(text)
    for text in (
        "00" * 32,
        "01" + "00" * 31,
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ec" + "ff" * 30 + "7f",
        "ed" + "ff" * 30 + "7f",
        "ee" + "ff" * 30 + "7f",
    )
)


def spoken(digest: str) -> str:
    """A digest as people read it out: 8 groups of 5 decimal digits, 132 bits of it.

    Args:
        digest: hex digits, 132 bits of them at least.
    """
    n_digits = _SPOKEN_GROUPS * _GROUP_DIGITS
    digits = f"{int(digest, 16) % 10**n_digits:0{n_digits}d}"
    return " ".join(textwrap.wrap(digits, _GROUP_DIGITS))


def showable(text: str) -> str:
    """Check that a text shows on a screen what it is, and cannot steer the terminal.

    Raises:
        ValueError: it holds a control character, a line break, an invisible character or one that
            turns the direction of writing.
    """
    for character in text:
        if not (character.isprintable() or unicodedata.category(character) == "Zs"):
            raise ValueError(
                f"the character U+{ord(character):04X} cannot be shown; write one line of "
                "plain text"
            )
    return text


Line = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(showable)]
"""A short text of an agreement."""

Paragraph = Annotated[
    str, StringConstraints(min_length=1, max_length=4000), AfterValidator(showable)
]
"""A longer text of an agreement, still without line breaks."""


def _from_text(value: object) -> object:
    """Base64 (line breaks allowed) to bytes; bytes as they are."""
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except ValueError:
        raise ValueError("is not base64 text") from None


def to_text(raw: bytes) -> str:
    """Bytes as base64 text."""
    return base64.b64encode(raw).decode("ascii")


Key = Annotated[bytes, BeforeValidator(_from_text), PlainSerializer(to_text, when_used="json")]


class PublicCard(BaseModel):
    """An organisation as the others know it.

    Attributes:
        name: unique in a study.
        certificate_pem: by which it is known on the wire; its one form in PEM.
        signing_key: Ed25519, raw, 32 bytes.
        sealing_key: ML-KEM-768 and X25519, raw, 1216 bytes.
    """

    model_config = FROZEN

    name: NodeName
    certificate_pem: bytes = Field(
        validation_alias=AliasChoices("certificate", "certificate_pem"),
        serialization_alias="certificate",
        max_length=_CERTIFICATE_BYTES,
    )
    signing_key: Key
    sealing_key: Key

    @field_validator("certificate_pem")
    @classmethod
    def _is_one_certificate(cls, pem: bytes) -> bytes:
        try:
            certificate = load_certificate(pem)
        except ConfigError as error:  # pydantic adds the organisation's name to a ValueError only
            raise ValueError(error.message) from None
        if certificate.public_bytes(serialization.Encoding.PEM) != pem:
            raise ValueError("more than one certificate, or text around it")
        return pem

    @field_validator("signing_key")
    @classmethod
    def _can_be_signed_under(cls, raw: bytes) -> bytes:
        if len(raw) != _SIGNING_KEY_BYTES:
            raise ValueError(f"a signing key is {_SIGNING_KEY_BYTES} bytes long")
        if raw[:-1] + bytes([raw[-1] & 0x7F]) in _SMALL_ORDER:
            raise ValueError("a key under which anybody could sign")
        return raw

    @field_validator("sealing_key")
    @classmethod
    def _can_be_sealed_under(cls, raw: bytes) -> bytes:
        verify_sealing_key(raw)
        return raw

    @model_validator(mode="after")
    def _certificate_has_the_name(self) -> Self:
        try:
            certified = certificate_name(self.certificate_pem)
        except ConfigError as error:
            raise ValueError(error.message) from None
        if certified != self.name:
            raise ValueError("the certificate is made out to another name")
        return self

    @property
    def public(self) -> PublicCard:
        """The card alone, without what a role adds to it."""
        return self

    @property
    def document(self) -> dict[str, Any]:
        """Plain data for JSON: name, certificate (PEM text), keys (base64 text)."""
        return self.model_dump(mode="json", by_alias=True)

    @cached_property
    def canonical(self) -> bytes:
        """The card as canonical JSON (RFC 8785): what its organisation signs."""
        return rfc8785.dumps(self.public.document)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate (DER), 64 hex digits: what TLS is pinned to."""
        return certificate_fingerprint(self.certificate_pem)

    @cached_property
    def card_fingerprint(self) -> str:
        """SHA-256 of the whole card, 64 hex digits: what people compare."""
        return hashlib.sha256(self.canonical).hexdigest()

    @property
    def spoken(self) -> str:
        """The card's fingerprint as people read it out."""
        return spoken(self.card_fingerprint)


def signed_bytes(purpose: str, data: bytes) -> bytes:
    """What is really signed: no signature for one purpose holds for another."""
    return b"mpcseg " + purpose.encode("ascii") + b"\0" + data


def verify_signature(card: PublicCard, purpose: str, data: bytes, signature: bytes) -> None:
    """Check a signature made by `Identity.sign`.

    Args:
        card: whose signature it should be.
        purpose: what it was made for.
        data: what was signed.
        signature: what arrived.

    Raises:
        SignatureError: not made over these bytes, for this purpose, by this organisation.
    """
    key = Ed25519PublicKey.from_public_bytes(card.signing_key)
    try:
        key.verify(signature, signed_bytes(purpose, data))
    except InvalidSignature:
        raise SignatureError(
            f"a signature is not that of '{card.name}' over these bytes",
            "Compare the card's fingerprint with that organisation, by telephone.",
        ) from None


class _CardFile(PublicCard):
    signature: Key


def load_card(path: Path, *, may_have_ended: bool = False) -> PublicCard:
    """Read and check a card file; run by whoever was sent one.

    1. The file is small and has the fields of a card.
    2. The certificate is of the kind that nodes have, and valid today.
    3. The card is signed by its own signing key, which so vouches for the other two keys.

    That the card is really this organisation's is for people to check, by telephone.

    Args:
        path: the card file (TOML).
        may_have_ended: take a card whose certificate is not valid any more.

    Raises:
        ConfigError: absent, unreadable, not a card, or the certificate is not acceptable.
        SignatureError: the card is not signed by its own key.
    """
    what = f"the card {path}"
    data = read_toml(path, "the card", limit=_CARD_BYTES, hint=_NO_CARD)  # 1
    if data.pop("format", None) != _CARD_FORMAT:
        raise ConfigError(f"{what} is not a card of this version", _NO_CARD)
    text = data.get("certificate")
    if isinstance(text, str):  # 2; before the rest, for it says best what is wrong
        verify_kind(text.encode(), f"{what}: its certificate")
        if not may_have_ended:
            verify_valid(text.encode(), f"{what}: its certificate")
    read = check(_CardFile, data, what, hint=_NO_CARD)
    card = PublicCard.model_validate(read.model_dump(exclude={"signature"}))
    try:
        verify_signature(card, "card", card.canonical, read.signature)  # 3
    except SignatureError:
        raise SignatureError(
            f"{what} is not signed by its own signing key: it was changed, or put together",
            "Ask the organisation to send its card again.",
        ) from None
    return card


def card_text(card: PublicCard, signature: bytes) -> str:
    """A card file's text.

    Args:
        card: the card.
        signature: its organisation's, for the purpose "card".
    """
    return _CARD_TEXT.format(
        format=_CARD_FORMAT,
        name=card.name,
        signing_key=to_text(card.signing_key),
        sealing_key="\n".join(textwrap.wrap(to_text(card.sealing_key), 76)),
        certificate=card.certificate_pem.decode("ascii"),
        signature=to_text(signature),
    )


_NO_CARD = "A card is the file NAME.card that `mpcseg identity new` makes; ask for it."

# The fingerprint is left out on purpose: who reads it here reads what the sender of the file wrote.
_CARD_TEXT = '''\
# The public card of {name}, for studies with mpcseg. Nothing in it is secret: send it around.
# Whoever receives it compares its fingerprint with {name}, by telephone: mpcseg identity show FILE

format = "{format}"
name = "{name}"
signing_key = "{signing_key}"
sealing_key = """
{sealing_key}
"""
certificate = """
{certificate}"""
signature = "{signature}"
'''
