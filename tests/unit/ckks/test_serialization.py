"""Bytes of ciphertexts and keys: exact sizes, and foreign bytes refused before SEAL sees them."""

from __future__ import annotations

import pickle
import struct
import tracemalloc

import numpy as np
import pytest
import tenseal as ts
import tenseal.sealapi as seal
import zstandard
from scipy import stats

from mpcseg.ckks import key_material
from mpcseg.ckks.encryption import PRESENCE_SHAPE, feature_shape
from mpcseg.ckks.key_material import (
    SEED_BYTES,
    expand_public_polynomial,
    key_bytes_limit,
    load_public_key,
    load_relinearisation_keys,
    refuse_secret_key,
)
from mpcseg.ckks.parameters import TARGET_SCALE
from mpcseg.ckks.serialization import (
    CiphertextShape,
    ciphertext_bytes,
    load_from_bytes,
    pack_ciphertext,
    pack_residues,
    residues_of,
    save_to_bytes,
    seal_header,
    seal_payload,
    unpack_ciphertext,
    verify_ciphertext,
)
from mpcseg.errors import BlobTooLargeError, MalformedBlobError, SecretKeyRefusedError
from tests.unit.ckks.conftest import Keys

HEAD = 24
"""Bytes before a ciphertext's residues."""

PUBLIC_KEY_HEAD = 48
"""Bytes before a public key's residues; its seed is the last of them."""


@pytest.fixture(scope="module")
def blob(small_keys: Keys) -> bytes:
    rows = np.random.default_rng(0).uniform(-1, 1, (2, small_keys.parameters.slots))
    return next(iter(small_keys.encryptor.encrypt(rows)))


def changed(blob: bytes, at: int, new: bytes) -> bytes:
    return blob[:at] + new + blob[at + len(new) :]


def test_a_ciphertext_survives_its_bytes(small_keys: Keys, blob: bytes) -> None:
    parameters = small_keys.parameters
    loaded = unpack_ciphertext(parameters, blob, feature_shape(parameters))
    assert pack_ciphertext(parameters, loaded.payload.save) == blob


def test_sizes_are_known_in_advance(small_keys: Keys) -> None:
    parameters = small_keys.parameters
    rows = np.zeros((3, parameters.slots))
    *features, presence = small_keys.encryptor.encrypt(rows)
    assert {len(f) for f in features} == {ciphertext_bytes(parameters, feature_shape(parameters))}
    assert len(presence) == ciphertext_bytes(parameters, PRESENCE_SHAPE)
    for level in (1, 2):
        for hyperplane in small_keys.secret.encrypt_hyperplane(np.array([0.1, 0.2]), level):
            assert len(hyperplane) == ciphertext_bytes(parameters, CiphertextShape(level, True))


def test_seeded_ciphertexts_load_to_what_was_encrypted(small_keys: Keys) -> None:
    shape = CiphertextShape(2, seeded=True)
    (u, v) = (
        unpack_ciphertext(small_keys.parameters, b, shape)
        for b in small_keys.secret.encrypt_hyperplane(np.array([0.25, -0.5]), 2)
    )
    assert np.abs(small_keys.slots(u) - 0.25).max() < 1e-5
    assert np.abs(small_keys.slots(v) + 0.5).max() < 1e-5


def test_saved_keys_stay_under_their_limit(small_keys: Keys) -> None:
    parameters = small_keys.parameters
    exact = key_bytes_limit(parameters, relinearisation=False)
    assert len(small_keys.public_bytes) == exact
    limit = key_bytes_limit(parameters, relinearisation=True)
    assert 0.9 * limit < len(seal_payload(small_keys.relinearisation_bytes, limit)) <= limit


def test_a_key_node_cannot_choose_the_second_polynomial(small_keys: Keys) -> None:
    """Whatever stands in a public key's bytes, its second polynomial is the seed's expansion.

    A chosen one (0 modulo some primes, say) makes encryptions of zero hide nothing, and with them
    the key node alone would read every record of a block from releases.
    """
    parameters = small_keys.parameters
    forged = bytearray(small_keys.public_bytes)
    forged[PUBLIC_KEY_HEAD:] = bytes(len(forged) - PUBLIC_KEY_HEAD)
    _, a = residues_of(parameters, load_public_key(parameters, bytes(forged)).save)
    for row, prime in zip(a, parameters.primes, strict=True):
        counts = np.bincount((row.astype(float) * 256 / prime).astype(int), minlength=256)
        assert stats.chisquare(counts).pvalue > 1e-9
    seed = small_keys.public_bytes[PUBLIC_KEY_HEAD - SEED_BYTES : PUBLIC_KEY_HEAD]
    assert np.array_equal(a, expand_public_polynomial(parameters, seed))


def test_public_keys_are_fresh(small_keys: Keys) -> None:
    first, second = small_keys.secret.public_key(), small_keys.secret.public_key()
    a, b = (np.frombuffer(key[PUBLIC_KEY_HEAD:], "<u4") for key in (first, second))
    assert np.mean(a == b) < 1e-3
    assert first[:PUBLIC_KEY_HEAD] != second[:PUBLIC_KEY_HEAD]


@pytest.mark.parametrize(
    "damage",
    [
        lambda b: b[:-1],
        lambda b: b + b"\0",
        lambda b: b"XPCK" + b[4:],
        lambda b: b[:4] + b"\x02" + b[5:],
        lambda b: b[:-4] + b"\xff\xff\xff\xff",
    ],
)
def test_a_changed_public_key_is_refused(small_keys: Keys, damage) -> None:
    with pytest.raises(MalformedBlobError):
        load_public_key(small_keys.parameters, damage(small_keys.public_bytes))


@pytest.mark.parametrize(
    ("at", "new"),
    [
        (0, b"XPCT"),
        (4, b"\x02"),  # version
        (5, b"\x01"),  # seeded
        (6, struct.pack("<H", 3)),  # polynomials
        (8, struct.pack("<I", 32768)),  # N
        (12, struct.pack("<I", 3)),  # primes
        (16, struct.pack("<d", float("nan"))),
        (16, struct.pack("<d", 0.0)),
        (16, struct.pack("<d", 2.0**130)),
        (HEAD, b"\xff\xff\xff\xff"),  # a residue beyond its prime
    ],
)
def test_a_changed_ciphertext_is_refused(
    small_keys: Keys, blob: bytes, at: int, new: bytes
) -> None:
    shape = feature_shape(small_keys.parameters)
    with pytest.raises(MalformedBlobError):
        unpack_ciphertext(small_keys.parameters, changed(blob, at, new), shape)


def test_a_residue_equal_to_its_prime_is_refused_before_seal(small_keys: Keys, blob: bytes) -> None:
    parameters = small_keys.parameters
    shape, prime = feature_shape(parameters), parameters.primes[0]
    for residue in (prime, prime + 1):
        wrong = changed(blob, HEAD, struct.pack("<I", residue))
        with pytest.raises(MalformedBlobError, match="residues beyond their prime"):
            verify_ciphertext(parameters, wrong, shape)
    verify_ciphertext(parameters, changed(blob, HEAD, struct.pack("<I", prime - 1)), shape)


def test_wrong_lengths_levels_and_scales_are_refused(small_keys: Keys, blob: bytes) -> None:
    parameters = small_keys.parameters
    shape = feature_shape(parameters)
    for wrong in (b"", blob[:10], blob[:-1], blob + b"\0"):
        with pytest.raises(MalformedBlobError, match="bytes"):
            unpack_ciphertext(parameters, wrong, shape)
    with pytest.raises(MalformedBlobError):
        unpack_ciphertext(parameters, blob, CiphertextShape(1))
    unpack_ciphertext(parameters, blob, shape, scale=TARGET_SCALE)
    for scale in (2.0**30, TARGET_SCALE * (1 + 1e-15)):
        with pytest.raises(MalformedBlobError, match="scale"):
            unpack_ciphertext(parameters, blob, shape, scale=scale)


def test_a_transparent_ciphertext_is_refused(small_keys: Keys, blob: bytes) -> None:
    half = (len(blob) - HEAD) // 2
    transparent = blob[: HEAD + half] + bytes(half)
    with pytest.raises(MalformedBlobError, match="transparent"):
        unpack_ciphertext(small_keys.parameters, transparent, feature_shape(small_keys.parameters))


def test_a_decompression_bomb_is_stopped(small_keys: Keys) -> None:
    body = zstandard.ZstdCompressor().compress(bytes(200 * 2**20))
    bomb = struct.pack("<HBBBBHQ", 0xA15E, 16, 4, 3, 2, 0, 16 + len(body)) + body
    tracemalloc.start()
    try:
        with pytest.raises(BlobTooLargeError):
            load_relinearisation_keys(small_keys.parameters, bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Stopped while it is decompressed, not when all of it is there. A secret key, which is looked
    # for first, may have 16 MiB.
    assert peak < 40 * 2**20


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b[:8], lambda b: b"\0" + b[1:]])
def test_damaged_relinearisation_keys_are_refused(small_keys: Keys, damage) -> None:
    with pytest.raises(MalformedBlobError):
        load_relinearisation_keys(small_keys.parameters, damage(small_keys.relinearisation_bytes))


def rebuilt(payload: bytes) -> bytes:
    """A payload as an uncompressed SEAL object."""
    return seal_header(len(payload)) + payload


@pytest.mark.parametrize(
    ("at", "new"),
    [
        (0, bytes(8)),  # parms id
        (32, b"\x02"),  # number of keys
        (40, b"\xff" * 8),  # number of pieces
        (48, b"\0"),  # a piece's header
        (48 + 16 + 32, b"\0"),  # NTT form
        (48 + 16 + 33, b"\x03"),  # polynomials
        (48 + 16 + 57, struct.pack("<d", 2.0)),  # scale
        (48 + 16 + 73 + 16, b"\xff" * 8),  # number of words
        (48 + 16 + 73 + 24, b"\xff" * 8),  # a residue beyond its prime
        (-65, b"\0"),  # generator type
        (-65, b"\x02"),
    ],
)
def test_relinearisation_keys_of_another_structure_do_not_reach_seal(
    small_keys: Keys, monkeypatch: pytest.MonkeyPatch, at: int, new: bytes
) -> None:
    parameters = small_keys.parameters
    limit = key_bytes_limit(parameters, relinearisation=True)
    payload = seal_payload(small_keys.relinearisation_bytes, limit)
    load_relinearisation_keys(parameters, rebuilt(payload))
    monkeypatch.setattr(key_material, "load_from_bytes", never)
    for wrong in (changed(payload, at % len(payload), new), payload[:-1], payload[:60]):
        with pytest.raises(MalformedBlobError):
            load_relinearisation_keys(parameters, rebuilt(wrong))


def never(*arguments: object) -> None:
    raise AssertionError("SEAL was called")


def test_a_seed_of_an_unknown_generator_is_refused(small_keys: Keys) -> None:
    (hyperplane, _) = small_keys.secret.encrypt_hyperplane(np.array([0.25, -0.5]), 2)
    with pytest.raises(MalformedBlobError, match="generator"):
        unpack_ciphertext(
            small_keys.parameters, changed(hyperplane, HEAD, b"\0"), CiphertextShape(2, seeded=True)
        )


def test_a_release_at_a_scale_that_none_has_is_refused(small_keys: Keys) -> None:
    release = np.ones((2, 2, small_keys.parameters.poly_modulus_degree), np.uint64)
    blob = pack_residues(release, 2.0**120)
    with pytest.raises(MalformedBlobError, match="scale"):
        small_keys.secret.decrypt_slot_sum(blob, TARGET_SCALE, noise=10)


def test_keys_of_another_kind_or_set_are_refused(small_keys: Keys, keys: Keys) -> None:
    with pytest.raises((MalformedBlobError, BlobTooLargeError)):
        load_public_key(small_keys.parameters, small_keys.relinearisation_bytes)
    with pytest.raises(MalformedBlobError):
        load_relinearisation_keys(small_keys.parameters, small_keys.public_bytes)
    with pytest.raises((MalformedBlobError, BlobTooLargeError)):
        load_public_key(small_keys.parameters, keys.public_bytes)


def secret_key_bytes(keys: Keys) -> bytes:
    generator = seal.KeyGenerator(keys.parameters.ring.context)
    return save_to_bytes(generator.secret_key().save)


def test_a_secret_key_is_refused_by_name(small_keys: Keys) -> None:
    saved = secret_key_bytes(small_keys)
    for load in (load_public_key, load_relinearisation_keys):
        with pytest.raises(SecretKeyRefusedError, match="secret key"):
            load(small_keys.parameters, saved)


def test_a_tenseal_context_with_its_secret_key_is_refused() -> None:
    context = ts.context(ts.SCHEME_TYPE.CKKS, 8192, coeff_mod_bit_sizes=[60, 40, 60])
    with pytest.raises(SecretKeyRefusedError, match="context"):
        refuse_secret_key(context.serialize(save_secret_key=True))
    context.make_context_public()
    refuse_secret_key(context.serialize())


def test_public_material_is_not_taken_for_a_secret_key(small_keys: Keys, blob: bytes) -> None:
    for harmless in (small_keys.public_bytes, small_keys.relinearisation_bytes, blob, b""):
        refuse_secret_key(harmless)


def test_seal_errors_do_not_escape(small_keys: Keys) -> None:
    ciphertext = seal.Ciphertext()
    with pytest.raises(MalformedBlobError):
        load_from_bytes(
            lambda path: ciphertext.load(small_keys.parameters.ring.context, path), b"nothing"
        )


def test_a_secret_key_is_not_pickled_or_shown(small_keys: Keys) -> None:
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(small_keys.secret)
    assert repr(small_keys.secret) == "<SecretKey ckks-16384-2>"
