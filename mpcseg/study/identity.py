"""A node's identity: one P-256 key with a self-signed certificate.

The same certificate serves for both ends of mutual TLS and for signatures. The others know it by
its place in the study file, so that no certificate authority is needed: each certificate is its
own root.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mpcseg.errors import ConfigError, KeyFingerprintError
from mpcseg.study.documents import read_bytes

CERTIFICATE_FILE = "certificate.pem"
PRIVATE_KEY_FILE = "private_key.pem"
DEFAULT_DAYS = 730

# The certificate must be valid already at a partner whose clock runs behind.
_CLOCK_SKEW = datetime.timedelta(hours=1)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HOST = re.compile(
    r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*"
)


@dataclass(frozen=True)
class Identity:
    """A node's name, certificate and private key.

    Attributes:
        name: the node's name, as in the study file.
        certificate_pem: public.
        private_key_pem: never leaves the node; left out of ``repr``.
    """

    name: str
    certificate_pem: bytes
    private_key_pem: bytes = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate (DER), 64 hex digits."""
        return certificate_fingerprint(self.certificate_pem)

    def sign(self, data: bytes) -> bytes:
        """An ECDSA signature (P-256, SHA-256, DER) over ``data``."""
        key = serialization.load_pem_private_key(self.private_key_pem, password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ConfigError(f"the private key of '{self.name}' is not an elliptic-curve key")
        return key.sign(data, ec.ECDSA(hashes.SHA256()))


def certificate_fingerprint(certificate_pem: bytes) -> str:
    """SHA-256 of a certificate's DER, 64 hex digits.

    Raises:
        ConfigError: not a PEM certificate.
    """
    return _certificate(certificate_pem).fingerprint(hashes.SHA256()).hex()


def verify_signature(certificate_pem: bytes, data: bytes, signature: bytes) -> None:
    """Check an ECDSA signature made by `Identity.sign`.

    Raises:
        KeyFingerprintError: the signature was not made over these bytes by this certificate's key.
        ConfigError: not a certificate of the kind that `new_identity` makes.
    """
    public_key = _certificate(certificate_pem).public_key()
    if not isinstance(public_key, ec.EllipticCurvePublicKey):
        raise ConfigError("a certificate's key is not an elliptic-curve key", _MAKE_NEW)
    try:
        public_key.verify(signature, data, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise KeyFingerprintError(
            "a signature does not belong to the certificate that should have made it",
            "Compare the certificates' fingerprints with the other organisations, by telephone.",
        ) from None


def new_identity(
    name: str, folder: Path, hosts: Sequence[str] = (), *, days: int = DEFAULT_DAYS
) -> Identity:
    """Make a key and a self-signed certificate, and save both.

    Args:
        name: the node's name; becomes the certificate's common name.
        folder: made where absent; receives `CERTIFICATE_FILE` and `PRIVATE_KEY_FILE` (mode 0600).
        hosts: DNS names and IP addresses under which others reach this node. A compute node needs
            them; nodes that only dial out do not.
        days: how long the certificate is valid.

    Raises:
        ConfigError: the name or a host is impossible, or the folder holds an identity already.
    """
    _verify_name(name)
    names = [_general_name(host) for host in hosts]
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _self_signed(name, key, names, days)
    identity = Identity(
        name,
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_new(folder / PRIVATE_KEY_FILE, identity.private_key_pem, 0o600)
        _write_new(folder / CERTIFICATE_FILE, identity.certificate_pem, 0o644)
    except FileExistsError as error:
        raise ConfigError(
            f"{error.filename} exists already",
            "Choose another folder; an identity is never overwritten.",
        ) from None
    except OSError as error:
        raise ConfigError(
            f"the identity cannot be saved in {folder}: {error.strerror or 'unknown reason'}",
            "Choose a folder that this user may write to.",
        ) from None
    return identity


def load_identity(folder: Path) -> Identity:
    """Read and check a node's own identity.

    Args:
        folder: where `new_identity` saved it.

    Raises:
        ConfigError: a file is absent or unreadable, others may read the private key, key and
            certificate do not belong together, or the certificate is not one that
            `verify_certificate` accepts.
    """
    certificate_pem = read_bytes(folder / CERTIFICATE_FILE, "the certificate")
    key_path = folder / PRIVATE_KEY_FILE
    private_key_pem = read_bytes(key_path, "the private key")
    if stat.S_IMODE(key_path.stat().st_mode) & 0o077:
        raise ConfigError(
            f"the private key {key_path} may be read by other users",
            f"Run: chmod 600 {key_path}; make a new identity if others had access.",
        )
    certificate = _certificate(certificate_pem, folder / CERTIFICATE_FILE)
    _verify_pair(certificate, private_key_pem, folder)
    verify_certificate(certificate_pem, f"the certificate {folder / CERTIFICATE_FILE}")
    common_names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if len(common_names) != 1:
        raise ConfigError(f"the certificate {folder / CERTIFICATE_FILE} has no name", _MAKE_NEW)
    return Identity(str(common_names[0].value), certificate_pem, private_key_pem)


def verify_certificate(certificate_pem: bytes, what: str) -> None:
    """Check that a certificate is of the kind that `new_identity` makes, and valid today.

    TLS takes each certificate of a study as its own root. One that is an authority would let in
    whatever else its owner signs, and so would a second one in the same file, which no fingerprint
    shows.

    Args:
        certificate_pem: PEM text.
        what: names it in the error ("the certificate of 'alder'").

    Raises:
        ConfigError: not one certificate, an authority's, with a key that is not P-256, or not
            valid today.
    """
    certificate = _certificate(certificate_pem)
    if certificate_pem.count(b"-----BEGIN ") != 1:
        raise ConfigError(f"{what} holds more than one certificate", _MAKE_NEW)
    key = certificate.public_key()
    if not (isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)):
        raise ConfigError(f"{what} has a key that is not of the kind P-256", _MAKE_NEW)
    # Said outright: where a certificate says nothing of it, TLS libraries may take it for one.
    if not _is_no_authority(certificate):
        raise ConfigError(
            f"{what} may be an authority's: it does not say CA:FALSE, and could vouch for others",
            _MAKE_NEW,
        )
    now = datetime.datetime.now(datetime.UTC)
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not begin <= now <= end:
        raise ConfigError(
            f"{what} is valid from {begin:%Y-%m-%d} to {end:%Y-%m-%d} only",
            f"Check this machine's clock. {_MAKE_NEW}",
        )


_MAKE_NEW = "Make a new identity with: mpcseg identity new"


def _is_no_authority(certificate: x509.Certificate) -> bool:
    try:
        found = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        return False
    return not found.value.ca


def _verify_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"'{name}' cannot be a node's name",
            "Use letters, digits, '.', '_' and '-', beginning with a letter or digit (64 at most).",
        )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        if not _HOST.fullmatch(host):
            raise ConfigError(
                f"'{host}' is neither an IP address nor a host name",
                "Give it without a port, such as hub.example.org or 192.0.2.7.",
            ) from None
        return x509.DNSName(host)


def _self_signed(
    name: str, key: ec.EllipticCurvePrivateKey, hosts: list[x509.GeneralName], days: int
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + datetime.timedelta(days=days))
        # Not an authority: whoever trusts this certificate trusts it alone, and nothing it signs.
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=False,
                crl_sign=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(
            x509.ExtendedKeyUsage(
                [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            ),
            critical=False,
        )
    )
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
    return builder.sign(key, hashes.SHA256())


def _certificate(pem: bytes, path: Path | None = None) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError:
        where = f"the certificate {path}" if path else "a certificate"
        if b"PRIVATE KEY-----" in pem:
            raise ConfigError(
                f"{where} is wanted, and the file is a private key",
                f"Name {CERTIFICATE_FILE}. A private key that others have seen must be replaced "
                "by a new identity.",
            ) from None
        raise ConfigError(f"{where} is not a PEM certificate", _MAKE_NEW) from None


def _verify_pair(certificate: x509.Certificate, private_key_pem: bytes, folder: Path) -> None:
    try:
        key = serialization.load_pem_private_key(private_key_pem, password=None)
    except (ValueError, TypeError):  # not a key; or one with a password
        raise ConfigError(
            f"the private key {folder / PRIVATE_KEY_FILE} is not a PEM key without a password",
            _MAKE_NEW,
        ) from None
    if key.public_key() != certificate.public_key():
        raise ConfigError(
            f"{PRIVATE_KEY_FILE} and {CERTIFICATE_FILE} in {folder} do not belong together",
            "Take both files from the same call of: mpcseg identity new",
        )


def _write_new(path: Path, content: bytes, mode: int) -> None:
    """Write a file that must not exist yet, with its mode from the first byte on."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
