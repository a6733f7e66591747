"""An organisation's identity: its private keys, and the card that the others know it by.

Three keys, each for one thing: P-256 with a self-signed certificate for TLS, Ed25519 for
signatures, ML-KEM-768 with X25519 for results that are sealed to it. An organisation that runs two
nodes of a study uses the same identity on both machines.
"""

from __future__ import annotations

import base64
import errno
import os
import re
import secrets
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mlkem, x25519
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from mpcseg.durable import sync_folder
from mpcseg.errors import ConfigError, PassphraseError
from mpcseg.study import sealing
from mpcseg.study.card import (
    CARD_SUFFIX,
    NODE_NAME,
    PublicCard,
    card_text,
    load_card,
    signed_bytes,
)
from mpcseg.study.certificate import (
    MAKE_NEW,
    certificate_fingerprint,
    certificate_name,
    general_name,
    hosts_of,
    load_certificate,
    self_signed,
    verify_certificate,
    verify_kind,
    verify_valid,
)
from mpcseg.study.documents import read_bytes

__all__ = [
    "CERTIFICATE_FILE",
    "DEFAULT_DAYS",
    "PRIVATE_KEYS_FILE",
    "Identity",
    "card_path",
    "certificate_fingerprint",
    "is_locked",
    "load_identity",
    "new_identity",
    "renew_identity",
    "verify_certificate",
]

CERTIFICATE_FILE = "certificate.pem"
PRIVATE_KEYS_FILE = "private_keys.pem"
DEFAULT_DAYS = 730

# PEM's own stretching of a passphrase is 2048 rounds of PBKDF2, a matter of seconds for a machine
# that guesses; scrypt with these numbers takes 128 MB and a good part of a second per guess.
_SCRYPT_N, _SCRYPT_R, _SCRYPT_P = 2**17, 8, 1
_SALT_BYTES = 16
_SALT_LINE = re.compile(rb"^scrypt-salt: ([A-Za-z0-9+/=]+)$", re.MULTILINE)
_BLOCK = re.compile(
    rb"-----BEGIN (?P<kind>(?:ENCRYPTED )?PRIVATE KEY)-----\n.*?\n-----END (?P=kind)-----\n",
    re.DOTALL,
)
_LOCKED = b"ENCRYPTED PRIVATE KEY-----"


@dataclass(frozen=True)
class Identity:
    """An organisation's name and keys. What is private is left out of ``repr``.

    Attributes:
        name: the organisation's name, as in the agreement.
        certificate_pem: public.
        private_key_pem: of the certificate, for TLS; not encrypted in memory.
        private_signing_key: Ed25519, raw.
        private_sealing_key: raw, as in `mpcseg.study.sealing`.
    """

    name: str
    certificate_pem: bytes
    private_key_pem: bytes = field(repr=False)
    private_signing_key: bytes = field(repr=False)
    private_sealing_key: bytes = field(repr=False)

    @cached_property
    def card(self) -> PublicCard:
        """What the others know this organisation by."""
        signing_key = ed25519.Ed25519PrivateKey.from_private_bytes(self.private_signing_key)
        return PublicCard(
            name=self.name,
            certificate_pem=self.certificate_pem,
            signing_key=signing_key.public_key().public_bytes_raw(),
            sealing_key=sealing.public_sealing_key(self.private_sealing_key),
        )

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate (DER), 64 hex digits."""
        return self.card.fingerprint

    def sign(self, purpose: str, data: bytes) -> bytes:
        """Sign for one purpose; `mpcseg.study.card.verify_signature` checks it.

        Args:
            purpose: a few words (ASCII) that keep signatures of different meaning apart.
            data: what is signed.

        Returns:
            An Ed25519 signature, 64 bytes.
        """
        key = ed25519.Ed25519PrivateKey.from_private_bytes(self.private_signing_key)
        return key.sign(signed_bytes(purpose, data))

    def open_sealed(self, sealed: bytes, info: bytes) -> bytes:
        """Decrypt what was sealed to this organisation's card.

        Args:
            sealed: made by `mpcseg.study.sealing.seal`.
            info: the same as when it was sealed.

        Raises:
            SealError: sealed for somebody else, for something else, or changed on the way.
        """
        return sealing.open_sealed(self.private_sealing_key, sealed, info)


def new_identity(
    name: str,
    folder: Path,
    hosts: Sequence[str] = (),
    *,
    days: int = DEFAULT_DAYS,
    passphrase: str | None = None,
) -> Identity:
    """Make an organisation's keys, certificate and card, and save them.

    Args:
        name: the organisation's name; becomes the certificate's common name.
        folder: made where absent; receives `PRIVATE_KEYS_FILE` (mode 0600), `CERTIFICATE_FILE` and
            the card, ``NAME.card``.
        hosts: DNS names and IP addresses under which others reach this organisation's compute
            node. Organisations whose nodes only dial out need none.
        days: how long the certificate is valid.
        passphrase: encrypts the private keys on disk.

    Raises:
        ConfigError: the name or a host is impossible, or the folder holds an identity already.
    """
    _verify_name(name)
    names = [general_name(host) for host in hosts]
    if passphrase is not None and not passphrase:
        raise PassphraseError("the passphrase is empty", "Choose a long one, or none at all.")
    key = ec.generate_private_key(ec.SECP256R1())
    identity = Identity(
        name,
        self_signed(name, key, names, days),
        _pem(key, serialization.NoEncryption()),
        ed25519.Ed25519PrivateKey.generate().private_bytes_raw(),
        sealing.new_sealing_key(),
    )
    _save(identity, folder, passphrase)
    return identity


def renew_identity(
    old: Identity,
    folder: Path,
    hosts: Sequence[str] | None = None,
    *,
    days: int = DEFAULT_DAYS,
    passphrase: str | None = None,
) -> Identity:
    """Make a new certificate with a new TLS key for an identity, and save both as a whole new one.

    Signing and sealing key stay, so that whatever was signed or sealed before still is. The folder
    of the old identity is not touched: nodes run by it until they are started with the new one.

    Args:
        old: the identity; its certificate may have ended.
        folder: another one than that of the old identity; otherwise as `new_identity`.
        hosts: as `new_identity`; those of the old certificate where None.
        days: how long the new certificate is valid.
        passphrase: encrypts the private keys on disk.

    Raises:
        ConfigError: a host is impossible, or the folder holds an identity already.
    """
    kept = hosts_of(old.certificate_pem)
    names = kept if hosts is None else [general_name(host) for host in hosts]
    key = ec.generate_private_key(ec.SECP256R1())
    identity = Identity(
        old.name,
        self_signed(old.name, key, names, days),
        _pem(key, serialization.NoEncryption()),
        old.private_signing_key,
        old.private_sealing_key,
    )
    _save(identity, folder, passphrase)
    return identity


def _save(identity: Identity, folder: Path, passphrase: str | None) -> None:
    card = card_text(identity.card, identity.sign("card", identity.card.canonical))
    files = (
        (folder / PRIVATE_KEYS_FILE, _private_text(identity, passphrase), 0o600),
        (folder / CERTIFICATE_FILE, identity.certificate_pem, 0o644),
        (card_path(folder, identity.name), card.encode(), 0o644),
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, _, _ in files:
            if path.exists():  # before anything is written; a race still ends in the same error
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        for path, content, mode in files:
            _write_new(path, content, mode)
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


def load_identity(
    folder: Path, passphrase: str | None = None, *, may_have_ended: bool = False
) -> Identity:
    """Read and check an organisation's own identity.

    Args:
        folder: where `new_identity` saved it.
        passphrase: the one that it was saved with; not looked at where there was none.
        may_have_ended: take a certificate that is not valid any more, to renew it.

    Raises:
        ConfigError: a file is absent or unreadable, others may read the private keys, the files do
            not belong together, or the certificate is not one that `verify_certificate` accepts.
        PassphraseError: the private keys are locked, and the passphrase is absent or wrong.
    """
    certificate_path = folder / CERTIFICATE_FILE
    certificate_pem = read_bytes(certificate_path, "the certificate", hint=_NO_IDENTITY)
    certificate = load_certificate(certificate_pem, f"the certificate {certificate_path}")
    content = _read_private(folder)
    tls, signing, kem, curve = _private_keys(folder / PRIVATE_KEYS_FILE, content, passphrase)
    verify_kind(certificate_pem, f"the certificate {certificate_path}")
    if not may_have_ended:
        verify_valid(certificate_pem, f"the certificate {certificate_path}")
    name = certificate_name(certificate_pem)
    card = load_card(card_path(folder, name), may_have_ended=may_have_ended)
    identity = Identity(
        name,
        certificate_pem,
        _pem(tls, serialization.NoEncryption()),
        signing.private_bytes_raw(),
        kem.private_bytes_raw() + curve.private_bytes_raw(),
    )
    if tls.public_key() != certificate.public_key() or identity.card != card:
        raise ConfigError(
            f"{PRIVATE_KEYS_FILE}, {CERTIFICATE_FILE} and {card_path(folder, name).name} in "
            f"{folder} do not belong together",
            "Take all three files from the same call of: mpcseg identity new",
        )
    return identity


def is_locked(folder: Path) -> bool:
    """Whether an identity's private keys need a passphrase.

    Raises:
        ConfigError: the private keys are absent or unreadable, or others may read them.
    """
    return _LOCKED in _read_private(folder)


def card_path(folder: Path, name: str) -> Path:
    """Where an identity's card is kept."""
    return folder / f"{name}{CARD_SUFFIX}"


def _verify_name(name: str) -> None:
    if not re.fullmatch(NODE_NAME.strip("^$"), name):
        raise ConfigError(
            f"'{name}' cannot be an organisation's name",
            "Use letters, digits, '.', '_' and '-', beginning with a letter or digit (64 at most).",
        )


def _read_private(folder: Path) -> bytes:
    path = folder / PRIVATE_KEYS_FILE
    content = read_bytes(path, "the private keys", hint=_NO_IDENTITY)
    if _is_shared(path.stat(), os.geteuid()):
        raise ConfigError(
            f"the private keys {path} may be read by other users",
            f"Run: chmod 600 {path}; make a new identity if others had access.",
        )
    return content


def _is_shared(file: os.stat_result, user: int) -> bool:
    """Whether others than this user may read a file, or change it.

    What root owns and gives to one group to read is this node's, where the node runs as a user of
    its own: so Kubernetes and systemd hand out secrets. PostgreSQL has the same rule for its keys.
    """
    mode = stat.S_IMODE(file.st_mode)
    is_handed_out = file.st_uid == 0 and user != 0
    return bool(mode & (0o037 if is_handed_out else 0o077))


def _private_text(identity: Identity, passphrase: str | None) -> bytes:
    """The file of private keys: a PEM block for each."""
    seed, curve = identity.private_sealing_key[:-32], identity.private_sealing_key[-32:]
    keys = (
        serialization.load_pem_private_key(identity.private_key_pem, None),
        ed25519.Ed25519PrivateKey.from_private_bytes(identity.private_signing_key),
        mlkem.MLKEM768PrivateKey.from_seed_bytes(seed),
        x25519.X25519PrivateKey.from_private_bytes(curve),
    )
    head = f"# The private keys of {identity.name}. Keep this file to yourselves.\n".encode()
    how: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase is not None:
        salt = secrets.token_bytes(_SALT_BYTES)
        head += b"scrypt-salt: " + base64.b64encode(salt) + b"\n"
        how = serialization.BestAvailableEncryption(_stretched(passphrase, salt))
    return head + b"".join(_pem(key, how) for key in keys)


def _private_keys(path: Path, content: bytes, passphrase: str | None) -> list[Any]:
    """P-256, Ed25519, ML-KEM-768 and X25519, in this order."""
    kinds = (
        ec.EllipticCurvePrivateKey,
        ed25519.Ed25519PrivateKey,
        mlkem.MLKEM768PrivateKey,
        x25519.X25519PrivateKey,
    )
    blocks = [match.group() for match in _BLOCK.finditer(content)]
    password = _password(path, content, passphrase)
    try:
        keys = [serialization.load_pem_private_key(block, password) for block in blocks]
    # Broken, of a foreign kind or a wrong length; or some with, some without a passphrase.
    except (ValueError, TypeError, UnsupportedAlgorithm, InternalError):
        if password is not None:
            raise PassphraseError(
                f"the private keys {path} do not open with this passphrase", _GIVE_PASSPHRASE
            ) from None
        keys = []
    if len(keys) != len(kinds) or not all(map(isinstance, keys, kinds)):
        raise ConfigError(f"{path} is not a file of private keys of this version", MAKE_NEW)
    return list(keys)


def _password(path: Path, content: bytes, passphrase: str | None) -> bytes | None:
    """What the PEM blocks are encrypted under; None where they are not."""
    if _LOCKED not in content:
        return None
    found = _SALT_LINE.search(content)
    if found is None:
        raise ConfigError(f"{path} is not a file of private keys of this version", MAKE_NEW)
    if not passphrase:
        raise PassphraseError(f"the private keys {path} are locked", _GIVE_PASSPHRASE)
    try:
        salt = base64.b64decode(found[1], validate=True)
    except ValueError:
        raise ConfigError(f"the salt in {path} is not base64 text", MAKE_NEW) from None
    return _stretched(passphrase, salt)


def _stretched(passphrase: str, salt: bytes) -> bytes:
    stretch = Scrypt(salt=salt, length=32, n=_SCRYPT_N, r=_SCRYPT_R, p=_SCRYPT_P)
    return base64.b64encode(stretch.derive(passphrase.encode("utf-8", "surrogateescape")))


def _pem(key: Any, how: serialization.KeySerializationEncryption) -> bytes:
    pem: bytes = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how
    )
    return pem


def _write_new(path: Path, content: bytes, mode: int) -> None:
    """Write a file that must not exist yet, with its mode from the first byte on; for good."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)


_NO_IDENTITY = "Name the folder that `mpcseg identity new` made."
_GIVE_PASSPHRASE = (
    "Give the passphrase at the prompt, in MPCSEG_PASSPHRASE, or in "  # noqa: S105
    "the file that MPCSEG_PASSPHRASE_FILE names."
)
