"""Foreign relinearisation keys are loaded in a process that may crash, hang or eat memory alone."""

from __future__ import annotations

import os
import signal
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from mpcseg.ckks.key_material import key_bytes_limit
from mpcseg.ckks.parameters import ParameterSet
from mpcseg.ckks.secret import SecretKey
from mpcseg.ckks.serialization import seal_header, seal_payload
from mpcseg.engine import key_check
from mpcseg.engine.key_check import KeyCheck
from mpcseg.errors import BlobTooLargeError, MalformedBlobError, MpcsegError

PARAMETERS = ParameterSet(16384, 1)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "relinearisation-keys"
    path.write_bytes(SecretKey(PARAMETERS).relinearisation_keys())
    return path


def test_good_keys_are_taken_and_the_process_is_gone(keys: Path) -> None:
    KeyCheck(PARAMETERS).verify(keys)
    assert not _children()


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"nothing", MalformedBlobError),
        (seal_header(4) + b"abcd", MalformedBlobError),
        (seal_header(2**40), MalformedBlobError),
    ],
)
def test_what_the_process_finds_is_told(
    tmp_path: Path, content: bytes, error: type[MpcsegError]
) -> None:
    path = tmp_path / "keys"
    path.write_bytes(content)
    with pytest.raises(error):
        KeyCheck(PARAMETERS).verify(path)


def test_a_decompression_bomb_is_stopped_there(tmp_path: Path) -> None:
    body = zstandard.ZstdCompressor().compress(bytes(200 * 2**20))
    path = tmp_path / "keys"
    path.write_bytes(struct.pack("<HBBBBHQ", 0xA15E, 16, 4, 3, 2, 0, 16 + len(body)) + body)
    with pytest.raises(BlobTooLargeError):
        KeyCheck(PARAMETERS).verify(path)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_a_process_that_crashes_is_a_refusal(
    keys: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    _have_the_process(monkeypatch, crash_with(number))
    with pytest.raises(MalformedBlobError, match=rf"without an answer \(exit status -{number:d}\)"):
        KeyCheck(PARAMETERS).verify(keys)


def test_a_process_that_hangs_is_ended(keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _have_the_process(monkeypatch, hang)
    began = time.monotonic()
    with pytest.raises(MalformedBlobError, match=r"took longer than 0\.5 s"):
        KeyCheck(PARAMETERS, seconds=0.5).verify(keys)
    assert time.monotonic() - began < 5.0
    assert not _children()


def test_a_process_that_eats_memory_is_stopped(keys: Path) -> None:
    with pytest.raises(MalformedBlobError, match="too much memory"):
        KeyCheck(PARAMETERS, spare_bytes=1 << 20).verify(keys)


def test_the_largest_keys_fit_into_what_a_check_may_take(tmp_path: Path) -> None:
    """Uncompressed, which takes the most: saved and decompressed are of one size then."""
    limit = key_bytes_limit(PARAMETERS, relinearisation=True)
    payload = seal_payload(SecretKey(PARAMETERS).relinearisation_keys(), limit)
    path = tmp_path / "keys"
    path.write_bytes(seal_header(len(payload)) + payload)
    KeyCheck(PARAMETERS, spare_bytes=6 * limit + (64 << 20)).verify(path)


# --- what happens in the process instead of a check; spawned, so at the module's top ---------


def crash_with(number: signal.Signals) -> Callable[..., None]:
    return {
        signal.SIGKILL: crash_by_kill,
        signal.SIGSEGV: crash_by_fault,
        signal.SIGABRT: crash_by_abort,
    }[number]


def crash_by_kill(*arguments: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def crash_by_fault(*arguments: object) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def crash_by_abort(*arguments: object) -> None:
    os.abort()


def hang(*arguments: object) -> None:
    time.sleep(60.0)


def _have_the_process(monkeypatch: pytest.MonkeyPatch, do: Callable[..., None]) -> None:
    monkeypatch.setattr(key_check, "check_keys", do)


def _children() -> list[str]:
    tasks = Path("/proc/self/task").iterdir()
    pids = [pid for task in tasks for pid in (task / "children").read_text().split()]
    names = [(Path("/proc") / pid / "cmdline").read_bytes().decode() for pid in pids]
    return [name for name in names if "spawn_main" in name]
