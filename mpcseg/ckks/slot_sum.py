"""The masked slot sum: all that the key node may decrypt (docs/protocol.md section 6).

For real slots z_i the constant coefficient of the plaintext polynomial is scale·(2/N)·Σ z_i.
Before a ciphertext leaves, the compute node

1. adds a fresh public-key encryption of zero, which makes the second polynomial pseudo-random
   even to the holder of the secret key, and
2. adds to the first polynomial a plaintext that is uniform in every coefficient but the constant
   one, where it is zero.

Both follow from one secret seed a round and the ciphertext's label (HKDF), so that whoever is
given the seed can replay them; the key node never gets it. Where the agreement wants noise
(section 7), the constant coefficient gets an integer draw on top, which follows from nothing.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Any

import numpy as np
import tenseal.sealapi as seal
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from mpcseg.ckks.circuit import Encrypted
from mpcseg.ckks.parameters import BOTTOM_PRIMES, ParameterSet, moduli, new_context
from mpcseg.ckks.sampling import KEY_BYTES, uniform_residues
from mpcseg.ckks.serialization import (
    CiphertextShape,
    Residues,
    load_from_bytes,
    pack_residues,
    residues_of,
    saved_ciphertext,
)
from mpcseg.errors import CircuitError
from mpcseg.privacy.noise import draw

SLOT_SUM_SHAPE = CiphertextShape(level=0)
"""A released ciphertext: two polynomials at level 0."""

SEED_BYTES = 64
"""Length of the secret seed of one round's releases."""


def new_seed() -> bytes:
    """A fresh secret seed for one round, from the system's CSPRNG. Compute node."""
    return secrets.token_bytes(SEED_BYTES)


def seed_commitment(seed: bytes) -> str:
    """Hex SHA-256 that binds the compute node to a seed and tells nobody what it is."""
    return hashlib.sha256(b"mpcseg seed commitment|" + seed).hexdigest()


class SlotSumMask:
    """Re-randomises and masks slot sums. Compute node only.

    Works in a ring of the two bottom primes and the special one: the public key's residues
    modulo those are a public key there, and a context of three primes is made in milliseconds.

    Args:
        parameters: of the study.
        public_key: the study's public key, loaded.
    """

    def __init__(self, parameters: ParameterSet, public_key: Any) -> None:
        self._parameters = parameters
        primes = moduli(parameters)
        self._moduli = [*primes[:BOTTOM_PRIMES], primes[-1]]
        residues = residues_of(parameters, public_key.save)
        self._public_key = residues[:, [*range(BOTTOM_PRIMES), -1], :]
        self._primes = np.array(parameters.primes[:BOTTOM_PRIMES], np.uint64)

    def release(self, encrypted: Encrypted, seed: bytes, label: str, noise: int = 0) -> bytes:
        """The blob that goes to the key node.

        Args:
            encrypted: a sum over all blocks at level 0, size 2.
            seed: the round's secret seed, :data:`SEED_BYTES` long.
            label: names this ciphertext within the round; two releases never share one.
            noise: added to the constant coefficient, :func:`units_per_sum` of them to 1; secret,
                and of this release alone.

        Raises:
            CircuitError: the ciphertext is not at level 0 and of size 2.
        """
        if encrypted.level != 0 or encrypted.size != 2:
            raise CircuitError(
                f"A slot sum is released at level 0 and size 2, "
                f"not at level {encrypted.level} and size {encrypted.size}."
            )
        zero, uniform = self._randomness(seed, label)
        residues = residues_of(self._parameters, encrypted.payload.save) + zero
        residues[0] += uniform
        # All NTT values of a constant polynomial are that constant.
        constant = [noise % int(prime) for prime in self._primes]
        residues[0] += np.array(constant, np.uint64)[:, None]
        return pack_residues(residues % self._primes[None, :, None], encrypted.scale)

    def _randomness(self, seed: bytes, label: str) -> tuple[Residues, Residues]:
        key = HKDF(SHA512(), 64 + KEY_BYTES, None, b"mpcseg slot sum|" + label.encode()).derive(
            seed
        )
        return self._zero(key[:64]), self._uniform(key[64:])

    def _zero(self, key: bytes) -> Residues:
        """An encryption of zero at level 0, shape (2, primes, N)."""
        words = [int.from_bytes(key[i : i + 8], "little") for i in range(0, 64, 8)]
        degree = self._parameters.poly_modulus_degree
        context = new_context(degree, self._moduli, words)
        public_key = seal.PublicKey()
        shape = self._public_key.shape
        key_level = list(context.key_parms_id())
        parts = saved_ciphertext(key_level, shape, 1.0, self._public_key)
        load_from_bytes(lambda path: public_key.load(context, path), *parts)
        zero = seal.Ciphertext()
        seal.Encryptor(context, public_key).encrypt_zero(zero)
        return residues_of(self._parameters, zero.save)

    def _uniform(self, key: bytes) -> Residues:
        """NTT values of a polynomial, uniform but for a constant coefficient of 0.

        Shape (primes, N). The NTT values of a polynomial add up to N times its constant
        coefficient, so the last value is chosen to make each prime's sum vanish.
        """
        count = self._parameters.poly_modulus_degree - 1
        rows = uniform_residues(key, self._primes.tolist(), count)
        last = [-int(row.sum()) % int(q) for row, q in zip(rows, self._primes, strict=True)]
        return np.column_stack([rows, np.array(last, np.uint64)])


def units_per_sum(parameters: ParameterSet, scale: float) -> float:
    """By how much the constant coefficient grows when a slot sum grows by 1. Any node."""
    return scale * 2.0 / parameters.poly_modulus_degree


def slot_sum_units(parameters: ParameterSet, residues: Residues) -> int:
    """The constant coefficient of a decrypted slot sum: Σ z_i in its integer units. Key node only.

    Args:
        parameters: of the study.
        residues: NTT residues of the plaintext polynomial, shape (2, N).
    """
    degree = parameters.poly_modulus_degree
    q0, q1 = parameters.primes[:BOTTOM_PRIMES]
    a0, a1 = (
        int(row.sum()) * pow(degree, -1, prime) % prime
        for row, prime in zip(residues, (q0, q1), strict=True)
    )
    return signed_units(parameters, (a0, a1))


def signed_units(parameters: ParameterSet, residues: tuple[int, int]) -> int:
    """The integer next to zero that has these residues modulo the two bottom primes. Any node."""
    q0, q1 = parameters.primes[:BOTTOM_PRIMES]
    a0, a1 = residues
    coefficient = a0 + q0 * ((a1 - a0) * pow(q0, -1, q1) % q1)
    return coefficient - q0 * q1 if coefficient > q0 * q1 // 2 else coefficient


def own_noise(parameters: ParameterSet, scale: float, std: float) -> int:
    """Draw the key node's own noise for one sum, once for ever: it is kept before it is used.

    For studies whose compute node's organisation gets results and knows the noise that is in there
    (docs/protocol.md section 7).

    Args:
        parameters: of the study.
        scale: of the released ciphertext.
        std: in units of the sum; 0 for no noise.

    Returns:
        In the integer units of the ciphertext, as `SecretKey.decrypt_slot_sum` takes it.
    """
    return draw(std * units_per_sum(parameters, scale))
