"""The search of all places, with a control for each: a copy of it with a planted value."""

from __future__ import annotations

import base64
import itertools
import subprocess
import sys
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from hyperframe.frame import DataFrame

from mpcseg.demo.customers import Customers
from mpcseg.errors import ExposureError
from mpcseg.nodes.progress import Progress, SilentProgress
from mpcseg.verification.exposure.memory import copy_memory, stopped
from mpcseg.verification.exposure.patterns import Pattern
from mpcseg.verification.exposure.places import INSIDE, Place
from mpcseg.verification.exposure.scanner import Exposure, Scanner

_MEGABYTE = 1 << 20

_HOLD = """
import sys, numpy
held = numpy.frombuffer(bytes.fromhex(sys.stdin.readline()), float) + 0
print("ready", flush=True)
sys.stdin.readline()
"""


@dataclass(frozen=True)
class Outcome:
    """What the search of one place gave.

    Attributes:
        place: its name.
        n_bytes: searched, in files; what was unpacked comes on top.
        n_patterns: that were looked for: each value in each form.
        found: values that must not be there.
        allowed: how many values were found that belong there.
        control: what was planted and found.
    """

    place: str
    n_bytes: int
    n_patterns: int
    found: tuple[Exposure, ...]
    allowed: int
    control: str


class Search:
    """Searches places for patterns.

    Args:
        patterns: of every value.
        rounded: of the values as people print them, for text.
    """

    def __init__(self, patterns: Sequence[Pattern], rounded: Sequence[Pattern]) -> None:
        self._scanner = Scanner(patterns)
        self._text_scanner = Scanner([*patterns, *rounded])

    def place(self, place: Place, progress: Progress) -> Outcome:
        """Search one place.

        Args:
            place: which.
            progress: told every megabyte, as "search".
        """
        files = place.all_files()
        # The scanner leaves Python's lock often enough for a second core to be of use.
        with ThreadPoolExecutor(2) as pool:
            found = list(pool.map(lambda path: self._file(place, path, progress), files))
        exposures = [exposure for of_file in found for exposure in of_file]
        forbidden = [e for e in exposures if place.forbids(e.pattern.kind)]
        return Outcome(
            place.name,
            sum(path.stat().st_size for path in files if path.is_file()),
            self._scanner_of(place).n_patterns,
            tuple(sorted(forbidden, key=lambda e: (e.place, e.name))),
            len({(e.pattern.kind, e.pattern.item) for e in exposures} - _values(forbidden)),
            "",
        )

    def _file(self, place: Place, path: Path, progress: Progress) -> list[Exposure]:
        scanner = self._scanner_of(place)
        found: set[Pattern] = set()
        for content in place.contents(path):
            found |= scanner.search(content)
        if path.is_file():
            progress.advance("search", path.stat().st_size // _MEGABYTE)
        return [Exposure(str(path.relative_to(place.root)), pattern) for pattern in found]

    def _scanner_of(self, place: Place) -> Scanner:
        return self._text_scanner if place.is_text else self._scanner


def _values(exposures: Sequence[Exposure]) -> set[tuple[str, str]]:
    return {(exposure.pattern.kind, exposure.pattern.item) for exposure in exposures}


class Controls:
    """Plants records in copies of places, where the search has to find them.

    Args:
        folder: for the copies.
        owner: a party.
        customers: its records.
    """

    def __init__(self, folder: Path, owner: str, customers: Customers) -> None:
        folder.mkdir(mode=0o700)
        self._folder = folder
        self._kind = f"{owner}'s record"
        self._rows = itertools.cycle(enumerate(customers.values.tolist()))
        self._disguises = itertools.cycle(_DISGUISES)

    def verify_place(self, search: Search, place: Place) -> str:
        """Plant a record in a copy of one of the place's files and find it; returns how.

        Raises:
            ExposureError: it is not found, or the place has no file.
        """
        row, record = next(self._rows)
        files = [path for path in place.all_files() if path.is_file() and path.stat().st_size]
        if not files:
            raise ExposureError(
                f"{place.name}: there is nothing to search, so that finding nothing shows nothing",
                "Is the system's crash output sent elsewhere? See docs/exposure.md.",
            )
        if place.name == INSIDE:
            form, content = "a double cut by a frame's border", _framed(files, record[0])
        else:
            form, disguise = next(self._disguises)
            source = max(files, key=lambda path: path.stat().st_size)
            with source.open("rb") as file:
                copied = file.read(_MEGABYTE)
            half = len(copied) // 2
            content = copied[:half] + disguise(record[0]) + copied[half:]
        copy = self._folder / f"{place.name}.copy".replace(" ", "-")
        copy.write_bytes(content)
        planted = Place(place.name, [copy], self._folder, read=place.read, is_text=place.is_text)
        self._verify_found(search.place(planted, SilentProgress()).found, row, place.name)
        copy.unlink()
        return f"found: {form}, planted in a copy"

    def verify_memory(self, search: Search, place: Place) -> str:
        """Plant a record in the memory of a child process and find it; returns how.

        Raises:
            ExposureError: it is not found.
        """
        row, record = next(self._rows)
        copy = self._folder / f"{place.name}.memory".replace(" ", "-")
        with subprocess.Popen(  # noqa: S603  our own program
            [sys.executable, "-c", _HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdin is not None  # noqa: S101
            assert process.stdout is not None  # noqa: S101
            process.stdin.write(np.array(record).tobytes().hex().encode() + b"\n")
            process.stdin.flush()
            process.stdout.readline()
            with stopped([process.pid]):
                copy_memory(process.pid, copy)
            process.communicate(b"\n")
        planted = Place(place.name, [copy], self._folder)
        self._verify_found(search.place(planted, SilentProgress()).found, row, place.name)
        copy.unlink()
        return "found: a double, planted in a child process"

    def _verify_found(self, found: Sequence[Exposure], row: int, place: str) -> None:
        if not any((e.pattern.kind, e.pattern.item) == (self._kind, f"[{row}, 0]") for e in found):
            raise ExposureError(
                f"{place}: a record that was planted for a control is not found",
                "This is a defect of the search; do not rely on its other results.",
            )


def _framed(files: Sequence[Path], value: float) -> bytes:
    """A recorded stream with a double behind it that one frame begins and the next one ends."""
    recorded = min(files, key=lambda path: path.stat().st_size).read_bytes()
    stream, double = 2**31 - 1, np.float64(value).tobytes()
    return recorded + b"".join(
        DataFrame(stream, part).serialize() for part in (double[:3], double[3:])
    )


def _text(value: float) -> bytes:
    return repr(value).encode()


def _double(value: float) -> bytes:
    return np.float64(value).tobytes()


_DISGUISES = (
    ("a double", _double),
    ("text", lambda value: b" " + _text(value) + b" "),
    ("base64 of text", lambda value: b" " + base64.b64encode(_text(value)) + b" "),
    ("text in a zlib stream", lambda value: zlib.compress(b"the record is " + _text(value))),
    ("hexadecimal of a double", lambda value: b" " + _double(value)[::-1].hex().encode() + b" "),
)


def total_megabytes(places: Sequence[Place]) -> int:
    """Length of the search's progress bar."""
    sizes: Iterator[int] = (
        path.stat().st_size // _MEGABYTE
        for place in places
        for path in place.all_files()
        if path.is_file()
    )
    return sum(sizes)
