"""Is what the compute node's log commits to really in its storage folder? Never changes a file.

Runs on: compute node, each time that it goes on with a study, and as a command of its own.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpcseg.audit.records import RoundEvaluated
from mpcseg.ckks.slot_sum import seed_commitment
from mpcseg.durable import storage_error
from mpcseg.engine.evidence import MANIFEST_FILE
from mpcseg.engine.round_secrets import NOISE_FILE, SEED_FILE, read_noise, read_seed
from mpcseg.errors import StorageError
from mpcseg.nodes.blob_store import StudyFiles
from mpcseg.nodes.resume import Resumed
from mpcseg.nodes.roles import Caller
from mpcseg.nodes.study_state import StudyState
from mpcseg.wire.blobs import chunks_of_file
from mpcseg.wire.names import BlobHeader

RESTORE = (
    "Nothing was changed. Restore that file from a copy of the storage folder and start the node "
    "again; without a copy the study can only be run again under a new agreement."
)


@dataclass(frozen=True)
class Flaw:
    """A file that is not what the log says.

    Attributes:
        path: of the file.
        what: is wrong with it: "is missing", "was changed", ...
    """

    path: Path
    what: str

    def error(self) -> StorageError:
        """Say it to the operator."""
        return StorageError(f"{self.path} {self.what}: the study rests on it", RESTORE)


def holds(files: StudyFiles) -> Callable[[Caller, BlobHeader], bool]:
    """Return what says whether a node's blob stands in a folder as it was announced."""

    def is_there(owner: Caller, header: BlobHeader) -> bool:
        return flaw_of(files.path(owner, header.name), header) is None

    return is_there


def flaw_of(path: Path, header: BlobHeader) -> Flaw | None:
    """What is wrong with a blob's file; None if nothing is.

    Raises:
        StorageError: the disk does not let it be read.
    """
    return _flaw(path, header.sha256, header.length)


def flaws(files: StudyFiles, state: StudyState, found: Resumed) -> Iterator[Flaw]:
    """Everything that the study rests on and that is not there as the log has it.

    Args:
        files: of the storage folder.
        state: rebuilt from the log.
        found: beside it.

    Raises:
        StorageError: the disk does not let a file be read.
    """
    for path, header in resting(files, state, found):
        flaw = flaw_of(path, header)
        if flaw is not None:
            yield flaw
    for index, evaluated in found.evaluated.items():
        yield from _evidence_flaws(files.evidence_folder(index), evaluated)
    order = state.rounds.under_way
    if order is not None:
        yield from _secrets_flaws(files.evidence_folder(order.index))


def resting(
    files: StudyFiles, state: StudyState, found: Resumed
) -> Iterator[tuple[Path, BlobHeader]]:
    """Every blob that the study rests on, and where it must stand."""
    for owner, header in state.held():
        if state.is_committed(owner, header.name):
            yield files.path(owner, header.name), header
    held = {header.name for _, header in state.held()}
    for index in found.evaluated:
        for header in found.hyperplanes.get(index, ()):
            if header.name not in held:
                yield files.path(state.rules.key, header.name), header
        for header in found.releases[index]:
            yield files.release_path(header.name), header


def _evidence_flaws(folder: Path, evaluated: RoundEvaluated) -> Iterator[Flaw]:
    """Seed, manifest and partial sums of a round that was evaluated."""
    yield from _secrets_flaws(folder)
    for name in (SEED_FILE, NOISE_FILE):
        if not (folder / name).exists():
            yield Flaw(folder / name, "is missing")
    seed = folder / SEED_FILE
    if seed.exists() and not hmac.compare_digest(
        seed_commitment(seed.read_bytes()), evaluated.seed_commitment
    ):
        yield Flaw(seed, "was changed")
    manifest = folder / MANIFEST_FILE
    flaw = _flaw(manifest, bytes.fromhex(evaluated.manifest))
    if flaw is not None:
        yield flaw
        return
    content: Any = json.loads(manifest.read_bytes())  # its digest is this node's own
    for file in (file for unit in content["units"] for file in unit["files"]):
        partial = _flaw(folder / file["name"], bytes.fromhex(file["sha256"]))
        if partial is not None:
            yield partial


def _secrets_flaws(folder: Path) -> Iterator[Flaw]:
    """A seed or noise that is there and is not what this node writes."""
    for name, read in ((SEED_FILE, read_seed), (NOISE_FILE, read_noise)):
        if (folder / name).exists():
            try:
                read(folder)
            except StorageError:
                yield Flaw(folder / name, "was changed")


def _flaw(path: Path, sha256: bytes, length: int | None = None) -> Flaw | None:
    digest = hashlib.sha256()
    try:
        if length is not None and path.stat().st_size != length:
            return Flaw(path, "has another length than it had")
        for chunk in chunks_of_file(path):
            digest.update(chunk.data)
    except FileNotFoundError:
        return Flaw(path, "is missing")
    except OSError as error:
        raise storage_error(error, path) from None
    return None if digest.digest() == sha256 else Flaw(path, "was changed")
