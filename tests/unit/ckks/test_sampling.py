"""Residues from a stream of words: those that are no residue are left out, not bent."""

from __future__ import annotations

import os

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from scipy import stats

from mpcseg.ckks.sampling import KEY_BYTES, uniform_residues

LOW_PRIME = 1_610_612_741
"""Three quarters of 2³¹: a quarter of all words is above it. Real primes are too close to 2³¹ to
show the difference in any sample."""


def test_words_above_the_prime_are_left_out() -> None:
    key, count = os.urandom(KEY_BYTES), 1000
    stream = Cipher(AES(key[:32]), CTR(key[32:])).encryptor()
    words = np.frombuffer(stream.update(bytes(4 * count)), "<u4") & 0x7FFFFFFF
    expected = words[words < LOW_PRIME]
    (found,) = uniform_residues(key, [LOW_PRIME], count)
    assert len(expected) < len(found) == count
    assert np.array_equal(found[: len(expected)], expected)


def test_residues_are_uniform_below_a_prime_far_from_a_power_of_two() -> None:
    (found,) = uniform_residues(os.urandom(KEY_BYTES), [LOW_PRIME], 100_000)
    cells = (found.astype(float) * 64 / LOW_PRIME).astype(int)
    assert stats.chisquare(np.bincount(cells, minlength=64)).pvalue > 1e-9
