"""A destroyed secret key is gone from the process's memory."""

from __future__ import annotations

import gc
import multiprocessing
import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest

from mpcseg.ckks.parameters import TARGET_SCALE, ParameterSet
from mpcseg.ckks.secret import SecretKey, overwriting_freed_memory
from mpcseg.ckks.serialization import pack_residues
from mpcseg.errors import MalformedBlobError, StudyClosedError
from mpcseg.nodes.recovery import Recovery
from tests.organisations import identity, study_spec
from tests.unit.ckks.conftest import Keys

PARAMETERS = ParameterSet(16384, 2)
MASK = 0x5A
CHUNK = 8 * 2**20

RANDOM = np.random.default_rng(0).integers(0, 2**30, (2, 2, PARAMETERS.poly_modulus_degree))
BLOB = pack_residues(RANDOM.astype(np.uint64), TARGET_SCALE)
"""A ciphertext of nothing in particular."""

T = TypeVar("T")


def masked(values: Sequence[int], size: int) -> bytes:
    """32 bytes of residues, each byte changed, so that the search does not find what it holds."""
    return bytes(byte ^ MASK for value in values for byte in value.to_bytes(size, "little"))


PLACES = (
    0,
    500,
    1010,
    PARAMETERS.poly_modulus_degree + 100,
    5 * PARAMETERS.poly_modulus_degree - 8,
)
"""Where to look: what streams read first and last has buffers of its own."""


def patterns(secret: SecretKey) -> dict[str, bytes]:
    """Some of the key's NTT values as SEAL keeps them and as ciphertexts travel."""
    key = secret._key.generator.secret_key()  # what data() gives is a part of it
    values = key.data()
    found = {}
    for at in PLACES:
        found[f"64-bit words at {at}"] = masked([values[at + i] for i in range(4)], 8)
        found[f"32-bit words at {at}"] = masked([values[at + i] for i in range(8)], 4)
    return found


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


def in_a_process_of_its_own(search: Callable[..., T], *arguments: object) -> T:
    """Search there: this one has whatever other tests have left, gigabytes to look through."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(search, *arguments).result()


def use(secret: SecretKey) -> SecretKey:
    """Do all with a key that a study does with it."""
    secret.public_key()
    secret.relinearisation_keys()
    secret.encrypt_hyperplane(np.array([0.1, 0.2]), 2)
    secret.decrypt_slot_sum(BLOB, TARGET_SCALE, noise=3)
    return secret


def new_key(_: Path) -> SecretKey:
    return use(SecretKey(PARAMETERS))


def sealed_key(folder: Path) -> SecretKey:
    secret = SecretKey(PARAMETERS)
    with secret.words() as words:
        recovery(folder).keep_key(words, b"public", b"relinearisation")
    return use(secret)


def restored_key(folder: Path) -> SecretKey:
    """A key that was sealed by another process, as far as this one's memory goes."""
    sealed_key(folder).destroy()
    with recovery(folder).key_words() as words:
        return use(SecretKey(PARAMETERS, words))


def recovery(folder: Path) -> Recovery:
    return Recovery(folder / "recovery", study_spec(), identity("keeper"), run=0)


Counts = dict[str, int]


def counted(made: Callable[[Path], SecretKey], folder: Path) -> tuple[Counts, Counts, Counts]:
    """Places of a key before and after its end, and then of another one that is alive."""
    other = use(SecretKey(PARAMETERS))
    secret = made(folder)
    wanted = patterns(secret)
    before = places(wanted)
    secret.destroy()
    gc.collect()
    return before, places(wanted), places(patterns(other))


@pytest.mark.parametrize("made", [new_key, restored_key])
def test_nothing_of_the_key_stays_in_memory(
    tmp_path: Path, made: Callable[[Path], SecretKey]
) -> None:
    before, after, others = in_a_process_of_its_own(counted, made, tmp_path)
    assert all(bool(count) == name.startswith("64") for name, count in before.items()), before
    assert after == dict.fromkeys(before, 0)
    assert any(others.values()), "other keys are not touched"


def freed(number: int) -> int:
    """Places of the beginning of a buffer that was freed."""
    content = bytearray(masked(range(number, number + 4), 8) * 250)
    wanted = {"content": bytes(byte ^ MASK for byte in content[:32])}
    del content
    return places(wanted)["content"]


def freed_as_usual_and_overwritten() -> tuple[int, int]:
    """Places of what was freed as always, and where it is to be overwritten."""
    as_usual = freed(10**15)
    with overwriting_freed_memory():
        return as_usual, freed(10**16)


def test_what_is_freed_is_overwritten_where_that_is_asked_for() -> None:
    as_usual, inside = in_a_process_of_its_own(freed_as_usual_and_overwritten)
    assert as_usual > 0, "the search must find what is freed and not overwritten"
    assert inside == 0


def test_a_restored_key_decrypts_what_was_encrypted_before(tmp_path: Path) -> None:
    first = SecretKey(PARAMETERS)
    with first.words() as words:
        recovery(tmp_path).keep_key(words, b"public", b"relinearisation")
    assert not words.any()
    with recovery(tmp_path).key_words() as words:
        second = SecretKey(PARAMETERS, words)
        assert not words.any()
    assert patterns(second) == patterns(first)
    assert second.decrypt_slot_sum(BLOB, TARGET_SCALE) == first.decrypt_slot_sum(BLOB, TARGET_SCALE)
    again = second.decrypt_slot_sum(BLOB, TARGET_SCALE, again=True)
    assert (again, second.decrypted_values) == (first.decrypt_slot_sum(BLOB, TARGET_SCALE), 1)


@pytest.mark.parametrize("bad", ["short", "residue"])
def test_words_that_are_no_key_are_refused(bad: str) -> None:
    words = np.zeros(5 * PARAMETERS.poly_modulus_degree, np.uint32)
    words[7] = 2**31
    with pytest.raises(MalformedBlobError, match=re.compile("length|residues")):
        SecretKey(PARAMETERS, words[8:] if bad == "short" else words)


def test_a_destroyed_key_does_nothing_more(small_keys: Keys) -> None:
    secret = use(SecretKey(PARAMETERS))
    secret.destroy()
    secret.destroy()
    for deed in (
        secret.public_key,
        secret.relinearisation_keys,
        lambda: secret.encrypt_hyperplane(np.array([0.1, 0.2]), 2),
        lambda: secret.decrypt_slot_sum(BLOB, TARGET_SCALE),
    ):
        with pytest.raises(StudyClosedError, match="destroyed"):
            deed()
    assert secret.decrypted_values == 1
    assert repr(secret) == "<SecretKey ckks-16384-2>"
