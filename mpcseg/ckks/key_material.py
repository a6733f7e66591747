"""Public key material as bytes, and the refusal of any other (docs/protocol.md section 1).

A public key (b, a) travels as a seed and b: everybody expands a from the seed. A key node that
could choose a freely could choose one under which encryptions of zero hide nothing, and with it
read what the masks of section 6 are there to hide.

Relinearisation keys travel as SEAL saves them, seeded and compressed. Their decompressed form has a
length and a structure that are known in advance, so that all of it is checked, and SEAL is given
bytes in which nothing but residues and seeds comes from outside (ADR 0014).
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import tenseal.sealapi as seal
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from mpcseg.ckks.parameters import ParameterSet
from mpcseg.ckks.sampling import KEY_BYTES, uniform_residues
from mpcseg.ckks.serialization import (
    PLAINTEXT,
    SAVED_SEED_BYTES,
    SEAL_HEADER,
    SEAL_MAGIC,
    Residues,
    load_from_bytes,
    saved_ciphertext,
    seal_header,
    seal_payload,
    verify_residues,
    verify_seed,
)
from mpcseg.errors import BlobTooLargeError, MalformedBlobError, SecretKeyRefusedError

SEED_BYTES = 32
"""Public seed of a public key's second polynomial."""

_PUBLIC_KEY = struct.Struct("<4sBxxxII32s")  # magic, version, N, primes, seed
_MAGIC, _VERSION = b"MPCK", 1

_LONGEST_SECRET_KEY = 8 * 64 * 32768 + 512
"""Of any ring that SEAL knows: 64 primes of 32768 coefficients."""

_SEAL_START = SEAL_MAGIC.to_bytes(2, "little") + bytes([SEAL_HEADER.size])


def key_bytes_limit(parameters: ParameterSet, *, relinearisation: bool) -> int:
    """Length of a public key; longest seeded relinearisation keys, compressed or not."""
    coefficients = parameters.n_key_primes * parameters.poly_modulus_degree
    if not relinearisation:
        return _PUBLIC_KEY.size + 4 * coefficients
    return (parameters.n_key_primes - 1) * (8 * coefficients + 512) + 512


def expand_public_polynomial(parameters: ParameterSet, seed: bytes) -> Residues:
    """The second polynomial a of a public key, shape (primes, N), NTT form. Any node.

    Args:
        parameters: of the study.
        seed: public, :data:`SEED_BYTES` long.
    """
    info = b"mpcseg public key|" + parameters.digest.encode()
    key = HKDF(SHA512(), KEY_BYTES, None, info).derive(seed)
    return uniform_residues(key, parameters.primes, parameters.poly_modulus_degree)


def pack_public_key(parameters: ParameterSet, b: Residues, seed: bytes) -> bytes:
    """A public key as it travels. Key node.

    Args:
        parameters: of the study.
        b: first polynomial, shape (primes, N), NTT form.
        seed: of the second one.
    """
    degree, n_primes = parameters.poly_modulus_degree, parameters.n_key_primes
    return _PUBLIC_KEY.pack(_MAGIC, _VERSION, degree, n_primes, seed) + b.astype("<u4").tobytes()


def verify_public_key(parameters: ParameterSet, saved: bytes) -> None:
    """Check a foreign public key with NumPy alone; SEAL does not see its bytes. Compute node.

    Raises:
        SecretKeyRefusedError: the bytes hold a secret key.
        MalformedBlobError: not a public key of this parameter set.
    """
    _public_polynomials(parameters, saved)


def _public_polynomials(parameters: ParameterSet, saved: bytes) -> tuple[Residues, bytes]:
    """First polynomial, shape (primes, N), and the second one's seed, all checked."""
    refuse_secret_key(saved)
    degree, n_primes = parameters.poly_modulus_degree, parameters.n_key_primes
    if len(saved) != key_bytes_limit(parameters, relinearisation=False):
        raise MalformedBlobError("The bytes are not one public key of this parameter set.")
    *head, seed = _PUBLIC_KEY.unpack_from(saved)
    if head != [_MAGIC, _VERSION, degree, n_primes]:
        raise MalformedBlobError("The bytes do not begin like a public key of this parameter set.")
    words = np.frombuffer(saved, "<u4", offset=_PUBLIC_KEY.size).reshape(n_primes, degree)
    verify_residues(parameters, words)
    return words.astype(np.uint64), seed


def load_public_key(parameters: ParameterSet, saved: bytes) -> Any:
    """Check and load a public key. Party node and the compute node's workers.

    Raises:
        SecretKeyRefusedError: the bytes hold a secret key.
        MalformedBlobError: not a public key of this parameter set.
    """
    b, seed = _public_polynomials(parameters, saved)
    residues = np.stack([b, expand_public_polynomial(parameters, seed)])
    context = parameters.ring.context
    parts = saved_ciphertext(list(context.key_parms_id()), residues.shape, 1.0, residues)
    key = seal.PublicKey()
    load_from_bytes(lambda path: key.load(context, path), *parts)
    return key


def load_relinearisation_keys(parameters: ParameterSet, saved: bytes) -> Any:
    """Check and load relinearisation keys. Processes of the compute node other than its server.

    Raises:
        SecretKeyRefusedError: the bytes hold a secret key.
        MalformedBlobError: not relinearisation keys of this parameter set.
        BlobTooLargeError: longer than relinearisation keys.
    """
    refuse_secret_key(saved)
    payload = seal_payload(saved, key_bytes_limit(parameters, relinearisation=True))
    _verify_relinearisation_payload(parameters, payload)
    keys = seal.RelinKeys()
    load_from_bytes(
        lambda path: keys.load(parameters.ring.context, path), seal_header(len(payload)), payload
    )
    return keys


# SEAL 4 (native/src/seal/kswitchkeys.h): parms id, number of keys, number of the key's pieces.
_KEYS_HEAD = struct.Struct("<4QQQ")


def _verify_relinearisation_payload(parameters: ParameterSet, payload: bytes) -> None:
    """Check that SEAL would have saved these very bytes around the residues and seeds in them.

    Raises:
        MalformedBlobError: it would not; or a residue is beyond its prime, or a seed is of another
            generator than SEAL's own.
    """
    n_primes, degree = parameters.n_key_primes, parameters.poly_modulus_degree
    parms_id = list(parameters.ring.context.key_parms_id())

    def piece(residues: Residues, seed: bytes) -> bytes:
        return b"".join(saved_ciphertext(parms_id, (2, n_primes, degree), 1.0, residues, seed))

    empty = piece(np.zeros((n_primes, degree), np.uint64), bytes(SAVED_SEED_BYTES))
    words_end = len(empty) - SEAL_HEADER.size - SAVED_SEED_BYTES
    # One key, for s², in a piece for each prime but the special one.
    head = _KEYS_HEAD.pack(*parms_id, 1, n_primes - 1)
    expected = len(head) + (n_primes - 1) * len(empty)
    if len(payload) != expected or not payload.startswith(head):
        raise MalformedBlobError("The bytes are not relinearisation keys of this parameter set.")
    for at in range(len(head), expected, len(empty)):
        found = payload[at : at + len(empty)]
        words = np.frombuffer(found, "<u8", n_primes * degree, words_end - 8 * n_primes * degree)
        residues, seed = words.reshape(n_primes, degree), found[-SAVED_SEED_BYTES:]
        if found != piece(residues, seed):
            raise MalformedBlobError("A piece of relinearisation keys does not have SEAL's form.")
        verify_residues(parameters, residues)
        verify_seed(seed)


# Objects that are looked at inside of something else.
_MOST_NESTED = 32


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
    start, tried = saved.find(_SEAL_START), 0
    # A context holds a handful of objects. Who sends thousands of headers wants to waste time.
    while start >= 0 and tried < _MOST_NESTED:
        size = int.from_bytes(saved[start + 8 : start + SEAL_HEADER.size], "little")
        if SEAL_HEADER.size < size <= len(saved) - start:
            tried += 1
            if _is_seal_secret_key(saved[start : start + size]):
                return True
            start = saved.find(_SEAL_START, start + size)
        else:
            start = saved.find(_SEAL_START, start + 1)
    return False
