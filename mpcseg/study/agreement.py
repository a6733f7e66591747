"""The agreement: what the organisations signed, and the root of all trust in a study.

An agreement file is canonical JSON (RFC 8785), ``{"agreement": ..., "signatures": ...}``, and is
taken byte for byte or not at all. Every organisation signs the SHA-256 of the agreement with its
Ed25519 key; nodes run a study only with all the signatures. Before it is signed it is a draft
(`mpcseg.study.draft`).
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mpcseg.errors import (
    AgreementError,
    CertificateEndedError,
    ConfigError,
    ExpiredError,
    MpcsegError,
    SignatureError,
)
from mpcseg.study.card import PublicCard, verify_signature
from mpcseg.study.certificate import load_certificate, verify_kind, verify_valid
from mpcseg.study.documents import check, read_bytes
from mpcseg.study.draft import load_draft
from mpcseg.study.identity import Identity
from mpcseg.study.signed_file import file_bytes, parts_of, write_signed_file
from mpcseg.study.spec import StudySpec, from_document

AGREEMENT_SUFFIX = ".agreement"
PURPOSE = "agreement"
"""What the organisations' signatures are made for."""


@dataclass(frozen=True)
class Check:
    """One thing that must hold of an agreement.

    Attributes:
        what: what is checked.
        evidence: what was looked at.
        error: why it does not hold; None where it does.
    """

    what: str
    evidence: str
    error: MpcsegError | None = None


@dataclass(frozen=True)
class Agreement:
    """A study's terms with the signatures so far.

    Attributes:
        spec: the terms.
        signatures: raw Ed25519 signatures by organisation.
    """

    spec: StudySpec
    signatures: Mapping[str, bytes]

    @property
    def missing(self) -> tuple[str, ...]:
        """The organisations that have not signed, in the study's order."""
        names = (card.name for card in self.spec.organisations)
        return tuple(name for name in names if name not in self.signatures)

    @property
    def canonical(self) -> bytes:
        """The agreement file's bytes."""
        return file_bytes("agreement", self.spec.document, self.signatures)

    def signed_by(self, identity: Identity) -> Agreement:
        """The same agreement with one more signature.

        Raises:
            SignatureError: the organisation is not in the agreement, or with another card.
        """
        verify_member(self.spec, identity)
        signature = identity.sign(PURPOSE, bytes.fromhex(self.spec.digest))
        return Agreement(self.spec, {**self.signatures, identity.name: signature})

    def verify(self, today: datetime.date) -> None:
        """Check everything in `checks`; run by every node before it does anything.

        Args:
            today: the date, UTC.

        Raises:
            SignatureError: a signature is missing, foreign or wrong.
            AgreementError: a certificate is not acceptable.
            CertificateEndedError: a certificate is not valid now, and no renewal has replaced it.
            ExpiredError: the last day is over.
        """
        for one in self.checks(today):
            if one.error:
                raise one.error

    def checks(self, today: datetime.date | None) -> Iterator[Check]:
        """What must hold before a node runs the study.

        1. Nobody has signed who is not an organisation of the study.
        2. Every organisation has signed, over the digest of exactly these terms.
        3. Every organisation's certificate, its last one where it was renewed, is of the kind that
           nodes have, and valid now.
        4. The last day is not over.

        Args:
            today: the date, UTC; None leaves out 3 and 4, for a study that may be over.
        """
        organisations = self.spec.organisations
        names = ", ".join(card.name for card in organisations)
        yield checked("organisations", names, self._verify_no_stranger)  # 1
        for card in organisations:  # 2
            what, evidence = f"signature of {card.name}", f"Ed25519, card {card.spoken}"
            yield checked(what, evidence, self._verify_signature, card)
        if today is None:
            return
        for card in (self.spec.current_card(card.name) for card in organisations):  # 3
            what, evidence = f"certificate of {card.name}", f"valid until {_end(card)}"
            yield checked(what, evidence, _verify_certificate, card)
        evidence = f"{self.spec.expires}; today is {today} (UTC)"
        yield checked("last day", evidence, self._verify_not_over, today)  # 4

    def verify_signable(self, today: datetime.date) -> None:
        """Check that nothing but signatures is missing, before another one is added.

        Args:
            today: the date, UTC.

        Raises:
            SignatureError: a signature that is there is foreign or wrong.
            AgreementError: a certificate is not acceptable, or not valid now.
            ExpiredError: the last day is over.
        """
        missing = {f"signature of {name}" for name in self.missing}
        for one in self.checks(today):
            if one.error and one.what not in missing:
                raise one.error

    def _verify_no_stranger(self) -> None:
        names = {card.name for card in self.spec.organisations}
        stranger = next((name for name in self.signatures if name not in names), None)
        if stranger is not None:
            raise SignatureError(
                f"'{stranger}' has signed and is not an organisation of the study "
                f"'{self.spec.name}'",
                _ASK_AGAIN,
            )

    def _verify_signature(self, card: PublicCard) -> None:
        signature = self.signatures.get(card.name)
        if signature is None:
            raise SignatureError(
                f"the signature of '{card.name}' is missing",
                f"Send the file to '{card.name}', who runs: mpcseg study sign FILE",
            )
        try:
            verify_signature(card, PURPOSE, bytes.fromhex(self.spec.digest), signature)
        except SignatureError:
            raise SignatureError(
                f"the signature in the name of '{card.name}' was not made by its key over these "
                "terms",
                _ASK_AGAIN,
            ) from None

    def _verify_not_over(self, today: datetime.date) -> None:
        if today > self.spec.expires:
            raise ExpiredError(
                f"the study '{self.spec.name}' expired: its last day was {self.spec.expires}, "
                f"today is {today} (UTC)",
                "Check this machine's clock, or agree on a new study.",
            )


def checked(what: str, evidence: str, verify: Callable[..., None], *arguments: object) -> Check:
    """Make a check.

    Args:
        what: is checked.
        evidence: that is looked at.
        verify: raises what is wrong.
        arguments: of it.
    """
    try:
        verify(*arguments)
    except MpcsegError as error:
        return Check(what, evidence, error)
    return Check(what, evidence)


def _end(card: PublicCard) -> datetime.date:
    return load_certificate(card.certificate_pem).not_valid_after_utc.date()


def _verify_certificate(card: PublicCard) -> None:
    what = f"the certificate of '{card.name}'"
    try:
        verify_kind(card.certificate_pem, what)
    except ConfigError as error:
        raise AgreementError(
            error.message, f"Agree on a new study with a new card of '{card.name}'. {error.hint}"
        ) from None
    try:
        verify_valid(card.certificate_pem, what)
    except ConfigError as error:
        raise CertificateEndedError(error.message, error.hint) from None


def verify_member(spec: StudySpec, identity: Identity) -> None:
    """Check that a study knows an organisation by its real card; run before signing, and by nodes.

    The whole card, not the certificate alone: an agreement in which somebody else's signing key
    stands beside an organisation's own certificate bears every signature, and is none of theirs.

    Raises:
        SignatureError: the organisation is not in the study, or with another card.
    """
    if identity.name not in {card.name for card in spec.organisations}:
        raise SignatureError(
            f"'{identity.name}' is not an organisation of the study '{spec.name}'",
            "Use the identity whose card is in the study.",
        )
    cards = [*spec.cards_of(identity.name).values()]
    if identity.card in cards[:-1]:
        raise SignatureError(
            f"the certificate of '{identity.name}' was renewed in the study '{spec.name}', and "
            "this identity has an older one",
            "Use the folder that `mpcseg identity renew` made.",
        )
    if cards[-1] != identity.card:
        raise SignatureError(
            f"the card of '{identity.name}' in the study '{spec.name}' is not that of this "
            "identity",
            "Compare the two with `mpcseg identity show` and `mpcseg study show`; use the identity "
            "whose card is in the study, or agree on a new one. Was its certificate renewed? Then "
            "give the renewal that everybody has signed: --renewal FILE",
        )


def freeze(spec: StudySpec) -> Agreement:
    """The agreement on these terms, which nobody has signed yet."""
    return Agreement(spec, {})


def load_study(path: Path) -> StudySpec:
    """The terms of an agreement that may be run today; run by every node.

    Args:
        path: the agreement file.

    Raises:
        ConfigError: the file is absent or unreadable.
        AgreementError: not an agreement, or changed; or a certificate is not acceptable.
        SignatureError: a signature is missing, foreign or wrong.
        ExpiredError: the last day is over.
    """
    agreement = load_agreement(path)
    agreement.verify(utc_today())
    return agreement.spec


def load_agreement(path: Path) -> Agreement:
    """Read an agreement file whose signatures are still to be checked.

    1. It is JSON of the agreement's form, in which no key stands twice.
    2. Its terms are those of a study that can be.
    3. Its bytes are the only ones in which these terms and signatures can be written down.

    Args:
        path: the agreement file.

    Raises:
        ConfigError: the file is absent or unreadable.
        AgreementError: not an agreement, or changed.
    """
    return parse_agreement(read_bytes(path, "the agreement"), f"the agreement {path}")


def parse_agreement(content: bytes, what: str) -> Agreement:
    """An agreement from a file's bytes; see `load_agreement`.

    Args:
        content: the bytes.
        what: names them in the error.

    Raises:
        AgreementError: not an agreement, or changed.
    """
    if not content.startswith(b"{"):
        raise AgreementError(
            f"{what} is not an agreement file",
            "A draft (TOML) becomes one by: mpcseg study sign DRAFT.toml --identity FOLDER",
        )
    try:  # 1
        document, signatures = parts_of(content, "agreement")
        terms = from_document(document)
    except (ValueError, RecursionError) as error:
        # Python's own words on JSON are of no use to a reader here.
        reason = error if type(error) is ValueError else "not valid JSON"
        raise AgreementError(f"{what} is changed or damaged: {reason}", _ASK_AGAIN) from None
    try:
        spec = check(StudySpec, terms, what)  # 2
    except ConfigError as error:
        raise AgreementError(error.message, _ASK_AGAIN) from None
    agreement = Agreement(spec, signatures)
    if agreement.canonical != content:  # 3
        raise AgreementError(
            f"{what} is changed: it is not written in its canonical form (RFC 8785)", _ASK_AGAIN
        )
    return agreement


def load_unsigned(path: Path) -> Agreement:
    """A draft, or an agreement whoever has signed; for looking at it or signing it only.

    Args:
        path: a draft (TOML) or an agreement file.

    Raises:
        ConfigError: as for `load_draft`.
        AgreementError: as for `load_agreement`.
    """
    return load_agreement(path) if is_agreement(path) else freeze(load_draft(path))


def load_terms(path: Path) -> StudySpec:
    """The terms of a draft or of an agreement; otherwise as `load_unsigned`."""
    return load_unsigned(path).spec


def is_agreement(path: Path) -> bool:
    """Whether a file is an agreement rather than a draft, by its first character.

    Raises:
        ConfigError: the file is absent or unreadable.
    """
    return read_bytes(path, "the study").startswith(b"{")


def write_agreement(agreement: Agreement, path: Path) -> None:
    """Write an agreement file, or replace one: a reader finds the whole file, old or new.

    Raises:
        ConfigError: the file cannot be written.
    """
    write_signed_file(agreement.canonical, "agreement", path)


def utc_today() -> datetime.date:
    """The date by which agreements expire, the same everywhere."""
    return datetime.datetime.now(datetime.UTC).date()


_ASK_AGAIN = "Ask the others for the file again, and compare its digest with them by telephone."
