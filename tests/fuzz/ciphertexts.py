"""Targets: ciphertexts, keys and saved SEAL objects.

An input is a script of edits (`tests.fuzz.mutation.edited`) of a real blob, made when it is asked
for, so that nothing large is kept and a fuzzer spends its time on headers.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import tenseal.sealapi as seal
import zstandard

from mpcseg.ckks.encryption import BlockEncryptor
from mpcseg.ckks.key_material import (
    key_bytes_limit,
    load_public_key,
    load_relinearisation_keys,
    refuse_secret_key,
    verify_public_key,
)
from mpcseg.ckks.parameters import TARGET_SCALE, ParameterSet
from mpcseg.ckks.secret import SecretKey
from mpcseg.ckks.serialization import (
    CiphertextShape,
    pack_ciphertext,
    save_to_bytes,
    seal_header,
    seal_payload,
    unpack_ciphertext,
)
from mpcseg.ckks.slot_sum import SLOT_SUM_SHAPE
from tests.fuzz.mutation import edited, mutate_bytes, mutate_script
from tests.fuzz.target import Target

PARAMETERS = ParameterSet(16384, 1)
"""The smallest there is: what matters here is the form."""


@functools.cache
def secret_key() -> SecretKey:
    return SecretKey(PARAMETERS)


@functools.cache
def _public_key() -> bytes:
    return secret_key().public_key()


@functools.cache
def _relinearisation_keys() -> bytes:
    return secret_key().relinearisation_keys()


@functools.cache
def _ciphertext() -> bytes:
    """Presence of an upload: one level, not seeded."""
    row = np.random.default_rng(0).uniform(-1, 1, (2, PARAMETERS.slots))
    return next(BlockEncryptor(PARAMETERS, _public_key()).encrypt(row))


@functools.cache
def _seeded() -> bytes:
    return secret_key().encrypt_hyperplane(np.array([0.25, -0.5]), 1)[0]


@functools.cache
def _release() -> bytes:
    """A fresh ciphertext at level 0, where releases are."""
    encoder, plain = seal.CKKSEncoder(PARAMETERS.ring.context), seal.Plaintext()
    encoder.encode(0.5, PARAMETERS.ring.parms_id(0), TARGET_SCALE, plain)
    encrypted = seal.Ciphertext()
    encryptor = seal.Encryptor(PARAMETERS.ring.context, load_public_key(PARAMETERS, _public_key()))
    encryptor.encrypt(plain, encrypted)
    return pack_ciphertext(PARAMETERS, encrypted.save)


# --- targets -------------------------------------------------------------------------------


def _unpack(blob: bytes, shape: CiphertextShape) -> None:
    loaded = unpack_ciphertext(PARAMETERS, blob, shape)
    if not shape.seeded:
        assert pack_ciphertext(PARAMETERS, loaded.payload.save) == blob


def _ciphertext_target(data: bytes) -> None:
    _unpack(edited(_ciphertext(), data), CiphertextShape(1))


def _seeded_target(data: bytes) -> None:
    _unpack(edited(_seeded(), data), CiphertextShape(1, seeded=True))


def _release_target(data: bytes) -> None:
    blob = edited(_release(), data)
    unpack_ciphertext(PARAMETERS, blob, SLOT_SUM_SHAPE)
    for noise in (0, 2**40):
        assert math.isfinite(secret_key().decrypt_slot_sum(blob, TARGET_SCALE, noise))


def _public_key_target(data: bytes) -> None:
    blob = edited(_public_key(), data)
    verify_public_key(PARAMETERS, blob)
    # What NumPy accepts, SEAL accepts: the compute node asks NumPy alone.
    load_public_key(PARAMETERS, blob)


def _relinearisation_target(data: bytes) -> None:
    load_relinearisation_keys(PARAMETERS, edited(_relinearisation_keys(), data))


def _relinearisation_payload_target(data: bytes) -> None:
    """Edits of what is compressed inside, in both forms in which it may come."""
    limit = key_bytes_limit(PARAMETERS, relinearisation=True)
    payload = edited(seal_payload(_relinearisation_keys(), limit), data)
    load_relinearisation_keys(PARAMETERS, seal_header(len(payload)) + payload)


def _refusal_target(data: bytes) -> None:
    refuse_secret_key(data)


def _refusal_seeds() -> list[bytes]:
    saved = save_to_bytes(secret_key()._key.generator.secret_key().save)
    return [small_object(b"payload" * 9), b"context" + small_object(b"x" * 80), saved[:256]]


def _saved_target(data: bytes) -> None:
    assert len(seal_payload(data, 4096)) <= 4096


def small_object(payload: bytes) -> bytes:
    """A saved SEAL object of a few bytes, compressed."""
    body = zstandard.ZstdCompressor().compress(payload)
    head = bytearray(seal_header(len(body)))
    head[5] = 2
    return bytes(head) + body


_SCRIPTS = (mutate_script, mutate_script, mutate_bytes)


def _no_edit() -> list[bytes]:
    return [b""]


CIPHERTEXT_TARGETS = (
    Target("ciphertext", _ciphertext_target, _no_edit, _SCRIPTS, longest=256),
    Target("seeded-ciphertext", _seeded_target, _no_edit, _SCRIPTS, longest=256),
    Target("release", _release_target, _no_edit, _SCRIPTS, tries=100, longest=256),
    Target("public-key", _public_key_target, _no_edit, _SCRIPTS, tries=100, longest=256),
    Target("relinearisation-keys", _relinearisation_target, _no_edit, _SCRIPTS, 60, 256),
    Target("relinearisation-payload", _relinearisation_payload_target, _no_edit, _SCRIPTS, 60, 256),
    Target("secret-key-refusal", _refusal_target, _refusal_seeds, refuses=False),
    Target("saved-object", _saved_target, lambda: [small_object(b"payload" * 9)]),
)
