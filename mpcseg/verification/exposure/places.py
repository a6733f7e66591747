"""Where a study's values are searched for, and what may stand there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mpcseg.verification.exposure.canaries import RESULT
from mpcseg.verification.exposure.canary_study import CanaryStudy, core_files
from mpcseg.verification.exposure.http2 import reassembled
from mpcseg.verification.exposure.scanner import files_below, opened

Reader = Callable[[memoryview], Iterator[bytes | memoryview]]

OUTSIDE = "wires, outside TLS"
INSIDE = "wires, inside TLS"
COMPUTE_MEMORY = "compute node's memory"
COMPUTE_DISK = "compute node's disk"
CRASH = "crash output"
LOGS = "what nodes print"
TEMPORARY = "temporary files, summaries"
KEY_MEMORY = "key node's memory"
KEY_DISK = "key node's disk"


def as_it_is(data: memoryview) -> Iterator[bytes | memoryview]:
    """What a file holds."""
    yield data


def wire(data: memoryview) -> Iterator[bytes | memoryview]:
    """What a file holds as it is, and with HTTP/2's and gRPC's borders taken away."""
    yield data
    yield from reassembled(data)


@dataclass(frozen=True)
class Place:
    """One place that is searched.

    Attributes:
        name: shown.
        files: files and folders.
        root: paths are shown from here on.
        may_hold: beginnings of the kinds of value that belong there.
        read: how to read the files.
        is_text: whether it is small enough to look for rounded numbers, too.
    """

    name: str
    files: Sequence[Path]
    root: Path
    may_hold: tuple[str, ...] = ()
    read: Reader = as_it_is
    is_text: bool = False

    def all_files(self) -> list[Path]:
        """Every single file, and every folder for its name's sake."""
        found: list[Path] = []
        for path in self.files:
            found += [path, *files_below(path)] if path.is_dir() else [path]
        return [path for path in found if path.exists()]

    def forbids(self, kind: str) -> bool:
        """Whether a kind of value must not be there."""
        return not kind.startswith(self.may_hold) if self.may_hold else True

    def contents(self, path: Path) -> Iterator[bytes | memoryview]:
        """What is searched of one file; its name comes first."""
        yield str(path.relative_to(self.root)).encode()
        if path.is_file():
            with opened(path) as data:
                yield from self.read(data)


def places_of(study: CanaryStudy, root: Path) -> list[Place]:
    """Every place of a finished, or broken off, study.

    Args:
        study: which has been run.
        root: the folder of the whole run.
    """
    workspace = study.workspace
    hub, key, parties = workspace.compute, workspace.key, workspace.parties

    def memory_of(name: str) -> list[Path]:
        moments = study.memory.get(name, {})
        return [path for paths in moments.values() for path in paths]

    left = [path for path in hub.path.glob("*") if path not in core_files(hub.path)]
    temporary = [study.temporary(node) for node in (key, *parties)]
    summaries = [node.summary for node in (key, *parties)]
    return [
        Place(OUTSIDE, [study.wires / "outside"], root),
        Place(INSIDE, [study.wires / "inside"], root, read=wire),
        Place(COMPUTE_MEMORY, memory_of(hub.name), root),
        Place(COMPUTE_DISK, [*study.disk.values(), *left], root),
        # The killed worker's core file, and what the node had printed of it.
        Place(CRASH, [*core_files(hub.path), study.logs / CRASH_LOG], root),
        Place(LOGS, [study.logs], root, is_text=True),
        Place(TEMPORARY, [*temporary, *summaries, workspace.closing_record], root, is_text=True),
        Place(KEY_MEMORY, memory_of(key.name), root, may_hold=(RESULT,)),
        Place(KEY_DISK, [key.path], root, may_hold=(RESULT,)),
        *(
            Place(f"{party.name}'s memory", memory_of(party.name), root, may_hold=(party.name,))
            for party in parties
        ),
    ]


CRASH_LOG = "hub-compute-serve.err"
