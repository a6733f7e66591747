"""All that touches the secret key (docs/protocol.md sections 1, 4 and 6). Key node only.

import-linter lets ``mpcseg.nodes.key`` alone import this module. A decrypted polynomial never
leaves it: callers get one number for each released ciphertext. The key is in this process's
memory alone, until :meth:`SecretKey.destroy`.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

import numpy as np
import tenseal.sealapi as seal
from numpy.typing import NDArray

from mpcseg.ckks.assignment import hyperplane_scales
from mpcseg.ckks.key_material import SEED_BYTES, expand_public_polynomial, pack_public_key
from mpcseg.ckks.parameters import BOTTOM_PRIMES, ParameterSet
from mpcseg.ckks.serialization import (
    Residues,
    pack_ciphertext,
    plaintext_residues,
    residues_of,
    save_to_bytes,
    unpack_ciphertext,
)
from mpcseg.ckks.slot_sum import SLOT_SUM_SHAPE, slot_sum_units, units_per_sum
from mpcseg.errors import MalformedBlobError, StudyClosedError
from mpcseg.privacy.noise import draw


@dataclass(frozen=True)
class _SealKey:
    """SEAL's objects that hold the secret key; freed, they overwrite their memory."""

    generator: Any
    encryptor: Any
    decryptor: Any


class SecretKey:
    """The study's secret key and everything that needs it. Key node only.

    Args:
        parameters: of the study.

    Attributes:
        decrypted_values: numbers that were decrypted with this key so far.
    """

    def __init__(self, parameters: ParameterSet) -> None:
        self._parameters = parameters
        context = parameters.ring.context
        generator = seal.KeyGenerator(context)
        secret = generator.secret_key()
        self._live: _SealKey | None = _SealKey(
            generator, seal.Encryptor(context, secret), seal.Decryptor(context, secret)
        )
        self._encoder = seal.CKKSEncoder(context)
        self.decrypted_values = 0

    def __repr__(self) -> str:
        return f"<SecretKey {self._parameters.name}>"

    def __reduce__(self) -> Any:
        raise TypeError("A secret key is not pickled.")

    @property
    def _key(self) -> _SealKey:
        if self._live is None:
            raise StudyClosedError("The study's secret key was destroyed: it is over.")
        return self._live

    def destroy(self) -> None:
        """Forget the secret key for good; only :attr:`decrypted_values` can still be asked for.

        SEAL overwrites the memory of secret keys that it frees, and no other copy outlives the
        method that makes it. A page that the operating system has swapped out is out of reach.
        """
        self._live = None

    def public_key(self) -> bytes:
        """A fresh public key whose second polynomial everybody expands from its seed.

        SEAL draws (b', a') with b' = e - a'·s. For another second polynomial a, the first one is
        b = b' + (a' - a)·s, with SEAL's error e untouched.
        """
        parameters = self._parameters
        drawn = seal.PublicKey()
        self._key.generator.create_public_key(drawn)
        first, second = residues_of(parameters, drawn.save)
        seed = secrets.token_bytes(SEED_BYTES)
        primes = np.array(parameters.primes, np.uint64)[:, None]
        second = (second + primes - expand_public_polynomial(parameters, seed)) % primes
        # In place: the one copy of s outside SEAL is overwritten with what becomes public.
        b = self._secret_residues()
        b *= second
        b += first
        b %= primes
        return pack_public_key(parameters, b, seed)

    def _secret_residues(self) -> Residues:
        """NTT residues of the secret key, shape (primes, N), for the caller to overwrite."""
        secret = self._key.generator.secret_key()  # data() is a part of it, and goes with it
        values = secret.data()
        count = values.coeff_count()
        # One by one, as saving would leave copies in buffers that nobody overwrites.
        residues = np.fromiter((values[i] for i in range(count)), np.uint64, count)
        return residues.reshape(-1, self._parameters.poly_modulus_degree)

    def relinearisation_keys(self) -> bytes:
        """The relinearisation keys as SEAL saves them, seeded."""
        return save_to_bytes(self._key.generator.create_relin_keys().save)

    def encrypt_hyperplane(self, hyperplane: NDArray[np.float64], level: int) -> list[bytes]:
        """Encrypt one pair's hyperplane for the compute node (docs/protocol.md section 4).

        Args:
            hyperplane: shape (d + 1,): u_1 … u_d, v.
            level: the round's start level.

        Returns:
            d + 1 seeded ciphertext blobs, a constant in all slots each.
        """
        *normal, offset = hyperplane.tolist()
        u_scale, v_scale = hyperplane_scales(self._parameters, level)
        blobs = [self._encrypt_constant(u, u_scale, level) for u in normal]
        return [*blobs, self._encrypt_constant(offset, v_scale, level)]

    def _encrypt_constant(self, value: float, scale: float, level: int) -> bytes:
        plain = seal.Plaintext()
        self._encoder.encode(value, self._parameters.ring.parms_id(level), scale, plain)
        return pack_ciphertext(self._parameters, self._key.encryptor.encrypt_symmetric(plain).save)

    def decrypt_slot_sum(self, blob: bytes, own_std: float = 0.0) -> float:
        """Decrypt a released ciphertext to the one number it carries (section 6).

        Args:
            blob: as released by the compute node.
            own_std: of this node's own noise, in units of the sum; 0 draws none. It is for studies
                whose compute node's organisation gets results and knows the noise that is in there
                (section 7).

        Raises:
            MalformedBlobError: not a slot sum, or of a scale that none has.
            StudyClosedError: the key was destroyed.
        """
        encrypted = unpack_ciphertext(self._parameters, blob, SLOT_SUM_SHAPE)
        units = units_per_sum(self._parameters, encrypted.scale)
        try:
            noise = draw(own_std * units)
        except ValueError:
            raise MalformedBlobError(
                "A slot sum states a scale at which this node's own noise cannot be drawn."
            ) from None
        plain = seal.Plaintext()
        # No local name for the decryptor: it would outlive `destroy` in an error's traceback.
        self._key.decryptor.decrypt(encrypted.payload, plain)
        residues = plaintext_residues(self._parameters, plain, BOTTOM_PRIMES)
        self.decrypted_values += 1
        # On the integer: no floating-point number of the exact sum ever exists.
        return (slot_sum_units(self._parameters, residues) + noise) / units
