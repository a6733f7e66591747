"""The encrypted circuits run in the clear, with or without the noise that CKKS would add.

Two uses: tests compare a ciphertext with *the same circuit* in the clear, and the planner
predicts precision before a key exists. Noise formulas: docs/protocol.md section 9; each is a
rounding error of the canonical embedding (Cheon, Kim, Kim, Song 2017, section 3.4).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mpcseg.ckks.parameters import ParameterSet

_ERROR_STD = 3.2
"""Standard deviation of SEAL's error distribution."""


class ClearBackend:
    """Slots as NumPy arrays. Any node; holds no ciphertext.

    Args:
        parameters: the set whose noise to imitate.
        rng: draws that noise; None computes exactly.
    """

    def __init__(self, parameters: ParameterSet, rng: np.random.Generator | None = None) -> None:
        self.parameters = parameters
        self._rng = rng
        n = parameters.poly_modulus_degree
        # Rounding (c0, c1) to integers: an error of 1/12 in c0 and of 1/12 times the ternary
        # secret's 2N/3 ones in c1, per coefficient; N/2 of them add up in a slot's real part.
        coefficient = math.sqrt((1.0 + 2.0 * n / 3.0) / 12.0)
        self.rounding_error = coefficient * math.sqrt(n / 2.0)

    def encrypt(self, values: np.ndarray, scale: float) -> np.ndarray:
        """What a fresh encryption under the public key decrypts to, shape as ``values``."""
        # SEAL encrypts under all primes and divides by the special one: only rounding is left.
        return self._noisy(values, self.rounding_error / scale)

    def encrypt_symmetric(self, values: np.ndarray, scale: float) -> np.ndarray:
        """What a fresh encryption under the secret key decrypts to."""
        half = self.parameters.poly_modulus_degree / 2.0
        return self._noisy(values, _ERROR_STD * math.sqrt(half) / scale)

    def _noisy(self, values: np.ndarray, std: float) -> np.ndarray:
        if self._rng is None:
            return values
        return values + self._rng.normal(0.0, std, np.shape(values))

    def multiply(self, a: Any, b: Any) -> Any:  # noqa: D102 (Backend says it)
        return a * b

    def square(self, a: Any) -> Any:  # noqa: D102
        return a * a

    def multiply_scalar(self, a: Any, value: float, scale: float, level: int) -> Any:  # noqa: ARG002, D102
        return a * (round(value * scale) / scale)

    def multiply_plain(  # noqa: D102
        self,
        a: Any,
        values: np.ndarray,
        scale: float,  # noqa: ARG002
        level: int,  # noqa: ARG002
    ) -> Any:
        return a * values

    def add(self, a: Any, b: Any) -> Any:  # noqa: D102
        return a + b

    def add_scalar(self, a: Any, value: float, scale: float, level: int) -> Any:  # noqa: ARG002, D102
        return a + round(value * scale) / scale

    def negate(self, a: Any) -> Any:  # noqa: D102
        return -a

    def relinearise(self, a: Any) -> Any:  # noqa: D102
        # Its noise is divided by the rescale that follows: not seen beside the rounding.
        return a

    def rescale(self, a: Any, prime: int, scale: float) -> Any:  # noqa: ARG002, D102
        return self._noisy(a, self.rounding_error / scale)

    def lower(self, a: Any, level: int) -> Any:  # noqa: ARG002, D102
        return a

    def with_scale(self, a: Any, old: float, new: float) -> Any:  # noqa: D102
        return a * (old / new)
