"""All that touches the secret key (docs/protocol.md sections 1, 4 and 6). Key node only.

import-linter lets ``mpcseg.nodes.key`` alone import this module. A decrypted polynomial never
leaves it: callers get one number for each released ciphertext.
"""

from __future__ import annotations

import secrets
from typing import Any

import numpy as np
import tenseal.sealapi as seal
from numpy.typing import NDArray

from mpcseg.ckks.assignment import hyperplane_scales
from mpcseg.ckks.key_material import SEED_BYTES, expand_public_polynomial, pack_public_key
from mpcseg.ckks.parameters import BOTTOM_PRIMES, ParameterSet
from mpcseg.ckks.serialization import (
    pack_ciphertext,
    plaintext_residues,
    residues_of,
    save_to_bytes,
    unpack_ciphertext,
)
from mpcseg.ckks.slot_sum import SLOT_SUM_SHAPE, slot_sum_from_residues


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
        self._generator = seal.KeyGenerator(context)
        secret = self._generator.secret_key()
        self._encryptor = seal.Encryptor(context, secret)
        self._decryptor = seal.Decryptor(context, secret)
        self._encoder = seal.CKKSEncoder(context)
        self.decrypted_values = 0

    def __repr__(self) -> str:
        return f"<SecretKey {self._parameters.name}>"

    def __reduce__(self) -> Any:
        raise TypeError("A secret key is not pickled.")

    def public_key(self) -> bytes:
        """A fresh public key whose second polynomial everybody expands from its seed.

        SEAL draws (b', a') with b' = e - a'·s. For another second polynomial a, the first one is
        b = b' + (a' - a)·s, with SEAL's error e untouched.
        """
        parameters = self._parameters
        drawn = seal.PublicKey()
        self._generator.create_public_key(drawn)
        b, a = residues_of(parameters, drawn.save)
        s = plaintext_residues(parameters, self._generator.secret_key(), parameters.n_key_primes)
        seed = secrets.token_bytes(SEED_BYTES)
        primes = np.array(parameters.primes, np.uint64)[:, None]
        shift = (a + primes - expand_public_polynomial(parameters, seed)) % primes
        return pack_public_key(parameters, (b + shift * s) % primes, seed)

    def relinearisation_keys(self) -> bytes:
        """The relinearisation keys as SEAL saves them, seeded."""
        return save_to_bytes(self._generator.create_relin_keys().save)

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
        return pack_ciphertext(self._parameters, self._encryptor.encrypt_symmetric(plain).save)

    def decrypt_slot_sum(self, blob: bytes) -> float:
        """Decrypt a released ciphertext to the one number it carries (section 6).

        Raises:
            MalformedBlobError: not a slot sum.
        """
        encrypted = unpack_ciphertext(self._parameters, blob, SLOT_SUM_SHAPE)
        plain = seal.Plaintext()
        self._decryptor.decrypt(encrypted.payload, plain)
        residues = plaintext_residues(self._parameters, plain, BOTTOM_PRIMES)
        self.decrypted_values += 1
        return slot_sum_from_residues(self._parameters, residues, encrypted.scale)
