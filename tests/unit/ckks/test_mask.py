"""The mask itself, before it is added to anything: uniform, of its own for each prime, sum 0."""

from __future__ import annotations

import os

import numpy as np
import pytest
from scipy import stats

from mpcseg.ckks.sampling import KEY_BYTES
from tests.unit.ckks.conftest import Keys

CELLS = 256
LEAST = 1e-9
"""P-value below which a test fails: once in 10⁹ runs if all is well."""


@pytest.fixture(scope="module")
def masks(small_keys: Keys) -> np.ndarray:
    """Eight masks, shape (8, primes, N)."""
    return np.stack([small_keys.mask._uniform(os.urandom(KEY_BYTES)) for _ in range(8)])


def p_value(values: np.ndarray, prime: int) -> float:
    """Chi-squared of equal cells over [0, prime)."""
    edges = np.array([-(-cell * prime // CELLS) for cell in range(CELLS + 1)], np.uint64)
    cells = np.searchsorted(edges, values, side="right") - 1
    expected = len(values) * np.diff(edges).astype(float) / prime
    return float(stats.chisquare(np.bincount(cells, minlength=CELLS), expected).pvalue)


@pytest.mark.parametrize("row", [0, 1])
def test_every_value_is_a_residue_and_uniform(
    small_keys: Keys, masks: np.ndarray, row: int
) -> None:
    prime = small_keys.parameters.primes[row]
    values = masks[:, row].ravel()
    assert values.max() < prime
    assert p_value(values, prime) > LEAST
    for mask in masks:
        assert p_value(mask[row], prime) > LEAST


@pytest.mark.parametrize("row", [0, 1])
def test_high_and_low_bits_are_those_of_uniform_values(
    small_keys: Keys, masks: np.ndarray, row: int
) -> None:
    prime = small_keys.parameters.primes[row]
    values = masks[:, row].ravel()
    for bit in range(prime.bit_length()):
        whole, rest = divmod(prime, 2 << bit)
        share = ((whole << bit) + max(0, rest - (1 << bit))) / prime
        n_set = int((values >> np.uint64(bit) & np.uint64(1)).sum())
        assert stats.binomtest(n_set, len(values), share).pvalue > LEAST, bit


def test_two_primes_do_not_share_a_stream(small_keys: Keys, masks: np.ndarray) -> None:
    q0 = small_keys.parameters.primes[0]
    first, second = masks[:, 0].ravel().astype(np.int64), masks[:, 1].ravel().astype(np.int64)
    for difference in (first - second, first + second):
        assert p_value((difference % q0).astype(np.uint64), q0) > LEAST


def test_two_keys_do_not_share_a_stream(small_keys: Keys, masks: np.ndarray) -> None:
    q0 = small_keys.parameters.primes[0]
    rows = masks[:, 0].astype(np.int64)
    assert p_value(((rows[1:] - rows[:-1]) % q0).ravel().astype(np.uint64), q0) > LEAST


def test_each_row_sums_to_zero_so_that_the_sum_comes_out(
    small_keys: Keys, masks: np.ndarray
) -> None:
    for mask in masks:
        for values, prime in zip(mask, small_keys.parameters.primes, strict=False):
            assert int(values.sum()) % prime == 0


def test_the_mask_has_a_value_for_every_coefficient(small_keys: Keys, masks: np.ndarray) -> None:
    assert masks.shape[1:] == (2, small_keys.parameters.poly_modulus_degree)


def test_the_closing_value_is_uniform_as_well(small_keys: Keys) -> None:
    """It depends on all others; it alone would give itself away if it were fixed."""
    prime = small_keys.parameters.primes[0]
    last = [int(small_keys.mask._uniform(os.urandom(KEY_BYTES))[0, -1]) for _ in range(64)]
    assert len(set(last)) > 60
    assert min(last) < prime // 2
    assert max(last) > prime // 2
