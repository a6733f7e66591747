"""Finds many patterns in gigabytes at once, also inside what is compressed there."""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mpcseg.verification.exposure.patterns import SHORTEST_IN_LOGS, Pattern
from mpcseg.verification.exposure.unpacking import base64_texts, streams

NESTED = 2
"""How deep what is packed inside what is packed is looked for."""

_WORD = 4
_CHUNK = 1 << 18
_BITS = 22
# Two multiplicative hashes; any odd numbers with well mixed bits do.
_FACTORS = (np.uint32(2654435761), np.uint32(2246822519))
_SHIFT = np.uint32(32 - _BITS)


@dataclass(frozen=True)
class Exposure:
    """A value that was found.

    Attributes:
        place: where.
        pattern: what, in which form.
    """

    place: str
    pattern: Pattern

    @property
    def name(self) -> str:
        """What was found."""
        return self.pattern.name


class Scanner:
    """Finds patterns.

    A pattern of seven bytes or more holds, wherever it begins, a whole aligned word of four bytes:
    one of four that are known beforehand. So only every fourth place is looked at, by two tables of
    hashes first.

    Args:
        patterns: seven bytes each at least.

    Attributes:
        n_patterns: how many.
    """

    def __init__(self, patterns: Iterable[Pattern]) -> None:
        self._by_word: dict[int, list[tuple[Pattern, int]]] = {}
        self.n_patterns = 0
        for pattern in patterns:
            self.n_patterns += 1
            if len(pattern.content) < SHORTEST_IN_LOGS:
                raise ValueError(f"{pattern.name} has {len(pattern.content)} bytes only")
            first = _most_telling(pattern.content)
            for at in range(first, first + _WORD):
                word = int.from_bytes(pattern.content[at : at + _WORD], "little")
                self._by_word.setdefault(word, []).append((pattern, at))
        self._words = np.array(sorted(self._by_word), dtype=np.uint32)
        self._tables = [np.zeros(1 << _BITS, dtype=bool) for _ in _FACTORS]
        for table, factor in zip(self._tables, _FACTORS, strict=True):
            table[(self._words * factor) >> _SHIFT] = True

    def search(self, data: bytes | memoryview, nested: int = NESTED) -> set[Pattern]:
        """All patterns that data contains, or what is packed in it.

        Args:
            data: any bytes.
            nested: how deep to unpack.
        """
        view = memoryview(data)
        found = self._search_plain(view)
        if nested:
            for packed in (streams, base64_texts):
                for content in packed(view):
                    found |= self.search(content, nested - 1)
        return found

    def names(self, data: bytes | memoryview) -> set[str]:
        """Names of the patterns that data contains."""
        return {pattern.name for pattern in self.search(data)}

    def _search_plain(self, data: memoryview) -> set[Pattern]:
        found: set[Pattern] = set()
        if not len(self._words):
            return found
        words = np.frombuffer(data, "<u4", len(data) // _WORD)
        for start in range(0, len(words), _CHUNK):
            chunk = words[start : start + _CHUNK]
            for place in (start + self._candidates(chunk)).tolist():
                for pattern, offset in self._by_word.get(int(words[place]), ()):
                    at = _WORD * place - offset
                    if (
                        at >= 0
                        and pattern not in found
                        and data[at : at + len(pattern.content)] == pattern.content
                    ):
                        found.add(pattern)
        return found

    def _candidates(self, words: NDArray[np.uint32]) -> NDArray[np.intp]:
        """Places of words that begin a comparison."""
        first, second = self._tables
        # Much quicker than by index; no hash is ever clipped.
        places = np.flatnonzero(first.take((words * _FACTORS[0]) >> _SHIFT, mode="clip"))
        places = places[second[(words[places] * _FACTORS[1]) >> _SHIFT]]
        chosen = words[places]
        at = np.searchsorted(self._words, chosen)
        at[at == len(self._words)] = 0
        kept: NDArray[np.intp] = places[self._words[at] == chosen]
        return kept

    def in_file(self, path: Path) -> set[Pattern]:
        """Search a file, however large."""
        with opened(path) as data:
            return self.search(data)

    def in_files(self, folder: Path) -> list[Exposure]:
        """Search a folder with everything below it, the names of the files too."""
        found = []
        for path in files_below(folder):
            where = str(path.relative_to(folder))
            patterns = self.search(where.encode())
            if path.is_file():
                patterns |= self.in_file(path)
            found += [Exposure(where, p) for p in sorted(patterns, key=lambda p: p.name)]
        return found


class opened:  # noqa: N801  used like a function
    """A file's content as a memory view, while it is open."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> memoryview:
        """Map it; an empty file cannot be mapped."""
        self._map: mmap.mmap | None = None
        if not self._path.stat().st_size:
            return memoryview(b"")
        with self._path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return memoryview(self._map)

    def __exit__(self, *exception: object) -> None:
        """Leave it to be unmapped with the last view of it."""
        self._map = None


def files_below(folder: Path) -> Iterator[Path]:
    """Everything below a folder, but no symbolic links."""
    yield from (path for path in sorted(folder.rglob("*")) if not path.is_symlink())


def _most_telling(content: bytes) -> int:
    """Where four words in a row begin that are met least: different bytes, few zeros in memory."""
    places = range(len(content) - 2 * _WORD + 2)
    telling = [len(set(content[at : at + _WORD]) - {0}) for at in range(len(content) - _WORD + 1)]
    return max(places, key=lambda at: min(telling[at : at + _WORD]))
