"""Which certificates a study takes: one for each node, of its own, no authority, valid today."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from mpcseg.errors import ConfigError
from mpcseg.study.identity import load_identity, new_identity, verify_certificate
from mpcseg.study.spec import load_study

STUDY = """
name = "spring"
n_clusters = 4
n_rounds = 8
epsilon = "none"
features = [{ name = "recency", lower = 0, upper = 730 }]
compute = { name = "hub", certificate = "hub.pem" }
key = { name = "notary", certificate = "notary.pem" }
parties = [{ name = "alder", certificate = "alder.pem" }]
"""
ROLES = {"hub": "compute", "notary": "key", "alder": "party"}
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


@pytest.fixture
def study(tmp_path: Path) -> Path:
    for name in ROLES:
        made = new_identity(name, tmp_path / name)
        (tmp_path / f"{name}.pem").write_bytes(made.certificate_pem)
    path = tmp_path / "study.toml"
    path.write_text(STUDY, encoding="utf-8")
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


def test_a_study_of_ordinary_certificates_is_read(study: Path) -> None:
    (study.parent / "alder.pem").write_bytes(certificate())
    assert [node.name for node in load_study(study).nodes] == [*ROLES]


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("node", ROLES)
def test_a_certificate_of_another_kind_is_refused_with_its_nodes_name(
    study: Path, node: str, case: str
) -> None:
    make, reason = REFUSED[case]
    (study.parent / f"{node}.pem").write_bytes(make())
    with pytest.raises(ConfigError, match=f"'{node}'.*{reason}") as caught:
        load_study(study)
    assert "study.toml" in caught.value.message
    assert "mpcseg identity new" in caught.value.hint
    assert "Ask this node's organisation" in caught.value.hint


def test_a_new_identity_is_no_authority_and_accepted(tmp_path: Path) -> None:
    made = new_identity("alder", tmp_path)
    loaded = x509.load_pem_x509_certificate(made.certificate_pem)
    constraints = loaded.extensions.get_extension_for_class(x509.BasicConstraints)
    assert not constraints.value.ca
    assert constraints.critical
    assert not loaded.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    verify_certificate(made.certificate_pem, "it")


def test_an_own_identity_that_is_an_authority_is_refused(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    new_identity("alder", tmp_path)
    (tmp_path / "certificate.pem").write_bytes(certificate(key=key, ca=True))
    (tmp_path / "private_key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    with pytest.raises(ConfigError, match="authority"):
        load_identity(tmp_path)
