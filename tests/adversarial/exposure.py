"""Looks for known numbers in files and in the memory of running processes (Linux).

A number is looked for in every form in which a program would have it: double and single precision
in both byte orders, and decimal text. Eight bytes each at least, so that random bytes, of which
ciphertexts are made, match none of a thousand numbers in a gigabyte but once in ten million times.
A single-precision number has four bytes only, and is looked for together with its neighbour.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SIGNIFICANT_DIGITS = 9
"""Of a number that is looked for as text; the same number with more digits is found, too."""

_CHUNK = 1 << 24
_ANCHOR = 4
"""Bytes of each pattern by which places are chosen for a comparison."""


@dataclass(frozen=True)
class Pattern:
    """One number, or two, in one form."""

    name: str
    content: bytes

    @cached_property
    def anchor_at(self) -> int:
        """Where its most telling bytes begin: different ones, no zeros as memory is full of."""
        places = range(len(self.content) - _ANCHOR + 1)
        return max(places, key=lambda at: len(set(self.content[at : at + _ANCHOR]) - {0}))


@dataclass(frozen=True)
class Exposure:
    """A number that was found where it must not be."""

    place: str
    name: str


def patterns_of(name: str, table: Array) -> list[Pattern]:
    """Every form of every number of a table.

    Args:
        name: what the numbers are; shown with what was found.
        table: shape (n, d). For single precision the neighbours are those of row and column.

    Raises:
        ValueError: a number has so few significant bits that other numbers look like it.
    """
    found = []
    for row, column in np.ndindex(table.shape):
        value = float(table[row, column])
        if not is_canary(value):
            raise ValueError(f"{name}: {value} is not a canary, it has too few bits")
        label = f"{name}[{row}, {column}]"
        found += [Pattern(f"{label} as text", text.encode()) for text in _texts(value)]
        for order, word in (("<", "little-endian"), (">", "big-endian")):
            double = np.array(value, order + "f8").tobytes()
            found.append(Pattern(f"{label}, double, {word}", double))
            for other in _neighbours(table, row, column):
                pair = np.array([value, other], order + "f4").tobytes()
                found.append(Pattern(f"{label} and the next, single, {word}", pair))
    return found


def is_canary(value: float) -> bool:
    """Whether a number has so many bits that it is met nowhere by coincidence."""
    mantissa = np.float64(value).tobytes()[:6]
    return abs(value) > 1e-6 and len(set(mantissa) - {0}) >= _ANCHOR


def _texts(value: float) -> set[str]:
    """The leading digits of a number as programs write it: plain, and with an exponent."""
    # The last digits are cut off, not rounded: a longer text begins with the same ones.
    plain = re.match(rf"0?\.?0*(\.?\d){{{SIGNIFICANT_DIGITS}}}", f"{abs(value):.25f}")
    assert plain is not None
    mantissa = f"{abs(value):.{SIGNIFICANT_DIGITS + 3}e}"[: SIGNIFICANT_DIGITS + 1]
    return {plain[0], mantissa}


def _neighbours(table: Array, row: int, column: int) -> Iterator[float]:
    n, d = table.shape
    if column + 1 < d:
        yield float(table[row, column + 1])
    if row + 1 < n:
        yield float(table[row + 1, column])


class Scanner:
    """Finds many patterns in much data at once.

    Args:
        patterns: eight bytes each at least.
    """

    def __init__(self, patterns: Iterable[Pattern]) -> None:
        self._by_anchor: dict[bytes, list[Pattern]] = {}
        self._halves = np.zeros((2, 1 << 16), dtype=bool)
        self._longest = 0
        for pattern in patterns:
            if len(pattern.content) < 8:
                raise ValueError(f"{pattern.name} has {len(pattern.content)} bytes only")
            anchor = pattern.content[pattern.anchor_at :][:_ANCHOR]
            self._by_anchor.setdefault(anchor, []).append(pattern)
            self._halves[[0, 1], np.frombuffer(anchor, "<u2")] = True
            self._longest = max(self._longest, len(pattern.content))

    def names(self, data: bytes) -> set[str]:
        """Names of the patterns that data contains."""
        found: set[str] = set()
        for start in range(0, len(data), _CHUNK):
            end = start + _CHUNK + self._longest
            found |= self._names_in_chunk(data[start:end])
        return found

    def _names_in_chunk(self, data: bytes) -> set[str]:
        found: set[str] = set()
        for shift in (0, 1):
            count = (len(data) - shift) // 2
            halves = np.frombuffer(data, "<u2", count, shift)
            first = np.flatnonzero(self._halves[0][halves[:-1]])
            both = first[self._halves[1][halves[first + 1]]]
            for place in (2 * both + shift).tolist():
                for pattern in self._by_anchor.get(data[place : place + _ANCHOR], ()):
                    at = place - pattern.anchor_at
                    if at >= 0 and data.startswith(pattern.content, at):
                        found.add(pattern.name)
        return found

    def in_files(self, folder: Path) -> list[Exposure]:
        """Search a folder with everything below it, the names of the files too."""
        found = []
        for path in sorted(folder.rglob("*")):
            where = str(path.relative_to(folder))
            names = self.names(where.encode())
            if path.is_file():
                names |= self.names(path.read_bytes())
            found += [Exposure(where, name) for name in sorted(names)]
        return found

    def in_process(self, pid: int) -> list[Exposure]:
        """Search everything that a process could read in its memory."""
        found: set[str] = set()
        for block in _memory(pid):
            found |= self.names(block)
        return [Exposure(f"memory of process {pid}", name) for name in sorted(found)]


def _memory(pid: int) -> Iterator[bytes]:
    """What a process has in its memory, in blocks that overlap by a page.

    Not the files that it can only read, such as its program: those are on disk.
    """
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            addresses, access, _, _, inode, *_ = line.split()
            is_program = inode != "0" and "w" not in access
            if is_program or "r" not in access or line.endswith(("[vvar]", "[vsyscall]")):
                continue
            start, end = (int(address, 16) for address in addresses.split("-"))
            for at in range(start, end, _CHUNK):
                try:
                    memory.seek(at)
                    yield memory.read(min(_CHUNK + 4096, end - at))
                except (OSError, OverflowError):
                    continue  # reserved, but nothing there


def process_tree(pid: int) -> list[int]:
    """A process and all that it has started, directly or not."""
    # Whichever thread started a child, the system lists it with that thread.
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    children = [int(child) for path in lists for child in path.read_text().split()]
    return [pid, *(below for child in children for below in process_tree(child))]


@contextmanager
def stopped(pids: Sequence[int]) -> Iterator[None]:
    """Hold processes still, so that no number gets away while it is looked for."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
