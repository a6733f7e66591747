"""CKKS parameter sets (docs/protocol.md section 8).

All primes of a set have 31 bits: the special prime must be as large as any other or key switching
drowns the message, and two bottom primes leave a slot sum 62 bits of room.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import tenseal.sealapi as seal

from mpcseg.errors import PlanError

PRIME_BITS = 31
BOTTOM_PRIMES = 2
"""Primes left at level 0; their product bounds every slot sum."""

TARGET_SCALE = 2.0**PRIME_BITS
"""Scale of fresh features and of every stage's output."""

SECURITY = seal.SEC_LEVEL_TYPE.TC128
_NAME = re.compile(r"ckks-(\d+)-(\d+)")


@dataclass(frozen=True)
class ParameterSet:
    """Ring degree and number of levels; everything else follows. Any node.

    Attributes:
        poly_modulus_degree: N, 16384 or 32768.
        n_levels: rescales that a fresh ciphertext can take.

    Raises:
        PlanError: 128-bit security does not allow so many levels in so small a ring.
    """

    poly_modulus_degree: int
    n_levels: int

    def __post_init__(self) -> None:
        if self.poly_modulus_degree not in (16384, 32768) or not (
            1 <= self.n_levels <= max_levels(self.poly_modulus_degree)
        ):
            raise PlanError(
                f"No 128-bit secure parameter set has N = {self.poly_modulus_degree} "
                f"and {self.n_levels} levels.",
                "N is 16384 (at most 11 levels) or 32768 (at most 25 levels).",
            )

    @property
    def name(self) -> str:
        """As it stands in an agreement, e.g. ``ckks-16384-11``."""
        return f"ckks-{self.poly_modulus_degree}-{self.n_levels}"

    @property
    def slots(self) -> int:
        """Records per block."""
        return self.poly_modulus_degree // 2

    @property
    def n_key_primes(self) -> int:
        """All primes: bottom, one for each level, and the special one."""
        return BOTTOM_PRIMES + self.n_levels + 1

    @cached_property
    def primes(self) -> tuple[int, ...]:
        """The primes q_0, q_1, ...; the last one is the special prime of key switching."""
        return tuple(m.value() for m in _moduli(self.poly_modulus_degree, self.n_key_primes))

    @cached_property
    def digest(self) -> str:
        """SHA-256 over degree and primes: two nodes with one digest run the same ring."""
        text = f"{self.poly_modulus_degree}:{','.join(map(str, self.primes))}"
        return hashlib.sha256(text.encode()).hexdigest()

    def n_primes(self, level: int) -> int:
        """Primes of a ciphertext at ``level``."""
        return BOTTOM_PRIMES + level

    def top_prime(self, level: int) -> int:
        """The prime that a rescale at ``level`` divides by."""
        return self.primes[self.n_primes(level) - 1]

    @cached_property
    def ring(self) -> Ring:
        """The SEAL context, made once per process."""
        return _ring(self.poly_modulus_degree, self.n_key_primes)


def parameter_set(name: str) -> ParameterSet:
    """Parse a name such as ``ckks-16384-11``.

    Raises:
        PlanError: not a name of that form, or not a secure set.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise PlanError(
            f"{name!r} is not a parameter set.",
            "Write 'planned', or N and levels as in 'ckks-16384-11'.",
        )
    return ParameterSet(int(match[1]), int(match[2]))


@lru_cache
def max_levels(poly_modulus_degree: int) -> int:
    """Most levels that SEAL's 128-bit table allows in a ring of this degree."""
    bits = seal.CoeffModulus.MaxBitCount(poly_modulus_degree, SECURITY)
    return int(bits) // PRIME_BITS - BOTTOM_PRIMES - 1


@dataclass(frozen=True)
class Ring:
    """A SEAL context with what the circuits look up by level. One per process."""

    context: Any
    parms_ids: tuple[tuple[int, ...], ...]
    """``parms_ids[level]``, level 0 (two primes) first."""

    def parms_id(self, level: int) -> list[int]:
        """SEAL's name for a level."""
        return list(self.parms_ids[level])


def new_context(
    poly_modulus_degree: int, moduli: list[Any], prng_seed: list[int] | None = None
) -> Any:
    """A SEAL context; with ``prng_seed`` (eight 64-bit words) all its randomness is replayable.

    A seeded context gives every encryption the *same* randomness: use it for one encryption.
    """
    parms = seal.EncryptionParameters(seal.SCHEME_TYPE.CKKS)
    parms.set_poly_modulus_degree(poly_modulus_degree)
    parms.set_coeff_modulus(moduli)
    if prng_seed is not None:
        parms.set_random_generator(seal.Blake2xbPRNGFactory(prng_seed))
    context = seal.SEALContext(parms, True, SECURITY)
    if not context.parameters_set():
        raise PlanError(f"SEAL refuses the parameters: {context.parameters_error_message()}")
    return context


def moduli(parameters: ParameterSet) -> list[Any]:
    """The primes of a set as SEAL's own objects."""
    return list(_moduli(parameters.poly_modulus_degree, parameters.n_key_primes))


@lru_cache
def _moduli(poly_modulus_degree: int, count: int) -> tuple[Any, ...]:
    return tuple(seal.CoeffModulus.Create(poly_modulus_degree, [PRIME_BITS] * count))


@lru_cache
def _ring(poly_modulus_degree: int, count: int) -> Ring:
    context = new_context(poly_modulus_degree, list(_moduli(poly_modulus_degree, count)))
    by_level: list[tuple[int, ...]] = []
    data = context.first_context_data()
    while data is not None:
        if data.chain_index() >= BOTTOM_PRIMES - 1:
            by_level.append(tuple(data.parms_id()))
        data = data.next_context_data()
    return Ring(context, tuple(reversed(by_level)))
