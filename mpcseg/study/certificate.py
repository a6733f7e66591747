"""Certificates: each organisation's own root, of one kind only.

TLS between the nodes takes exactly the certificates that stand in the agreement, so that no
certificate authority is needed and none may sneak in.
"""

from __future__ import annotations

import datetime
import ipaddress
import re

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mpcseg.errors import ConfigError

MAKE_NEW = "Make a new identity with: mpcseg identity new"
RENEW = (
    "Its organisation renews it with `mpcseg identity renew`; for a study that has begun "
    "everybody signs the new one: mpcseg study renewal new AGREEMENT --card NEW.card"
)

# The certificate must be valid already at a partner whose clock runs behind.
_CLOCK_SKEW = datetime.timedelta(hours=1)
_HOST = re.compile(
    r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*"
)


def certificate_fingerprint(certificate_pem: bytes) -> str:
    """SHA-256 of a certificate's DER, 64 hex digits.

    Raises:
        ConfigError: not a PEM certificate.
    """
    return load_certificate(certificate_pem).fingerprint(hashes.SHA256()).hex()


def certificate_name(certificate_pem: bytes) -> str:
    """The one common name of a certificate's subject.

    Raises:
        ConfigError: not a PEM certificate, or it has no name, or several.
    """
    certificate = load_certificate(certificate_pem)
    try:
        common_names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except ValueError:  # the library reads the subject only when it is asked for it
        common_names = []
    if len(common_names) != 1:
        raise ConfigError("a certificate has no name, or several", MAKE_NEW)
    return str(common_names[0].value)


def verify_certificate(certificate_pem: bytes, what: str) -> None:
    """Check that a certificate is of the kind that `new_identity` makes, and valid today.

    Args:
        certificate_pem: PEM text.
        what: names it in the error ("the certificate of 'alder'").

    Raises:
        ConfigError: as `verify_kind` and `verify_valid`.
    """
    verify_kind(certificate_pem, what)
    verify_valid(certificate_pem, what)


def verify_valid(certificate_pem: bytes, what: str) -> None:
    """Check that a certificate is valid today, whatever it is; arguments as `verify_certificate`.

    Raises:
        ConfigError: it is not.
    """
    certificate = load_certificate(certificate_pem, what)
    now = datetime.datetime.now(datetime.UTC)
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not begin <= now <= end:
        raise ConfigError(
            f"{what} is valid from {begin:%Y-%m-%d} to {end:%Y-%m-%d} only",
            f"Check this machine's clock. {RENEW}",
        )


def verify_kind(certificate_pem: bytes, what: str) -> None:
    """Check that a certificate is of the kind that `new_identity` makes, valid or over.

    TLS takes each certificate of a study as its own root. One that is an authority would let in
    whatever else its owner signs, and so would a second one in the same file, which no fingerprint
    shows.

    Args:
        certificate_pem: PEM text.
        what: names it in the error ("the certificate of 'alder'").

    Raises:
        ConfigError: not one certificate, an authority's, or with a key that is not P-256.
    """
    certificate = load_certificate(certificate_pem, what)
    if certificate.public_bytes(serialization.Encoding.PEM) != certificate_pem:
        raise ConfigError(f"{what} holds more than one certificate, or text around it", MAKE_NEW)
    if not _is_p256(certificate):
        raise ConfigError(f"{what} has a key that is not of the kind P-256", MAKE_NEW)
    # Said outright: where a certificate says nothing of it, TLS libraries may take it for one.
    if not _is_no_authority(certificate):
        raise ConfigError(
            f"{what} may be an authority's: it does not say CA:FALSE, and could vouch for others",
            MAKE_NEW,
        )


def load_certificate(pem: bytes, what: str = "a certificate") -> x509.Certificate:
    """Read PEM text.

    Args:
        pem: the text.
        what: names it in the error.

    Raises:
        ConfigError: not a PEM certificate.
    """
    try:
        return x509.load_pem_x509_certificate(pem)
    except (ValueError, x509.InvalidVersion):
        if b"PRIVATE KEY-----" in pem:
            raise ConfigError(
                f"{what} is wanted, and this is a private key",
                "A private key that others have seen must be replaced by a new identity.",
            ) from None
        raise ConfigError(f"{what} is not a PEM certificate", MAKE_NEW) from None


def general_name(host: str) -> x509.GeneralName:
    """A host as certificates name it.

    Raises:
        ConfigError: neither an IP address nor a host name.
    """
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        if not _HOST.fullmatch(host):
            raise ConfigError(
                f"'{host}' is neither an IP address nor a host name",
                "Give it without a port, such as hub.example.org or 192.0.2.7.",
            ) from None
        return x509.DNSName(host)


def hosts_of(certificate_pem: bytes) -> list[x509.GeneralName]:
    """The hosts that a certificate names, in the form that `self_signed` takes.

    Raises:
        ConfigError: not a PEM certificate.
    """
    extensions = load_certificate(certificate_pem).extensions
    try:
        return list(extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return []


def self_signed(
    name: str, key: ec.EllipticCurvePrivateKey, hosts: list[x509.GeneralName], days: int
) -> bytes:
    """A certificate for both ends of mutual TLS, signed by its own key; PEM."""
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
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _is_p256(certificate: x509.Certificate) -> bool:
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):  # no point of its curve, or a kind unheard of
        return False
    return isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)


def _is_no_authority(certificate: x509.Certificate) -> bool:
    try:
        found = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        return False
    return not found.value.ca
