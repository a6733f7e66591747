"""Public key material as bytes, and the refusal of any other (docs/protocol.md section 1).

Keys travel as SEAL saves them, seeded and compressed; their decompressed length is bounded before
SEAL sees a byte.
"""

from __future__ import annotations

from typing import Any

import tenseal.sealapi as seal

from mpcseg.ckks.parameters import ParameterSet
from mpcseg.ckks.serialization import (
    PLAINTEXT,
    SEAL_HEADER,
    SEAL_MAGIC,
    load_from_bytes,
    seal_header,
    seal_payload,
)
from mpcseg.errors import BlobTooLargeError, MalformedBlobError, SecretKeyRefusedError

_LONGEST_SECRET_KEY = 8 * 64 * 32768 + 512
"""Of any ring that SEAL knows: 64 primes of 32768 coefficients."""

_SEAL_START = SEAL_MAGIC.to_bytes(2, "little") + bytes([SEAL_HEADER.size])


def key_bytes_limit(parameters: ParameterSet, *, relinearisation: bool) -> int:
    """Longest saved public key, or seeded relinearisation keys; compressed or not."""
    polynomial = 8 * parameters.n_key_primes * parameters.poly_modulus_degree
    if not relinearisation:
        return 2 * polynomial + 512
    return (parameters.n_key_primes - 1) * (polynomial + 512) + 512


def load_public_key(parameters: ParameterSet, saved: bytes) -> Any:
    """Check and load a public key. Party and compute node.

    Raises:
        SecretKeyRefusedError: the bytes hold a secret key.
        MalformedBlobError: not a public key of this parameter set.
        BlobTooLargeError: longer than a public key.
    """
    payload = _key_payload(parameters, saved, relinearisation=False)
    key = seal.PublicKey()
    load_from_bytes(
        lambda path: key.load(parameters.ring.context, path), seal_header(len(payload)), payload
    )
    return key


def load_relinearisation_keys(parameters: ParameterSet, saved: bytes) -> Any:
    """Check and load relinearisation keys. Compute node.

    Raises:
        SecretKeyRefusedError: the bytes hold a secret key.
        MalformedBlobError: not relinearisation keys of this parameter set.
        BlobTooLargeError: longer than relinearisation keys.
    """
    payload = _key_payload(parameters, saved, relinearisation=True)
    keys = seal.RelinKeys()
    load_from_bytes(
        lambda path: keys.load(parameters.ring.context, path), seal_header(len(payload)), payload
    )
    return keys


def _key_payload(parameters: ParameterSet, saved: bytes, *, relinearisation: bool) -> bytes:
    refuse_secret_key(saved)
    return seal_payload(saved, key_bytes_limit(parameters, relinearisation=relinearisation))


def refuse_secret_key(saved: bytes) -> None:
    """Refuse bytes that are a SEAL secret key or a TenSEAL context with one inside.

    Nobody sends one on purpose; this catches the operator who picks the wrong file. Runs on the
    compute node before a key is kept.

    Raises:
        SecretKeyRefusedError: a secret key was found.
    """
    hint = "Destroy the key, make new ones, and send the public key and relinearisation keys only."
    if _is_seal_secret_key(saved):
        raise SecretKeyRefusedError("A SEAL secret key was sent to the compute node.", hint)
    if not saved.startswith(_SEAL_START) and _has_nested_secret_key(saved):
        raise SecretKeyRefusedError(
            "A context that contains a secret key was sent to the compute node.", hint
        )


def _is_seal_secret_key(saved: bytes) -> bool:
    try:
        payload = seal_payload(saved, _LONGEST_SECRET_KEY)
    except (MalformedBlobError, BlobTooLargeError):
        return False
    if len(payload) < PLAINTEXT.size:
        return False
    # A secret key is saved as a plaintext: parms id, coefficient count, scale 1, coefficients.
    # A public key is saved as a ciphertext, in which these bytes are parts of other fields.
    *_, count, scale = PLAINTEXT.unpack_from(payload)
    return bool(scale == 1.0 and len(payload) == PLAINTEXT.size + SEAL_HEADER.size + 8 + 8 * count)


def _has_nested_secret_key(saved: bytes) -> bool:
    """Look for a saved SEAL secret key anywhere inside, as TenSEAL contexts carry it."""
    start = saved.find(_SEAL_START)
    while start >= 0:
        size = int.from_bytes(saved[start + 8 : start + SEAL_HEADER.size], "little")
        nested = saved[start : start + size]
        if len(nested) == size and _is_seal_secret_key(nested):
            return True
        start = saved.find(_SEAL_START, start + 1)
    return False
