"""What one operation costs: measured on this machine, or by the reference machine's model.

The planner multiplies these with a dry run's counts; the benchmarks compare them with a round.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tenseal.sealapi as seal

from mpcseg.ckks.circuit import Circuit, Encrypted, SealBackend
from mpcseg.ckks.parameters import TARGET_SCALE, ParameterSet

Counts = Mapping[tuple[str, int], int]
"""Operations by (name, level)."""

OPERATIONS = ("relinearise", "multiply", "square", "multiply_scalar", "multiply_plain", "rescale")
"""What is timed; additions and copies are small beside them."""

_SECONDS_PER_TRANSFORM_POINT = 1.05e-9
"""Of a number-theoretic transform, for each of its N·log2(N) points, on the reference machine."""

_SECONDS_PER_WORD = {
    "multiply": 15e-9,
    "square": 12e-9,
    "multiply_scalar": 8e-9,
    "multiply_plain": 30e-9,
    "encrypt_hyperplane": 140e-9,
    "mask": 850e-9,
}
"""For each residue of one polynomial, on the reference machine."""


@dataclass(frozen=True)
class CostModel:
    """Seconds of one operation on one core of the reference machine.

    The reference machine: one of two cores of an AMD EPYC (Zen 4) virtual machine at 2.6 GHz.

    A key switch at m primes is about m² + 3m transforms, a rescale 2m + 2.
    """

    parameters: ParameterSet

    def seconds(self, operation: str, level: int) -> float:
        """Of one operation at a level; 0 for additions and copies."""
        n = self.parameters.poly_modulus_degree
        m = self.parameters.n_primes(level)
        transform = _SECONDS_PER_TRANSFORM_POINT * n * math.log2(n)
        if operation == "relinearise":
            return (m * m + 3 * m) * transform
        if operation == "rescale":
            return (2 * m + 2) * transform
        return _SECONDS_PER_WORD.get(operation, 0.0) * n * m

    def total(self, counts: Counts) -> float:
        """Of many operations."""
        return sum(n * self.seconds(name, level) for (name, level), n in counts.items())


class MeasuredCosts:
    """Seconds of one operation, each measured singly on this machine. Compute node; benchmarks.

    Args:
        parameters: of the study.
        public_key: loaded.
        relinearisation_keys: loaded.
        repeats: runs of which the median counts.
    """

    def __init__(
        self,
        parameters: ParameterSet,
        public_key: Any,
        relinearisation_keys: Any,
        repeats: int = 5,
    ) -> None:
        self._parameters = parameters
        self._circuit = Circuit(parameters, SealBackend(parameters, relinearisation_keys))
        self._encryptor = seal.Encryptor(parameters.ring.context, public_key)
        self._repeats = repeats
        self._seconds: dict[tuple[str, int], float] = {}

    def seconds(self, operation: str, level: int) -> float:
        """Of one operation at a level; 0 for what :data:`OPERATIONS` does not list."""
        if operation not in OPERATIONS:
            return 0.0
        if (operation, level) not in self._seconds:
            self._seconds[operation, level] = self._median(self._call(operation, level))
        return self._seconds[operation, level]

    def total(self, counts: Counts) -> float:
        """Of many operations."""
        return sum(n * self.seconds(name, level) for (name, level), n in counts.items())

    def _call(self, operation: str, level: int) -> Callable[[], object]:
        circuit, fresh = self._circuit, self._fresh(level)
        product = circuit.square(fresh)
        relinearised = circuit.relinearise(product)
        values = np.exp(1j * np.arange(self._parameters.slots))
        calls: dict[str, Callable[[], object]] = {
            "relinearise": lambda: circuit.relinearise(product),
            "multiply": lambda: circuit.multiply(fresh, fresh),
            "square": lambda: circuit.square(fresh),
            "multiply_scalar": lambda: circuit.multiply_scalar(fresh, 0.5, TARGET_SCALE),
            "multiply_plain": lambda: circuit.multiply_plain(fresh, values, 2.0**20),
            "rescale": lambda: circuit.rescale(relinearised),
        }
        return calls[operation]

    def _fresh(self, level: int) -> Encrypted:
        # A product needs a scale of 2^(half the bits of the level); its value does not matter.
        ciphertext = seal.Ciphertext()
        self._encryptor.encrypt_zero(self._parameters.ring.parms_id(level), ciphertext)
        scale = min(TARGET_SCALE, 2.0 ** (15 * self._parameters.n_primes(level)))
        ciphertext.scale = scale
        return Encrypted(ciphertext, level, scale)

    def _median(self, call: Callable[[], object]) -> float:
        times = []
        for _ in range(self._repeats):
            started = time.perf_counter()
            call()
            times.append(time.perf_counter() - started)
        return sorted(times)[len(times) // 2]
