"""Renewals: what is signed by all and changes certificates alone counts, and nothing else."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from mpcseg.errors import (
    CertificateEndedError,
    ConfigError,
    MpcsegError,
    RenewalError,
    SignatureError,
)
from mpcseg.study.agreement import Agreement, utc_today, verify_member
from mpcseg.study.card import PublicCard, load_card
from mpcseg.study.certificate import self_signed
from mpcseg.study.identity import Identity, load_identity, renew_identity
from mpcseg.study.renewal import (
    Renewal,
    RenewalTerms,
    load_renewal,
    new_renewal,
    parse_renewal,
    renewed,
    write_renewal,
)
from mpcseg.study.spec import StudySpec
from tests.organisations import identity, save_identity, signed, study_spec

NAMES = ("hub", "keeper", "alder", "birch")
_NUMBERS = itertools.count()


@functools.cache
def folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="mpcseg-tests-"))


def renewed_identity(name: str = "alder", days: int = 730) -> Identity:
    return renew_identity(identity(name), folder() / str(next(_NUMBERS)), days=days)


def of_one_key(*names: str) -> dict[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    return {name: self_signed(name, key, [], 730).decode() for name in names}


def signer(name: str, renewal: Renewal) -> Identity:
    """Who signs: one who is renewed with what stands for him, be it his certificate or not."""
    text = renewal.terms.certificates.get(name)
    own = identity(name)
    return own if text is None else dataclasses.replace(own, certificate_pem=text.encode())


def by_all(renewal: Renewal, spec: StudySpec, *, but: str = "") -> Renewal:
    for name in NAMES:
        renewal = renewal if name == but else renewal.signed_by(spec, signer(name, renewal))
    return renewal


def made(spec: StudySpec, *cards: PublicCard, but: str = "") -> Renewal:
    return by_all(new_renewal(spec, cards or [renewed_identity().card]), spec, but=but)


def changed(renewal: Renewal, spec: StudySpec, **fields: object) -> Renewal:
    """Other terms, which everybody has signed all the same."""
    terms = RenewalTerms.model_validate({**renewal.terms.model_dump(), **fields})
    return by_all(Renewal(terms, {}), spec)


def test_a_renewal_changes_the_certificate_and_nothing_else() -> None:
    spec, new = study_spec(), renewed_identity()
    now = renewed(spec, [made(spec, new.card)])
    assert now.digest == spec.digest
    assert now.canonical == spec.canonical
    card, old = now.current_card("alder"), spec.card_of("alder")
    assert card == new.card
    assert (card.signing_key, card.sealing_key) == (old.signing_key, old.sealing_key)
    assert card.fingerprint != old.fingerprint
    assert now.current_card("birch") == spec.card_of("birch")
    verify_member(now, new)
    with pytest.raises(SignatureError, match="was renewed in the study 'trial', and this identity"):
        verify_member(now, identity("alder"))
    with pytest.raises(SignatureError, match="is not that of this identity") as caught:
        verify_member(spec, new)
    assert "--renewal" in caught.value.hint


def test_renewals_follow_each_other_and_are_read_as_they_were_written(tmp_path: Path) -> None:
    spec, second, third = study_spec(), renewed_identity(), renewed_identity()
    one = made(spec, second.card)
    between = renewed(spec, [one])
    two = made(between, third.card, renewed_identity("hub").card)
    for renewal in (one, two):
        write_renewal(renewal, tmp_path / "it.renewal")
        assert load_renewal(tmp_path / "it.renewal") == renewal
    now = renewed(spec, [one, two])
    assert [version.number for version in now.versions] == [2, 3]
    assert [*now.cards_of("alder").values()] == [spec.card_of("alder"), second.card, third.card]
    for order in ([two, one], [two], [one, one], [one, two, two]):
        with pytest.raises(RenewalError, match="is due"):
            renewed(spec, order)
    other = made(spec, renewed_identity().card)
    with pytest.raises(RenewalError, match="does not follow from the version 2"):
        renewed(spec, [other, two])


@pytest.mark.parametrize("name", NAMES)
def test_a_renewal_that_somebody_has_not_signed_is_refused(name: str) -> None:
    spec = study_spec()
    with pytest.raises(SignatureError, match=f"signature of '{name}' under the renewal is missing"):
        renewed(spec, [made(spec, but=name)])


REFUSED: dict[str, tuple[Callable[[StudySpec], Renewal], type[MpcsegError], str]] = {
    "a signature of another key": (
        lambda spec: dataclasses.replace(
            made(spec), signatures={**made(spec).signatures, "birch": b"\1" * 64}
        ),
        SignatureError,
        "in the name of '(alder|birch|hub|keeper)'",
    ),
    "terms that were changed after they were signed": (
        lambda spec: Renewal(made(spec).terms, made(spec).signatures),
        SignatureError,
        "in the name of 'hub'",
    ),
    "a stranger's signature": (
        lambda spec: dataclasses.replace(
            one := made(spec), signatures={**one.signatures, "oak": b"\1" * 64}
        ),
        SignatureError,
        "'oak' has signed",
    ),
    "another study": (
        lambda spec: changed(made(spec), spec, study="ab" * 32),
        RenewalError,
        "of another study",
    ),
    "a version too far": (
        lambda spec: changed(made(spec), spec, version=3),
        RenewalError,
        "version 3 of the study 'trial', and version 2 is due",
    ),
    "a version that follows from another one": (
        lambda spec: changed(made(spec), spec, previous="ab" * 32),
        RenewalError,
        "does not follow",
    ),
    "a certificate of somebody who is not in the study": (
        lambda spec: changed(
            made(spec),
            spec,
            certificates={"oak": renewed_identity("oak").certificate_pem.decode()},
        ),
        RenewalError,
        "'oak' is not an organisation",
    ),
    "a certificate of another name": (
        lambda spec: changed(
            made(spec),
            spec,
            certificates={"alder": renewed_identity("birch").certificate_pem.decode()},
        ),
        RenewalError,
        "made out to another name",
    ),
    "the certificate that was there": (
        lambda spec: changed(
            made(spec), spec, certificates={"alder": spec.card_of("alder").certificate_pem.decode()}
        ),
        RenewalError,
        "has a key that 'alder' has in the study already",
    ),
    "one key for two organisations": (
        lambda spec: changed(made(spec), spec, certificates=of_one_key("alder", "birch")),
        RenewalError,
        "the new certificates of 'alder' and 'birch' have the same key",
    ),
    "a certificate that is none": (
        lambda spec: changed(made(spec), spec, certificates={"alder": "nothing"}),
        RenewalError,
        "is not a PEM certificate",
    ),
    "two certificates in one": (
        lambda spec: changed(
            made(spec),
            spec,
            certificates={"alder": renewed_identity().certificate_pem.decode() * 2},
        ),
        RenewalError,
        "more than one certificate",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_renewal_that_is_not_in_order_is_refused(case: str) -> None:
    make, kind, reason = REFUSED[case]
    spec = study_spec()
    with pytest.raises(kind, match=reason):
        renewed(spec, [make(spec)])


def test_a_card_with_another_signing_or_sealing_key_cannot_be_renewed_to() -> None:
    spec, thief = study_spec(), identity("oak")
    for field in ("private_signing_key", "private_sealing_key"):
        card = dataclasses.replace(renewed_identity(), **{field: getattr(thief, field)}).card
        with pytest.raises(RenewalError, match="another signing or sealing key"):
            new_renewal(spec, [card])
    # Nor with a file of one's own making: it has no place for such a key.
    content = made(spec).canonical
    forged = content.replace(b'"format":', b'"signing_key":"AAAA","format":')
    with pytest.raises(RenewalError, match="signing_key"):
        parse_renewal(forged, "it")


def test_who_signs_has_the_signing_key_of_the_agreement() -> None:
    spec = study_spec()
    fresh = new_renewal(spec, [renewed_identity().card])
    with pytest.raises(SignatureError, match="'oak' has signed"):
        fresh.signed_by(spec, identity("oak"))
    with pytest.raises(SignatureError, match="in the name of 'birch'"):
        fresh.signed_by(spec, identity("birch", 1))


def test_the_one_who_is_renewed_signs_nothing_but_the_certificate_that_it_has() -> None:
    """Also one made out to its name over another one's key, which all the others would pin."""
    spec, new = study_spec(), renewed_identity()
    genuine = new_renewal(spec, [new.card])
    forged = new_renewal(spec, [renewed_identity().card])
    forged.verify_signable(spec)
    assert genuine.signed_by(spec, new).signatures.keys() == {"alder"}
    for renewal, own in ((forged, new), (forged, identity("alder")), (genuine, identity("alder"))):
        with pytest.raises(SignatureError, match="'alder' in the renewal is not that of this"):
            renewal.signed_by(spec, own)


def test_any_changed_byte_of_a_renewal_is_refused() -> None:
    spec = study_spec()
    content = made(spec).canonical
    for position in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[position] ^= 1
        with pytest.raises(MpcsegError):
            renewed(spec, [parse_renewal(bytes(damaged), "it")])
    for damaged in (content[:-1], content + b"\n", b" " + content, b"", b"[" * 100_000):
        with pytest.raises(RenewalError):
            parse_renewal(bytes(damaged), "it")


def test_an_agreement_whose_certificate_has_ended_counts_again_with_a_renewal() -> None:
    over = renewed_identity("alder", days=0)
    spec = study_spec(known={"alder": over})
    agreement = signed(spec, {"alder": over})
    with pytest.raises(
        CertificateEndedError, match="the certificate of 'alder' is valid"
    ) as caught:
        agreement.verify(utc_today())
    assert "mpcseg identity renew" in caught.value.hint
    now = renewed(spec, [made(spec)])
    Agreement(now, agreement.signatures).verify(utc_today())
    # One that has ended by now is signed by nobody.
    stale = new_renewal(spec, [renewed_identity("birch", days=0).card])
    with pytest.raises(ConfigError, match="new certificate of 'birch' is valid from"):
        stale.verify_signable(spec)


def test_an_identity_is_renewed_in_a_folder_of_its_own(tmp_path: Path) -> None:
    old = save_identity(tmp_path / "old", "alder")
    before = {path.name: path.read_bytes() for path in (tmp_path / "old").iterdir()}
    new = renew_identity(old, tmp_path / "new")
    assert load_identity(tmp_path / "new") == new
    assert {path.name: path.read_bytes() for path in (tmp_path / "old").iterdir()} == before
    assert (tmp_path / "new" / "private_keys.pem").stat().st_mode & 0o777 == 0o600
    assert new.private_key_pem != old.private_key_pem
    assert new.private_signing_key == old.private_signing_key
    assert new.private_sealing_key == old.private_sealing_key
    assert load_card(tmp_path / "new" / "alder.card") == new.card
    with pytest.raises(ConfigError, match="exists already"):
        renew_identity(old, tmp_path / "old")
