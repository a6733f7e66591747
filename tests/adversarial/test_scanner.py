"""The scanner of `exposure.py` finds what is there: in every form, at every place, in a process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.adversarial.exposure import Scanner, patterns_of, process_tree, stopped

RNG = np.random.default_rng(11)
AMOUNTS = RNG.uniform(1, 5000, (20, 2))
SHARES = RNG.uniform(-1, 1, (20, 2))
TINY = np.array([[0.00034567891234, -1.23456789012e-5]])


def scanner() -> Scanner:
    tables = {"amount": AMOUNTS, "share": SHARES, "tiny": TINY}
    return Scanner([p for name, table in tables.items() for p in patterns_of(name, table)])


def filler(length: int) -> bytes:
    return RNG.bytes(length)


FORMS = {
    "a double": SHARES[3, 1].tobytes(),
    "a double, big-endian": SHARES[3, 1].astype(">f8").tobytes(),
    "a row in single precision": SHARES[3].astype("<f4").tobytes(),
    "a row in single precision, big-endian": SHARES[3].astype(">f4").tobytes(),
    "a column in single precision": SHARES[2:4, 1].astype("<f4").tobytes(),
    "text": repr(float(AMOUNTS[5, 0])).encode(),
    "text of ten digits": f"{AMOUNTS[5, 0]:.10g}".encode(),
    "a share as text": f"{SHARES[1, 0]:.10f}".encode(),
    "text with an exponent": f"{AMOUNTS[5, 0]:.10e}".encode(),
    "a tiny number as text": repr(float(TINY[0, 0])).encode(),
    "a tinier number as text": repr(float(TINY[0, 1])).encode(),
    "a tinier number without exponent": f"{TINY[0, 1]:.16f}".encode(),
    "a row of a CSV file": ",".join(map(repr, AMOUNTS[7].tolist())).encode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_found_at_every_place(form: str) -> None:
    content, looked_for = FORMS[form], scanner()
    for before in (0, 1, 2, 3, 5, 1000, (1 << 24) - 3):
        assert looked_for.names(filler(before) + content + filler(7)), before
    assert looked_for.names(content), "alone"


def test_random_bytes_and_other_numbers_are_not_found() -> None:
    looked_for = scanner()
    assert looked_for.names(filler(1 << 22)) == set()
    others = np.random.default_rng(12).uniform(1, 5000, 100_000)
    assert looked_for.names(others.tobytes()) == set()
    assert looked_for.names("\n".join(map(repr, others.tolist())).encode()) == set()


def test_a_number_that_others_look_like_is_no_canary() -> None:
    for value in (0.0, 0.5, 1.0, 1e-9, float(np.float32(0.1))):
        with pytest.raises(ValueError, match="too few bits"):
            patterns_of("round", np.array([[value]]))


def test_files_are_searched_with_their_names(tmp_path: Path) -> None:
    (tmp_path / "deep" / "down").mkdir(parents=True)
    (tmp_path / "deep" / "down" / "log.txt").write_text(f"sum is {AMOUNTS[0, 0]!r}")
    (tmp_path / f"cluster-{AMOUNTS[1, 1]!r}").touch()
    (tmp_path / "harmless").write_bytes(filler(1000))
    found = scanner().in_files(tmp_path)
    assert [e.place.partition("-")[0] for e in found] == ["cluster", "deep/down/log.txt"]


WORKER = """
import sys, numpy
held = numpy.frombuffer(bytes.fromhex(sys.stdin.readline()), float) + 0
print("ready", flush=True)
sys.stdin.readline()
"""


def test_a_canary_in_the_memory_of_a_child_process_is_found() -> None:
    """As a worker of the compute node would hold it: an array of numbers that a pipe brought."""
    process = subprocess.Popen(
        ["sh", "-c", '"$0" -c "$1"; true', sys.executable, WORKER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(SHARES[4].tobytes().hex().encode() + b"\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"ready\n"
        looked_for = scanner()
        shell, worker = process_tree(process.pid)
        with stopped([shell, worker]):
            assert not looked_for.in_process(shell)
            names = {exposure.name for exposure in looked_for.in_process(worker)}
        assert {"share[4, 0], double, little-endian", "share[4, 1], double, little-endian"} <= names
        assert not [name for name in names if not name.startswith("share[4, ")]
    finally:
        process.communicate(b"\n")
