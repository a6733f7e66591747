"""A renewal: new TLS certificates for organisations of a study that has begun, signed by all of it.

It is the next version of the agreement, with its terms, its signing keys and its sealing keys; only
what mutual TLS is pinned to changes. The study stays the one that it was: its digest is that of
the first agreement. A renewal file is canonical JSON (RFC 8785),
``{"renewal": ..., "signatures": ...}``, and comes from other organisations. Why certificates alone:
docs/adr/0021.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

import rfc8785
from cryptography.hazmat.primitives import serialization
from pydantic import BaseModel, Field, StringConstraints, ValidationError

from mpcseg.errors import ConfigError, MpcsegError, RenewalError, SignatureError
from mpcseg.study.agreement import Check, checked
from mpcseg.study.card import FROZEN, NodeName, PublicCard, verify_signature
from mpcseg.study.certificate import load_certificate, verify_kind, verify_valid
from mpcseg.study.documents import check, read_bytes
from mpcseg.study.identity import Identity
from mpcseg.study.signed_file import file_bytes, parts_of, write_signed_file
from mpcseg.study.spec import StudySpec
from mpcseg.study.versions import FIRST, Version

RENEWAL_SUFFIX = ".renewal"

_PURPOSE = "renewal"
_PART = "renewal"
_MOST_VERSIONS = 1000

_Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class RenewalTerms(BaseModel):
    """What everybody signs.

    Attributes:
        format: of the file.
        study: digest of the first agreement.
        version: 2 for the first renewal, and so on; the agreement is 1.
        previous: digest of the version before.
        certificates: the new ones by organisation, PEM text.
    """

    model_config = FROZEN

    format: Literal["mpcseg renewal 1"] = "mpcseg renewal 1"
    study: _Digest
    version: int = Field(ge=2, le=_MOST_VERSIONS, strict=True)
    previous: _Digest
    certificates: dict[NodeName, Annotated[str, StringConstraints(max_length=16 * 1024)]] = Field(
        min_length=1
    )

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the terms as canonical JSON, 64 hex digits."""
        return hashlib.sha256(rfc8785.dumps(self.model_dump(mode="json"))).hexdigest()


@dataclass(frozen=True)
class Renewal:
    """A renewal with the signatures so far.

    Attributes:
        terms: what is signed.
        signatures: raw Ed25519 signatures by organisation.
    """

    terms: RenewalTerms
    signatures: Mapping[str, bytes]

    @property
    def canonical(self) -> bytes:
        """The renewal file's bytes."""
        return file_bytes(_PART, self.terms.model_dump(mode="json"), self.signatures)

    @property
    def version(self) -> Version:
        """What it changes."""
        pem = {name: text.encode() for name, text in self.terms.certificates.items()}
        return Version(self.terms.version, self.terms.digest, pem)

    def missing(self, spec: StudySpec) -> tuple[str, ...]:
        """The organisations that have not signed, in the study's order."""
        names = (card.name for card in spec.organisations)
        return tuple(name for name in names if name not in self.signatures)

    def signed_by(self, spec: StudySpec, identity: Identity) -> Renewal:
        """The same renewal with one more signature, by the key that stands in the agreement.

        Args:
            spec: the study with all renewals before this one.
            identity: of who signs; of an organisation that is renewed, with its new certificate.

        Raises:
            SignatureError: the organisation is not in the study, has another signing key there, or
                has not the certificate that stands for it in the renewal.
        """
        self._verify_own(identity)
        signature = identity.sign(_PURPOSE, bytes.fromhex(self.terms.digest))
        signed = Renewal(self.terms, {**self.signatures, identity.name: signature})
        signed._verify_no_stranger(spec)
        signed._verify_signature(spec.card_of(identity.name))
        return signed

    def checks(self, spec: StudySpec) -> Iterator[Check]:
        """What must hold before a node takes the renewal.

        1. It is the next version of this study.
        2. Only organisations of the study are renewed; each certificate is of the kind that nodes
           have, made out to its organisation, and new: neither it nor its key was anybody's, or is
           somebody else's in the same renewal.
        3. Nobody has signed who is not an organisation of the study.
        4. Every organisation has signed, with the signing key of the agreement.

        Args:
            spec: the study with all renewals before this one.
        """
        terms = self.terms
        yield checked("version", f"{terms.version} of study {spec.name}", self._follows, spec)  # 1
        keys: dict[bytes, str] = {}
        for name, text in terms.certificates.items():  # 2
            said = f"of '{name}'"
            try:
                card = _renewed_card(spec, name, text)
                owner = keys.setdefault(_public_key(card), name)
                if owner != name:
                    raise RenewalError(
                        f"the new certificates of '{owner}' and '{name}' have the same key", _MAKE
                    )
            except MpcsegError as error:
                yield Check(f"new certificate {said}", "", error)
            else:
                end = load_certificate(card.certificate_pem).not_valid_after_utc
                yield Check(
                    f"new certificate {said}", f"SHA-256 {card.fingerprint}, until {end:%Y-%m-%d}"
                )
        names = ", ".join(card.name for card in spec.organisations)
        yield checked("organisations", names, self._verify_no_stranger, spec)  # 3
        for card in spec.organisations:  # 4
            evidence = f"Ed25519, card {card.spoken}"
            yield checked(f"signature of {card.name}", evidence, self._verify_signature, card)

    def verify_signable(self, spec: StudySpec) -> None:
        """Check that nothing but signatures is missing, and that the new certificates are valid.

        Args:
            spec: the study with all renewals before this one.

        Raises:
            RenewalError: it is not in order.
            SignatureError: a signature that is there is foreign or wrong.
            ConfigError: a new certificate is not valid today.
        """
        missing = {f"signature of {name}" for name in self.missing(spec)}
        for one in self.checks(spec):
            if one.error and one.what not in missing:
                raise one.error
        for name, text in self.terms.certificates.items():
            verify_valid(text.encode(), f"the new certificate of '{name}'")

    def _verify_own(self, identity: Identity) -> None:
        """The one who is renewed must have the key: another one's key would let him in instead."""
        text = self.terms.certificates.get(identity.name)
        if text is not None and text.encode() != identity.certificate_pem:
            raise SignatureError(
                f"the new certificate of '{identity.name}' in the renewal is not that of this "
                "identity",
                "Sign with the folder that `mpcseg identity renew` made. If that is this one, then "
                "somebody else has made the certificate: sign nothing, and ask who began the "
                "renewal.",
            )

    def _follows(self, spec: StudySpec) -> None:
        terms = self.terms
        if terms.study != spec.digest:
            raise RenewalError(
                f"the renewal is of another study than '{spec.name}'",
                "Name the agreement that it renews, and no renewals of other studies.",
            )
        number, previous = _last(spec)
        if terms.version != number + 1:
            raise RenewalError(
                f"the renewal is version {terms.version} of the study '{spec.name}', and version "
                f"{number + 1} is due",
                "Name every renewal of the study once, in the order of their versions.",
            )
        if terms.previous != previous:
            raise RenewalError(
                f"version {terms.version} of the study '{spec.name}' does not follow from the "
                f"version {number} that is here",
                "There are two renewals of one version: agree on one of them.",
            )

    def _verify_no_stranger(self, spec: StudySpec) -> None:
        names = {card.name for card in spec.organisations}
        stranger = next((name for name in self.signatures if name not in names), None)
        if stranger is not None:
            raise SignatureError(
                f"'{stranger}' has signed and is not an organisation of the study '{spec.name}'",
                "Sign with an identity whose card is in the agreement.",
            )

    def _verify_signature(self, card: PublicCard) -> None:
        signature = self.signatures.get(card.name)
        if signature is None:
            raise SignatureError(
                f"the signature of '{card.name}' under the renewal is missing",
                f"Send the file to '{card.name}', who runs: mpcseg study renewal sign AGREEMENT "
                "FILE",
            )
        try:
            verify_signature(card, _PURPOSE, bytes.fromhex(self.terms.digest), signature)
        except SignatureError:
            raise SignatureError(
                f"the signature in the name of '{card.name}' under the renewal was not made over "
                "it by the signing key in the agreement",
                _ASK_AGAIN,
            ) from None


def new_renewal(spec: StudySpec, cards: Iterable[PublicCard]) -> Renewal:
    """The next version of a study, which nobody has signed yet.

    Args:
        spec: the study with all renewals so far.
        cards: new cards of organisations of the study.

    Raises:
        RenewalError: a card is of nobody in the study, stands twice, has another signing or sealing
            key than in the agreement, or its certificate is not new.
    """
    certificates: dict[str, str] = {}
    for card in cards:
        if card.name in certificates:
            raise RenewalError(f"two cards of '{card.name}' are given", "Name each once.")
        text = card.certificate_pem.decode()
        if card != _renewed_card(spec, card.name, text):
            raise RenewalError(
                f"the new card of '{card.name}' has another signing or sealing key than the "
                "agreement",
                "A renewal changes a certificate alone: the card must come from `mpcseg identity "
                "renew`. Other keys need a new agreement.",
            )
        certificates[card.name] = text
    if not certificates:
        raise RenewalError("no new card is given", "Name it: --card NEW.card")
    number, previous = _last(spec)
    terms = RenewalTerms(
        study=spec.digest, version=number + 1, previous=previous, certificates=certificates
    )
    return Renewal(terms, {})


def renewed(spec: StudySpec, renewals: Sequence[Renewal]) -> StudySpec:
    """The study with the certificates that count after all of its renewals; run by every node.

    Args:
        spec: as the agreement has it.
        renewals: all of them, in the order of their versions.

    Raises:
        RenewalError: one is not in order, or not the next version.
        SignatureError: a signature is missing, foreign or wrong.
    """
    for renewal in renewals:
        for one in renewal.checks(spec):
            if one.error:
                raise one.error
        spec = spec.renewed([*spec.versions, renewal.version])
    return spec


def load_renewal(path: Path) -> Renewal:
    """Read a renewal file, whose content and signatures are still to be checked.

    Raises:
        ConfigError: the file is absent or unreadable.
        RenewalError: not a renewal, or changed.
    """
    return parse_renewal(read_bytes(path, "the renewal"), f"the renewal {path}")


def parse_renewal(content: bytes, what: str) -> Renewal:
    """A renewal from a file's bytes; see `load_renewal`.

    Args:
        content: the bytes.
        what: names them in the error.

    Raises:
        RenewalError: not a renewal, or changed.
    """
    try:
        terms, signatures = parts_of(content, _PART)
    except (ValueError, RecursionError) as error:
        reason = error if type(error) is ValueError else "not valid JSON"
        raise RenewalError(f"{what} is no renewal, or damaged: {reason}", _ASK_AGAIN) from None
    try:
        renewal = Renewal(check(RenewalTerms, terms, what), signatures)
        is_canonical = "format" in terms and renewal.canonical == content
    except ConfigError as error:
        raise RenewalError(error.message, _ASK_AGAIN) from None
    except rfc8785.CanonicalizationError:
        is_canonical = False
    if not is_canonical:
        raise RenewalError(
            f"{what} is changed: it is not written in its canonical form (RFC 8785)", _ASK_AGAIN
        )
    return renewal


def write_renewal(renewal: Renewal, path: Path) -> None:
    """Write a renewal file, or replace one: a reader finds the whole file, old or new.

    Raises:
        ConfigError: the file cannot be written.
    """
    write_signed_file(renewal.canonical, "renewal", path)


def _last(spec: StudySpec) -> tuple[int, str]:
    """Number and digest of the version that counts."""
    if not spec.versions:
        return FIRST, spec.digest
    return spec.versions[-1].number, spec.versions[-1].digest


def _renewed_card(spec: StudySpec, name: str, text: str) -> PublicCard:
    """The card that an organisation has after its certificate was renewed.

    Raises:
        RenewalError: the certificate cannot be its new one.
    """
    what = f"the new certificate of '{name}'"
    if name not in {card.name for card in spec.organisations}:
        raise RenewalError(
            f"'{name}' is not an organisation of the study '{spec.name}'",
            "Certificates of its organisations alone can be renewed.",
        )
    try:
        verify_kind(text.encode(), what)
        fields = {**spec.card_of(name).model_dump(), "certificate_pem": text.encode()}
        card = PublicCard.model_validate(fields)
    except ConfigError as error:
        raise RenewalError(error.message, _MAKE) from None
    except ValidationError:
        raise RenewalError(f"{what} is made out to another name", _MAKE) from None
    for other in spec.organisations:
        for known in spec.cards_of(other.name).values():
            if _public_key(known) == _public_key(card):
                raise RenewalError(
                    f"{what} has a key that '{other.name}' has in the study already",
                    "A renewal brings a new certificate with a new key. " + _MAKE,
                )
    return card


def _public_key(card: PublicCard) -> bytes:
    return (
        load_certificate(card.certificate_pem)
        .public_key()
        .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


_ASK_AGAIN = "Ask the others for the file again, and compare its digest with them by telephone."
_MAKE = "Make it with: mpcseg identity renew"
