"""A destroyed secret key is gone from the process's memory."""

from __future__ import annotations

import gc
import os
from collections.abc import Sequence

import numpy as np
import pytest

from mpcseg.ckks.parameters import TARGET_SCALE, ParameterSet
from mpcseg.ckks.secret import SecretKey
from mpcseg.ckks.serialization import pack_residues
from mpcseg.errors import StudyClosedError
from tests.unit.ckks.conftest import Keys

PARAMETERS = ParameterSet(16384, 2)
MASK = 0x5A
CHUNK = 8 * 2**20

RANDOM = np.random.default_rng(0).integers(0, 2**30, (2, 2, PARAMETERS.poly_modulus_degree))
BLOB = pack_residues(RANDOM.astype(np.uint64), TARGET_SCALE)
"""A ciphertext of nothing in particular."""


def masked(values: Sequence[int], size: int) -> bytes:
    """32 bytes of residues, each byte changed, so that the search does not find what it holds."""
    return bytes(byte ^ MASK for value in values for byte in value.to_bytes(size, "little"))


def patterns(secret: SecretKey) -> dict[str, bytes]:
    """Some of the key's NTT values as SEAL keeps them and as ciphertexts travel."""
    key = secret._key.generator.secret_key()  # what data() gives is a part of it
    values = key.data()
    at = PARAMETERS.poly_modulus_degree + 100
    return {
        "64-bit words": masked([values[at + i] for i in range(4)], 8),
        "32-bit words": masked([values[at + i] for i in range(8)], 4),
    }


def places(wanted: dict[str, bytes]) -> dict[str, int]:
    """How often each pattern stands in this process's memory, by way of /proc/self/mem."""
    found = dict.fromkeys(wanted, 0)
    buffer = bytearray(CHUNK)
    view = np.frombuffer(buffer, np.uint8)
    overlap = 32
    with open("/proc/self/maps") as file:  # noqa: PTH123
        ranges = [line.split()[:2] for line in file]
    memory = os.open("/proc/self/mem", os.O_RDONLY)
    try:
        for span, mode in ranges:
            start, stop = (int(end, 16) for end in span.split("-"))
            at = start
            while "r" in mode and at < stop:
                try:
                    count = os.preadv(memory, [memoryview(buffer)[: stop - at]], at)
                except OSError:
                    break
                view[:count] ^= MASK
                for name, pattern in wanted.items():
                    found[name] += buffer.count(pattern, 0, count)
                if count <= overlap:
                    break
                at += count - overlap if at + count < stop else count
    finally:
        os.close(memory)
        view[:] = 0
    return found


def used_key() -> SecretKey:
    """A key after all that a study does with it."""
    secret = SecretKey(PARAMETERS)
    secret.public_key()
    secret.relinearisation_keys()
    secret.encrypt_hyperplane(np.array([0.1, 0.2]), 2)
    secret.decrypt_slot_sum(BLOB, TARGET_SCALE, own_std=1.0)
    return secret


def test_nothing_of_the_key_stays_in_memory(small_keys: Keys) -> None:
    secret = used_key()
    wanted = patterns(secret)
    before = places(wanted)
    assert before["64-bit words"] > 0, "the search must find the key while it is there"
    assert before["32-bit words"] == 0
    secret.destroy()
    gc.collect()
    after = places(wanted)
    print(f"copies before {before}, after {after}")  # noqa: T201
    assert after == {"64-bit words": 0, "32-bit words": 0}
    assert places(patterns(small_keys.secret))["64-bit words"] > 0, "other keys are not touched"


def test_a_destroyed_key_does_nothing_more(small_keys: Keys) -> None:
    secret = used_key()
    secret.destroy()
    secret.destroy()
    for use in (
        secret.public_key,
        secret.relinearisation_keys,
        lambda: secret.encrypt_hyperplane(np.array([0.1, 0.2]), 2),
        lambda: secret.decrypt_slot_sum(BLOB, TARGET_SCALE),
    ):
        with pytest.raises(StudyClosedError, match="destroyed"):
            use()
    assert secret.decrypted_values == 1
    assert repr(secret) == "<SecretKey ckks-16384-2>"
