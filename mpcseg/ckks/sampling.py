"""Uniform numbers from a seed: the same on every machine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from numpy.typing import NDArray

KEY_BYTES = 32 + 16
"""Key and first counter block of AES-256-CTR."""


def uniform_residues(key: bytes, primes: Sequence[int], count: int) -> NDArray[np.uint64]:
    """Residues uniform modulo each prime, by rejection from one AES-256-CTR stream.

    Args:
        key: :data:`KEY_BYTES` long; secret where the residues must be.
        primes: below 2³¹ and close to it.
        count: residues for each prime.

    Returns:
        Shape (primes, count).
    """
    stream = Cipher(AES(key[:32]), CTR(key[32:])).encryptor()
    rows = []
    for prime in primes:
        row = np.empty(0, np.uint64)
        while len(row) < count:
            words = np.frombuffer(stream.update(bytes(4 * count)), "<u4") & 0x7FFFFFFF
            row = np.concatenate([row, words[words < prime].astype(np.uint64)])
        rows.append(row[:count])
    return np.stack(rows)


def uniform_words(key: bytes, count: int) -> NDArray[np.uint32]:
    """Uniform 32-bit words from one AES-256-CTR stream.

    Args:
        key: :data:`KEY_BYTES` long; secret where the words must be.
        count: words.
    """
    stream = Cipher(AES(key[:32]), CTR(key[32:])).encryptor()
    return np.frombuffer(stream.update(bytes(4 * count)), "<u4")
