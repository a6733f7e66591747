"""Which certificates a study takes: one for each organisation, no authority, valid today."""

from __future__ import annotations

import base64
import dataclasses
import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from mpcseg.errors import AgreementError, ConfigError
from mpcseg.study.agreement import utc_today
from mpcseg.study.card import card_text, load_card
from mpcseg.study.certificate import certificate_name
from mpcseg.study.identity import load_identity, new_identity, verify_certificate
from tests.organisations import identity, signed, study_spec

DAY = datetime.timedelta(days=1)


def certificate(
    *,
    key: Any = None,
    ca: bool | None = False,
    begin: datetime.timedelta = -DAY,
    end: datetime.timedelta = DAY,
) -> bytes:
    """A self-signed certificate; ``ca`` is None for one that does not say."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "alder")])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begin)
        .not_valid_after(now + end)
    )
    if ca is not None:
        constraints = x509.BasicConstraints(ca=ca, path_length=None)
        builder = builder.add_extension(constraints, critical=True)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, algorithm).public_bytes(serialization.Encoding.PEM)


def write_card(path: Path, certificate_pem: bytes) -> Path:
    """A card file whose certificate alone is not as it should be; signed by its own key."""
    made = identity("alder")
    as_it_should_be = card_text(made.card, made.sign("card", made.card.canonical))
    path.write_text(
        as_it_should_be.replace(made.certificate_pem.decode(), certificate_pem.decode())
    )
    return path


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "an authority": (lambda: certificate(ca=True), "authority"),
    "silent on authority": (lambda: certificate(ca=None), "authority"),
    "P-384": (lambda: certificate(key=ec.generate_private_key(ec.SECP384R1())), "P-256"),
    "RSA": (
        lambda: certificate(key=rsa.generate_private_key(public_exponent=65537, key_size=2048)),
        "P-256",
    ),
    "Ed25519": (lambda: certificate(key=ed25519.Ed25519PrivateKey.generate()), "P-256"),
    "run out": (lambda: certificate(begin=-3 * DAY, end=-DAY), "is valid from"),
    "not yet valid": (lambda: certificate(begin=DAY, end=3 * DAY), "is valid from"),
    "an authority behind": (lambda: certificate() + certificate(ca=True), "more than one"),
    "two": (lambda: certificate() + certificate(), "more than one"),
    "a trusted one behind": (
        lambda: (
            certificate() + certificate(ca=True).replace(b" CERTIFICATE", b" TRUSTED CERTIFICATE")
        ),
        "more than one",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_card_with_a_certificate_of_another_kind_is_refused(tmp_path: Path, case: str) -> None:
    make, reason = REFUSED[case]
    path = write_card(tmp_path / "alder.card", make())
    with pytest.raises(ConfigError, match=rf"alder\.card: its certificate .*{reason}") as caught:
        load_card(path)
    assert f"mpcseg identity {'renew' if 'valid' in reason else 'new'}" in caught.value.hint


@pytest.mark.parametrize("case", ["an authority", "P-384", "run out", "not yet valid"])
def test_an_agreement_with_a_certificate_of_another_kind_is_refused(case: str) -> None:
    """Signed by everybody: signatures do not make up for a certificate that is none."""
    make, reason = REFUSED[case]
    alder = dataclasses.replace(identity("alder"), certificate_pem=make())
    spec = study_spec(known={"alder": alder})
    with pytest.raises(AgreementError, match=f"the certificate of 'alder' .*{reason}") as caught:
        signed(spec, {"alder": alder}).verify(utc_today())
    todo = "mpcseg study renewal new" if "valid" in reason else "a new card of 'alder'"
    assert todo in caught.value.hint


def test_a_certificate_that_is_none_is_named(tmp_path: Path) -> None:
    for pem, reason in [
        (b"nothing", "is not a PEM certificate"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", "this is a private key"),
    ]:
        with pytest.raises(ConfigError, match=reason):
            load_card(write_card(tmp_path / "alder.card", pem))


# In some certificates, a bit turns the serial number negative: the library still reads them.
@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
def test_a_damaged_certificate_is_a_plain_error() -> None:
    """Whatever bit of its DER is flipped: either nobody minds yet, or `ConfigError`."""
    pem = identity("alder").certificate_pem
    der = x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER)
    refused = 0
    for position in range(len(der) * 8):
        damaged = bytearray(der)
        damaged[position // 8] ^= 1 << (position % 8)
        text = base64.encodebytes(bytes(damaged)).decode()
        try:
            damaged_pem = f"-----BEGIN CERTIFICATE-----\n{text}-----END CERTIFICATE-----\n".encode()
            verify_certificate(damaged_pem, "it")
            certificate_name(damaged_pem)
        except ConfigError:
            refused += 1
    assert refused > len(der) * 2


def test_a_new_identity_is_no_authority_and_accepted(tmp_path: Path) -> None:
    made = new_identity("alder", tmp_path)
    loaded = x509.load_pem_x509_certificate(made.certificate_pem)
    constraints = loaded.extensions.get_extension_for_class(x509.BasicConstraints)
    assert not constraints.value.ca
    assert constraints.critical
    assert not loaded.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    verify_certificate(made.certificate_pem, "it")


def test_an_own_identity_that_is_an_authority_is_refused(tmp_path: Path) -> None:
    new_identity("alder", tmp_path)
    (tmp_path / "certificate.pem").write_bytes(certificate(ca=True))
    with pytest.raises(ConfigError, match="authority"):
        load_identity(tmp_path)
