"""Sealing: bytes that one organisation alone can open, whoever carries them.

HPKE (RFC 9180) with a hybrid key: the secret holds as long as either X25519 or ML-KEM-768 does, so
that results which are recorded today stay closed to a quantum computer of tomorrow. HPKE names no
sender: what must be attributed is signed inside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)

from mpcseg.errors import ConfigError, SealError

if TYPE_CHECKING:
    from mpcseg.study.card import PublicCard

MLKEM_BYTES = 1184
SEALING_KEY_BYTES = MLKEM_BYTES + 32
"""A public sealing key: ML-KEM-768, then X25519."""

OVERHEAD_BYTES = 1088 + 32 + 16
"""What sealing adds: an ML-KEM-768 ciphertext, an X25519 share and a tag."""

_MLKEM_SEED_BYTES = 64
PRIVATE_SEALING_KEY_BYTES = _MLKEM_SEED_BYTES + 32
"""A private sealing key: the seed of ML-KEM-768, then X25519."""


def seal(card: PublicCard, data: bytes, info: bytes) -> bytes:
    """Encrypt for one organisation.

    Args:
        card: whose sealing key to use.
        data: anything.
        info: what the bytes are and belong to; opening needs the same, and it is not sent.
    """
    return _suite().encrypt(data, _public(card.sealing_key), info)


def open_sealed(private_sealing_key: bytes, sealed: bytes, info: bytes) -> bytes:
    """Decrypt what `seal` made; use it through `Identity.open_sealed`.

    Args:
        private_sealing_key: raw, `PRIVATE_SEALING_KEY_BYTES` long.
        sealed: what arrived.
        info: as when it was sealed.

    Raises:
        SealError: sealed for somebody else, for something else, or changed on the way.
    """
    key = MLKEM768X25519PrivateKey(*_private(private_sealing_key))
    try:
        return _suite().decrypt(sealed, key, info)
    except (InvalidTag, ValueError):
        raise SealError(
            "sealed bytes cannot be opened: changed on the way, or meant for somebody else",
            "Check that the identity and the agreement are those of this study, and fetch again.",
        ) from None


def new_sealing_key() -> bytes:
    """A fresh private sealing key, raw.

    Raises:
        ConfigError: the machine's cryptographic library knows no ML-KEM.
    """
    try:
        mlkem = MLKEM768PrivateKey.generate()
    except UnsupportedAlgorithm:
        raise ConfigError(
            "the cryptographic library of this machine has no ML-KEM-768",
            "Install `cryptography` from its published wheels.",
        ) from None
    return mlkem.private_bytes_raw() + X25519PrivateKey.generate().private_bytes_raw()


def public_sealing_key(private_sealing_key: bytes) -> bytes:
    """The public half of a private sealing key, both raw."""
    mlkem, x25519 = _private(private_sealing_key)
    return mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()


def verify_sealing_key(sealing_key: bytes) -> None:
    """Check that something can be sealed under a public key, before anyone relies on it.

    Raises:
        ValueError: not a pair of an ML-KEM-768 and an X25519 public key, or a weak one.
    """
    if len(sealing_key) != SEALING_KEY_BYTES:
        raise ValueError(f"a sealing key is {SEALING_KEY_BYTES} bytes long")
    # Only an encryption finds X25519 keys of small order, which would fail at the study's end.
    try:
        _suite().encrypt(b"", _public(sealing_key), b"")
    except ValueError:
        raise ValueError("not a key that something can be sealed under") from None


def _suite() -> Suite:
    return Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)


def _public(raw: bytes) -> MLKEM768X25519PublicKey:
    return MLKEM768X25519PublicKey(
        MLKEM768PublicKey.from_public_bytes(raw[:MLKEM_BYTES]),
        X25519PublicKey.from_public_bytes(raw[MLKEM_BYTES:]),
    )


def _private(raw: bytes) -> tuple[MLKEM768PrivateKey, X25519PrivateKey]:
    return (
        MLKEM768PrivateKey.from_seed_bytes(raw[:_MLKEM_SEED_BYTES]),
        X25519PrivateKey.from_private_bytes(raw[_MLKEM_SEED_BYTES:]),
    )
