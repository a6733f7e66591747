"""What a fuzz target is, and what it must never do."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mpcseg.errors import MpcsegError
from tests.fuzz.mutation import Mutator, mutate_bytes

CORPUS = Path(__file__).parent / "corpus"


@dataclass(frozen=True)
class Target:
    """One parser of foreign bytes.

    Attributes:
        name: also of its folder in the corpus.
        parse: given any bytes, returns or raises an ``MpcsegError``; asserts what must hold of
            bytes that it accepts.
        seeds: good inputs, made when asked for, since keys are.
        mutators: ways to spoil an input that know its structure.
        tries: mutated inputs of the bounded run.
        longest: bytes of the longest input that is tried.
        refuses: False for what takes nearly everything, in one way or another.
    """

    name: str
    parse: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    mutators: tuple[Mutator, ...] = (mutate_bytes,)
    tries: int = 150
    longest: int = 1 << 16
    refuses: bool = True

    def run(self, data: bytes) -> bool:
        """Parse, and say whether the bytes were accepted.

        Any other exception than a class of ``mpcseg.errors`` goes through: it is a finding. So is
        the root of them, which stands for a failure inside mpcseg.
        """
        try:
            self.parse(data)
        except MpcsegError as error:
            if type(error) is MpcsegError:
                raise AssertionError("a parser failed inside") from error
            return False
        return True

    def corpus(self) -> list[Path]:
        """Inputs that are kept: small ones that once found a defect, or reach deep."""
        return sorted((CORPUS / self.name).glob("*"))


@functools.cache
def scratch() -> Path:
    """A folder in memory for parsers that read files; gone with the process."""
    shared = Path("/dev/shm")  # noqa: S108
    folder = tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None)
    _FOLDERS.append(folder)
    return Path(folder.name)


_FOLDERS: list[tempfile.TemporaryDirectory[str]] = []


def in_file(data: bytes, name: str) -> Path:
    """Bytes as a file, in place of what was in it."""
    path = scratch() / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return path
