"""Where the compute node keeps a study's blobs and evidence: plain files, gone when it closes."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterable
from pathlib import Path

from mpcseg.errors import ConfigError
from mpcseg.nodes.roles import Caller
from mpcseg.private import open_private
from mpcseg.study.closing import Purged
from mpcseg.wire.names import BlobHeader, BlobName

_STUDY, _RELEASES, _EVIDENCE = "study", "releases", "evidence"
_LOCK = "lock"
# The study's folder on its way out: nothing that still runs finds its files any more.
_LEAVING = "deleted"


class StudyFiles:
    """Where the files of a study stand, in a compute node's storage folder or a copy of it.

    Args:
        storage: the folder.
    """

    def __init__(self, storage: Path) -> None:
        self.root = storage / _STUDY

    def folder(self, owner: Caller) -> Path:
        """Return where a node's blobs stand."""
        return self.root / f"{owner.role.value}-{owner.name}"

    def path(self, owner: Caller, name: BlobName) -> Path:
        """Return where a node's blob stands."""
        return self.folder(owner) / str(name)

    def release_path(self, name: BlobName) -> Path:
        """Return where a release stands."""
        return self.root / _RELEASES / str(name)

    def evidence_folder(self, index: int) -> Path:
        """Return where a round's partial sums, manifest and seed stand."""
        return self.root / _EVIDENCE / f"round-{index:04d}"


class BlobStore(StudyFiles):
    """A folder of blobs by node, private to this user and to one compute node at a time.

    Args:
        storage: folder of the compute node; made if absent. What an earlier study left in its
            ``study`` folder, after a crash, is removed.
        owners: the nodes whose blobs it will have.

    Raises:
        ConfigError: the folder cannot be made, or another compute node uses it.
    """

    def __init__(self, storage: Path, owners: Iterable[Caller]) -> None:
        try:
            storage.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = open_private(storage / _LOCK)
        except OSError as error:
            raise ConfigError(
                f"the storage folder {storage} cannot be used: {error.strerror}",
                "Name a folder in which this user may write.",
            ) from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise ConfigError(
                f"another compute node uses the storage folder {storage}",
                "Give each compute node a folder of its own.",
            ) from None
        super().__init__(storage)
        self._leaving = storage / _LEAVING
        self._remove()
        self.root.mkdir(mode=0o700)
        for folder in (self.root / _RELEASES, self.root / _EVIDENCE, *map(self.folder, owners)):
            folder.mkdir(mode=0o700)

    def write_releases(self, headers: Iterable[BlobHeader], blobs: Iterable[bytes]) -> None:
        """Keep a round's releases for the key node to fetch, and to be replayed."""
        for header, blob in zip(headers, blobs, strict=True):
            with open_private(self.release_path(header.name)) as file:
                file.write(blob)

    def keep_only(self, owner: Caller, names: Iterable[BlobName]) -> None:
        """Remove what an earlier process of the node left; uploads under way are not touched."""
        kept = {str(name) for name in names}
        for path in self.folder(owner).iterdir():
            if path.name not in kept and not path.name.startswith("."):
                path.unlink(missing_ok=True)

    def purge(self) -> Purged:
        """Remove every ciphertext, key, seed and sealed result; returns how many and how much."""
        self.root.rename(self._leaving)
        sizes = [path.stat().st_size for path in self._leaving.rglob("*") if path.is_file()]
        self._remove()
        return Purged(len(sizes), sum(sizes))

    def close(self) -> None:
        """Remove what is left, and let go of the folder."""
        self._remove()
        self._lock.close()

    def _remove(self) -> None:
        for folder in (self.root, self._leaving):
            if folder.exists():
                shutil.rmtree(folder)
