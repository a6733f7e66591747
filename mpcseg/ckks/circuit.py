"""Operations on ciphertexts that know their level and scale (docs/protocol.md section 3).

A :class:`Circuit` does the bookkeeping and the checks; a backend does the arithmetic. The same
circuit code runs on SEAL ciphertexts (:class:`SealBackend`), on plain numbers
(:class:`~mpcseg.ckks.simulation.ClearBackend`, with or without CKKS noise), and the planner
counts its operations before a key exists.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import tenseal.sealapi as seal
from numpy.typing import NDArray

from mpcseg.ckks.parameters import ParameterSet
from mpcseg.errors import CircuitError

_SCALE_TOLERANCE = 1e-10
"""Relative scale difference that only floating-point rounding can have made."""


@dataclass(frozen=True, slots=True)
class Encrypted:
    """A vector of slots under encryption.

    Attributes:
        payload: the backend's object, e.g. a SEAL ciphertext; never changed in place.
        level: rescales left.
        scale: what the slots are multiplied by.
        size: polynomials; 3 after a product, until relinearised.
    """

    payload: Any
    level: int
    scale: float
    size: int = 2


class Backend(Protocol):
    """Arithmetic without bookkeeping. Every method returns a new payload."""

    def multiply(self, a: Any, b: Any) -> Any:
        """Product, not relinearised."""

    def square(self, a: Any) -> Any:
        """Product with itself, not relinearised."""

    def multiply_scalar(self, a: Any, value: float, scale: float, level: int) -> Any:
        """Product with one number in all slots, encoded at ``scale``."""

    def multiply_plain(
        self, a: Any, values: NDArray[np.complex128], scale: float, level: int
    ) -> Any:
        """Product with a number for each slot, encoded at ``scale``."""

    def add(self, a: Any, b: Any) -> Any:
        """Sum."""

    def add_scalar(self, a: Any, value: float, scale: float, level: int) -> Any:
        """Sum with one number in all slots."""

    def negate(self, a: Any) -> Any:
        """Negation."""

    def relinearise(self, a: Any) -> Any:
        """Key switch from size 3 to 2."""

    def rescale(self, a: Any, prime: int, scale: float) -> Any:
        """Divide by the top prime; ``scale`` is the scale after it."""

    def lower(self, a: Any, level: int) -> Any:
        """Drop primes down to ``level``, scale unchanged."""

    def with_scale(self, a: Any, old: float, new: float) -> Any:
        """The same residues, read at the scale ``new`` instead of ``old``."""


class Circuit:
    """Tracks level, scale and size, refuses what does not fit, counts what it does.

    Runs on the compute node (SEAL) and in the planner (simulation).
    """

    def __init__(self, parameters: ParameterSet, backend: Backend) -> None:
        self.parameters = parameters
        self.backend = backend
        self.counts: Counter[tuple[str, int]] = Counter()
        """Operations by (name, level at which they ran)."""

    def _count(self, name: str, level: int) -> None:
        self.counts[name, level] += 1

    def multiply(self, a: Encrypted, b: Encrypted) -> Encrypted:
        """Product of two ciphertexts of one level; relinearise and rescale it later."""
        self._same_level(a, b, "multiply")
        self._size_two(a, "multiply")
        self._size_two(b, "multiply")
        self._count("multiply", a.level)
        scale = self._fits(a.scale * b.scale, a.level, "multiply")
        return Encrypted(self.backend.multiply(a.payload, b.payload), a.level, scale, 3)

    def square(self, a: Encrypted) -> Encrypted:
        """``multiply(a, a)``, a little cheaper."""
        self._size_two(a, "square")
        self._count("square", a.level)
        scale = self._fits(a.scale * a.scale, a.level, "square")
        return Encrypted(self.backend.square(a.payload), a.level, scale, 3)

    def multiply_scalar(self, a: Encrypted, value: float, scale: float) -> Encrypted:
        """Product with a public number encoded at ``scale``; no key switch, one rescale later."""
        if round(value * scale) == 0:
            raise CircuitError(f"The scalar at level {a.level} vanishes at scale {scale:.4g}.")
        self._count("multiply_scalar", a.level)
        total = self._fits(a.scale * scale, a.level, "multiply by a scalar")
        payload = self.backend.multiply_scalar(a.payload, value, scale, a.level)
        return Encrypted(payload, a.level, total, a.size)

    def multiply_plain(
        self, a: Encrypted, values: NDArray[np.complex128], scale: float
    ) -> Encrypted:
        """Product with a number for each slot, encoded at ``scale``; one rescale later."""
        self._count("multiply_plain", a.level)
        total = self._fits(a.scale * scale, a.level, "multiply by a vector")
        payload = self.backend.multiply_plain(a.payload, values, scale, a.level)
        return Encrypted(payload, a.level, total, a.size)

    def add(self, a: Encrypted, b: Encrypted) -> Encrypted:
        """Sum of two ciphertexts of one level, scale and size."""
        self._same_level(a, b, "add")
        if abs(a.scale / b.scale - 1.0) > _SCALE_TOLERANCE:
            raise CircuitError(
                f"Cannot add at level {a.level}: scales {a.scale:.17g} and {b.scale:.17g} differ.",
            )
        if b.scale != a.scale:
            b = self.with_scale(b, a.scale)
        self._count("add", a.level)
        size = max(a.size, b.size)
        return Encrypted(self.backend.add(a.payload, b.payload), a.level, a.scale, size)

    def add_scalar(self, a: Encrypted, value: float) -> Encrypted:
        """Sum with a public number, encoded at the ciphertext's own scale."""
        self._count("add_scalar", a.level)
        payload = self.backend.add_scalar(a.payload, value, a.scale, a.level)
        return Encrypted(payload, a.level, a.scale, a.size)

    def double(self, a: Encrypted) -> Encrypted:
        """2a at the same scale: no level, and no precision, is spent."""
        return self.add(a, a)

    def negate(self, a: Encrypted) -> Encrypted:
        """-a."""
        self._count("add", a.level)
        return Encrypted(self.backend.negate(a.payload), a.level, a.scale, a.size)

    def halve(self, a: Encrypted) -> Encrypted:
        """a/2 for nothing: the same residues, read at twice the scale."""
        return self.with_scale(a, self._fits(a.scale * 2.0, a.level, "halve"))

    def relinearise(self, a: Encrypted) -> Encrypted:
        """Key switch: back to two polynomials."""
        if a.size != 3:
            raise CircuitError(f"Cannot relinearise size {a.size} at level {a.level}; 3 is needed.")
        self._count("relinearise", a.level)
        return Encrypted(self.backend.relinearise(a.payload), a.level, a.scale, 2)

    def rescale(self, a: Encrypted) -> Encrypted:
        """Divide by the level's prime and go one level down."""
        if a.level == 0:
            raise CircuitError("Cannot rescale at level 0: the circuit is too deep for its set.")
        self._count("rescale", a.level)
        prime = self.parameters.top_prime(a.level)
        scale = a.scale / prime
        return Encrypted(self.backend.rescale(a.payload, prime, scale), a.level - 1, scale, a.size)

    def finish(self, product: Encrypted) -> Encrypted:
        """Relinearise and rescale: the usual end of a product."""
        return self.rescale(self.relinearise(product))

    def lower(self, a: Encrypted, level: int) -> Encrypted:
        """Drop to ``level`` without changing the scale."""
        if level > a.level:
            raise CircuitError(f"Cannot lower from level {a.level} to level {level}.")
        if level == a.level:
            return a
        self._fits(a.scale, level, "lower")
        self._count("lower", a.level)
        return Encrypted(self.backend.lower(a.payload, level), level, a.scale, a.size)

    def with_scale(self, a: Encrypted, scale: float) -> Encrypted:
        """The same residues, read at another scale."""
        payload = self.backend.with_scale(a.payload, a.scale, scale)
        return Encrypted(payload, a.level, scale, a.size)

    def _fits(self, scale: float, level: int, operation: str) -> float:
        room = math.prod(self.parameters.primes[: self.parameters.n_primes(level)])
        if scale >= room:
            raise CircuitError(
                f"Cannot {operation} at level {level}: a scale of 2^{math.log2(scale):.1f} is "
                f"beyond the modulus of 2^{math.log2(room):.1f}."
            )
        return scale

    @staticmethod
    def _same_level(a: Encrypted, b: Encrypted, operation: str) -> None:
        if a.level != b.level:
            raise CircuitError(f"Cannot {operation}: levels {a.level} and {b.level} differ.")

    @staticmethod
    def _size_two(a: Encrypted, operation: str) -> None:
        if a.size != 2:
            raise CircuitError(
                f"Cannot {operation} at level {a.level}: size {a.size}, relinearise it first."
            )


class SealBackend:
    """SEAL through ``tenseal.sealapi``. Compute node only; holds no secret key."""

    def __init__(self, parameters: ParameterSet, relinearisation_keys: Any = None) -> None:
        ring = parameters.ring
        self._ring = ring
        self._evaluator = seal.Evaluator(ring.context)
        self._encoder = seal.CKKSEncoder(ring.context)
        self._relinearisation_keys = relinearisation_keys

    def multiply(self, a: Any, b: Any) -> Any:  # noqa: D102 (Backend says it)
        out = seal.Ciphertext()
        self._evaluator.multiply(a, b, out)
        return out

    def square(self, a: Any) -> Any:  # noqa: D102
        out = seal.Ciphertext()
        self._evaluator.square(a, out)
        return out

    def multiply_scalar(self, a: Any, value: float, scale: float, level: int) -> Any:  # noqa: D102
        out = seal.Ciphertext()
        self._evaluator.multiply_plain(a, self._encode(value, scale, level), out)
        return out

    def multiply_plain(  # noqa: D102
        self, a: Any, values: NDArray[np.complex128], scale: float, level: int
    ) -> Any:
        plain, out = seal.Plaintext(), seal.Ciphertext()
        self._encoder.encode(values.tolist(), self._ring.parms_id(level), scale, plain)
        self._evaluator.multiply_plain(a, plain, out)
        return out

    def add(self, a: Any, b: Any) -> Any:  # noqa: D102
        out = seal.Ciphertext()
        self._evaluator.add(a, b, out)
        return out

    def add_scalar(self, a: Any, value: float, scale: float, level: int) -> Any:  # noqa: D102
        out = seal.Ciphertext()
        self._evaluator.add_plain(a, self._encode(value, scale, level), out)
        return out

    def negate(self, a: Any) -> Any:  # noqa: D102
        out = seal.Ciphertext()
        self._evaluator.negate(a, out)
        return out

    def relinearise(self, a: Any) -> Any:  # noqa: D102
        out = seal.Ciphertext()
        self._evaluator.relinearize(a, self._relinearisation_keys, out)
        return out

    def rescale(self, a: Any, prime: int, scale: float) -> Any:  # noqa: ARG002, D102
        out = seal.Ciphertext()
        self._evaluator.rescale_to_next(a, out)
        out.scale = scale
        return out

    def lower(self, a: Any, level: int) -> Any:  # noqa: D102
        out = seal.Ciphertext()
        self._evaluator.mod_switch_to(a, self._ring.parms_id(level), out)
        return out

    def with_scale(self, a: Any, old: float, new: float) -> Any:  # noqa: ARG002, D102
        out = self._copy(a)
        out.scale = new
        return out

    def _copy(self, a: Any) -> Any:
        # sealapi has no copy constructor; switching to the same level copies.
        out = seal.Ciphertext()
        self._evaluator.mod_switch_to(a, a.parms_id(), out)
        return out

    def _encode(self, value: float, scale: float, level: int) -> Any:
        plain = seal.Plaintext()
        self._encoder.encode(value, self._ring.parms_id(level), scale, plain)
        return plain
