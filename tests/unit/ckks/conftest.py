"""Real keys, made once, and a look into ciphertexts that the package itself does not offer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import tenseal.sealapi as seal

from mpcseg.ckks.circuit import Circuit, Encrypted, SealBackend
from mpcseg.ckks.encryption import PRESENCE_SHAPE, BlockEncryptor, feature_shape
from mpcseg.ckks.key_material import load_public_key, load_relinearisation_keys
from mpcseg.ckks.packing import Block
from mpcseg.ckks.parameters import ParameterSet
from mpcseg.ckks.secret import SecretKey
from mpcseg.ckks.serialization import plaintext_residues, unpack_ciphertext
from mpcseg.ckks.slot_sum import SlotSumMask


@dataclass(frozen=True)
class Keys:
    """One study's keys; the secret one is here because tests compare."""

    parameters: ParameterSet
    secret: SecretKey
    public_bytes: bytes
    relinearisation_bytes: bytes
    circuit: Circuit
    mask: SlotSumMask
    encryptor: BlockEncryptor

    def load_block(self, block: Block) -> list[Encrypted]:
        """Encrypt a block, send it as bytes, load it: d features, then presence."""
        *features, presence = self.encryptor.encrypt(block)
        shape = feature_shape(self.parameters)
        loaded = [unpack_ciphertext(self.parameters, blob, shape) for blob in features]
        return [*loaded, unpack_ciphertext(self.parameters, presence, PRESENCE_SHAPE)]

    def decrypt_polynomial(self, encrypted: Encrypted) -> seal.Plaintext:
        plain = seal.Plaintext()
        self.secret._key.decryptor.decrypt(encrypted.payload, plain)
        return plain

    def slots(self, encrypted: Encrypted) -> np.ndarray:
        """All slots in the clear."""
        encoder = seal.CKKSEncoder(self.parameters.ring.context)
        return np.array(encoder.decode_double(self.decrypt_polynomial(encrypted)))

    def plain_residues(self, encrypted: Encrypted) -> np.ndarray:
        """NTT residues of the decrypted polynomial, shape (primes, N)."""
        plain = self.decrypt_polynomial(encrypted)
        return plaintext_residues(self.parameters, plain, self.parameters.n_primes(encrypted.level))


@pytest.fixture(scope="session")
def make_keys() -> Callable[[ParameterSet], Keys]:
    def make(parameters: ParameterSet) -> Keys:
        secret = SecretKey(parameters)
        public, relinearisation = secret.public_key(), secret.relinearisation_keys()
        backend = SealBackend(parameters, load_relinearisation_keys(parameters, relinearisation))
        return Keys(
            parameters,
            secret,
            public,
            relinearisation,
            Circuit(parameters, backend),
            SlotSumMask(parameters, load_public_key(parameters, public)),
            BlockEncryptor(parameters, public),
        )

    return make


@pytest.fixture(scope="session")
def keys(make_keys: Callable[[ParameterSet], Keys]) -> Keys:
    """The set for up to five clusters, as the planner chooses it."""
    return make_keys(ParameterSet(16384, 11))


@pytest.fixture(scope="session")
def small_keys(make_keys: Callable[[ParameterSet], Keys]) -> Keys:
    """Few levels: for tests of slot sums and bytes, where depth does not matter."""
    return make_keys(ParameterSet(16384, 2))
