"""What docs/threat-model.md says of the SEAL that TenSEAL brings along, looked up in it."""

from __future__ import annotations

import pytest
import tenseal
import tenseal.sealapi as seal

from mpcseg.ckks.parameters import SECURITY, ParameterSet, max_levels
from mpcseg.ckks.serialization import SEAL_HEADER, SEAL_MAGIC, SEAL_VERSION, save_to_bytes
from tests.unit.ckks.conftest import Keys

# Table of the HomomorphicEncryption.org standard (2018): 128 bits, classical, ternary secret.
STANDARD = {16384: 438, 32768: 881}


def test_the_seal_inside_tenseal_is_the_one_that_was_looked_at(small_keys: Keys) -> None:
    saved = save_to_bytes(small_keys.parameters.ring.context.first_context_data().parms().save)
    magic, _, major, minor, *_ = SEAL_HEADER.unpack_from(saved)
    assert magic == SEAL_MAGIC
    assert (major, minor) == SEAL_VERSION == (4, 3)
    assert tenseal.__version__ == "0.3.18", "read its changes, then docs/threat-model.md"


def test_seal_refuses_to_compute_a_transparent_ciphertext(small_keys: Keys) -> None:
    context = small_keys.parameters.ring.context
    public_key = seal.PublicKey()
    seal.KeyGenerator(context).create_public_key(public_key)
    plain, encrypted = seal.Plaintext(), seal.Ciphertext()
    seal.CKKSEncoder(context).encode(1.0, 2.0**30, plain)
    seal.Encryptor(context, public_key).encrypt(plain, encrypted)
    with pytest.raises(RuntimeError, match="transparent"):
        seal.Evaluator(context).sub_inplace(encrypted, encrypted)


@pytest.mark.parametrize("degree", STANDARD)
def test_the_limits_are_those_of_the_standard(degree: int) -> None:
    assert seal.CoeffModulus.MaxBitCount(degree, SECURITY) == STANDARD[degree]
    largest = ParameterSet(degree, max_levels(degree))
    assert sum(prime.bit_length() for prime in largest.primes) <= STANDARD[degree]
