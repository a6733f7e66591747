"""What a released ciphertext shows to the holder of the secret key: one sum, and noise."""

from __future__ import annotations

import os

import numpy as np
import pytest
from scipy import stats

from mpcseg.ckks.circuit import Encrypted
from mpcseg.ckks.parameters import TARGET_SCALE
from mpcseg.ckks.serialization import residues_of, unpack_ciphertext
from mpcseg.ckks.slot_sum import SEED_BYTES, SLOT_SUM_SHAPE
from mpcseg.errors import CircuitError, MalformedBlobError
from tests.unit.ckks.conftest import Keys
from tests.unit.ckks.polynomials import coefficients


def encrypt(keys: Keys, slots: np.ndarray) -> Encrypted:
    """One row at level 0, where sums are released."""
    block = np.vstack([slots, np.ones_like(slots)])
    return keys.circuit.lower(keys.load_block(block)[0], 0)


def release(keys: Keys, encrypted: Encrypted, label: str = "sum") -> Encrypted:
    blob = keys.mask.release(encrypted, os.urandom(SEED_BYTES), label)
    return unpack_ciphertext(keys.parameters, blob, SLOT_SUM_SHAPE)


@pytest.fixture(scope="module")
def slots(small_keys: Keys) -> np.ndarray:
    return np.random.default_rng(1).uniform(-1, 1, small_keys.parameters.slots)


def test_the_sum_comes_out(small_keys: Keys, slots: np.ndarray) -> None:
    blob = small_keys.mask.release(encrypt(small_keys, slots), os.urandom(SEED_BYTES), "sum")
    before = small_keys.secret.decrypted_values
    found = small_keys.secret.decrypt_slot_sum(blob, TARGET_SCALE)
    assert found == pytest.approx(slots.sum(), abs=1e-3)
    assert small_keys.secret.decrypted_values == before + 1


@pytest.mark.parametrize("factor", [0.5, 1 - 1e-15, 1 + 1e-15, 2.0, 1e6])
def test_a_release_that_states_another_scale_is_not_decrypted(
    small_keys: Keys, slots: np.ndarray, factor: float
) -> None:
    encrypted = encrypt(small_keys, slots)
    lying = small_keys.circuit.with_scale(encrypted, TARGET_SCALE * factor)
    assert lying.scale != TARGET_SCALE
    blob = small_keys.mask.release(lying, os.urandom(SEED_BYTES), "sum")
    before = small_keys.secret.decrypted_values
    with pytest.raises(MalformedBlobError, match="another scale than agreed"):
        small_keys.secret.decrypt_slot_sum(blob, TARGET_SCALE, noise=3)
    assert small_keys.secret.decrypted_values == before


def test_negative_and_large_sums_come_out(small_keys: Keys) -> None:
    for value in (-1.0, 1.0):
        row = np.full(small_keys.parameters.slots, value)
        total = encrypt(small_keys, row)
        for _ in range(10):  # 8192 · 2^10: a sum over 8 million records
            total = small_keys.circuit.double(total)
        blob = small_keys.mask.release(total, os.urandom(SEED_BYTES), "sum")
        found = small_keys.secret.decrypt_slot_sum(blob, TARGET_SCALE)
        assert found == pytest.approx(value * len(row) * 1024, rel=1e-6)


def test_coefficients_helper_reads_seals_order(small_keys: Keys) -> None:
    # A polynomial with known coefficients: the encoding of one number is a constant.
    constant = encrypt(small_keys, np.full(small_keys.parameters.slots, 0.25))
    prime = small_keys.parameters.primes[0]
    found = coefficients(small_keys.plain_residues(constant)[0], prime).astype(np.int64)
    found[found > prime // 2] -= prime
    assert abs(found[0] - 0.25 * TARGET_SCALE) < 1e4
    assert np.abs(found[1:]).max() < 1e4


@pytest.mark.parametrize("prime_index", [0, 1])
def test_every_other_coefficient_is_uniform(
    small_keys: Keys, slots: np.ndarray, prime_index: int
) -> None:
    """A chi-squared test with 256 cells; the unmasked ciphertext fails it by far."""
    prime = small_keys.parameters.primes[prime_index]

    def chi_squared(encrypted: Encrypted) -> float:
        row = small_keys.plain_residues(encrypted)[prime_index]
        others = coefficients(row, prime)[1:]
        counts = np.bincount((others.astype(np.float64) * 256 / prime).astype(int), minlength=256)
        return float(stats.chisquare(counts).pvalue)

    unmasked = encrypt(small_keys, slots)
    assert chi_squared(release(small_keys, unmasked)) > 1e-9
    assert chi_squared(unmasked) < 1e-100


def test_the_second_polynomial_is_uniform_and_fresh(small_keys: Keys, slots: np.ndarray) -> None:
    """After the encryption of zero it no longer is a function of the parties' ciphertexts."""
    encrypted = encrypt(small_keys, slots)
    save = encrypted.payload.save
    before = residues_of(small_keys.parameters, save)[1]
    first, second = (
        residues_of(small_keys.parameters, release(small_keys, encrypted).payload.save)[1]
        for _ in range(2)
    )
    for prime_index in range(2):
        prime = small_keys.parameters.primes[prime_index]
        for a, b in ((first, before), (second, before), (first, second)):
            difference = (a[prime_index] + prime - b[prime_index]) % prime
            counts = np.bincount(
                (difference.astype(float) * 256 / prime).astype(int), minlength=256
            )
            assert stats.chisquare(counts).pvalue > 1e-9


def test_a_planted_record_cannot_be_told_from_its_absence(small_keys: Keys) -> None:
    """Two tables with one sum; only one has a large value at slot 17."""
    n, repeats = small_keys.parameters.slots, 40
    absent = np.zeros(n)
    planted = absent.copy()
    planted[17], planted[4000] = 1.0, -1.0

    def view(row: np.ndarray, *, masked: bool) -> list[float]:
        encrypted = encrypt(small_keys, row)
        seen = []
        for _ in range(repeats):
            shown = release(small_keys, encrypted) if masked else encrypted
            seen.append(float(small_keys.slots(shown)[17]))
        return seen

    masked = stats.ks_2samp(view(planted, masked=True), view(absent, masked=True))
    assert masked.pvalue > 1e-9
    open_ = stats.ks_2samp(view(planted, masked=False), view(absent, masked=False))
    assert open_.pvalue < 1e-10, "without the mask the record must be seen, or this test is blind"


def test_masked_slots_are_far_larger_than_any_record(small_keys: Keys, slots: np.ndarray) -> None:
    seen = small_keys.slots(release(small_keys, encrypt(small_keys, slots)))
    assert np.median(np.abs(seen)) > 1e4


def test_same_seed_same_bytes_and_another_label_other_bytes(
    small_keys: Keys, slots: np.ndarray
) -> None:
    encrypted, seed = encrypt(small_keys, slots), os.urandom(SEED_BYTES)
    first = small_keys.mask.release(encrypted, seed, "round-1/sum-0")
    assert first == small_keys.mask.release(encrypted, seed, "round-1/sum-0")
    for other in (
        small_keys.mask.release(encrypted, seed, "round-1/sum-1"),
        small_keys.mask.release(encrypted, os.urandom(SEED_BYTES), "round-1/sum-0"),
    ):
        a, b = (np.frombuffer(blob[24:], "<u4") for blob in (first, other))
        assert np.mean(a == b) < 1e-3


def test_only_finished_sums_are_released(small_keys: Keys, slots: np.ndarray) -> None:
    block = np.vstack([slots, np.ones_like(slots)])
    top = small_keys.load_block(block)[0]
    with pytest.raises(CircuitError, match="level 0 and size 2"):
        small_keys.mask.release(top, os.urandom(SEED_BYTES), "sum")
    low = small_keys.circuit.lower(top, 0)
    with pytest.raises(CircuitError, match="level 0 and size 2"):
        small_keys.mask.release(
            Encrypted(low.payload, 0, low.scale, 3), os.urandom(SEED_BYTES), "sum"
        )
