"""Where the compute node keeps a study's blobs and evidence: plain files, gone when it closes."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterable
from pathlib import Path

from mpcseg.durable import on_disk, rename, sync_folder, write_private
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

    Nothing is removed before `begin` or `go_on` says what is there for.

    Args:
        storage: folder of the compute node; made if absent.
        owners: the nodes whose blobs it will have.

    Raises:
        ConfigError: the folder cannot be made, or another compute node uses it.
    """

    def __init__(self, storage: Path, owners: Iterable[Caller]) -> None:
        super().__init__(storage)
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
        self._leaving = storage / _LEAVING
        self._folders = (
            self.root / _RELEASES,
            self.root / _EVIDENCE,
            *map(self.folder, owners),
        )

    @staticmethod
    def is_in_use(storage: Path) -> bool:
        """Whether a study that is not over has files in a folder."""
        return any((storage / name).exists() for name in (_STUDY, _LEAVING))

    def begin(self) -> None:
        """Begin a study with nothing; what is left of one that has ended is removed.

        Raises:
            StorageError: the folders cannot be made.
        """
        with on_disk(self.root):
            self.remove()
            self._make()

    def go_on(self) -> None:
        """Go on with what is there; uploads that were cut off are removed.

        Raises:
            StorageError: the folders cannot be used.
        """
        with on_disk(self.root):
            self._make()
            for folder in self._folders:
                for path in folder.glob(".*.part"):
                    path.unlink()

    def _make(self) -> None:
        self.root.mkdir(mode=0o700, exist_ok=True)
        for folder in self._folders:
            folder.mkdir(mode=0o700, exist_ok=True)
        sync_folder(self.root)
        sync_folder(self.root.parent)

    def write_releases(self, headers: Iterable[BlobHeader], blobs: Iterable[bytes]) -> None:
        """Keep a round's releases for the key node to fetch, and to be replayed.

        Raises:
            StorageError: they cannot be written.
        """
        with on_disk(self.root / _RELEASES):
            for header, blob in zip(headers, blobs, strict=True):
                write_private(self.release_path(header.name), blob)

    def keep_only(self, owner: Caller, names: Iterable[BlobName]) -> None:
        """Remove what an earlier process of the node left; uploads under way are not touched."""
        kept = {str(name) for name in names}
        for path in self.folder(owner).iterdir():
            if path.name not in kept and not path.name.startswith("."):
                path.unlink(missing_ok=True)

    def put_away(self) -> Purged:
        """Put every ciphertext, key, seed and sealed result out of reach; returns what there is.

        May be repeated until `remove` was begun.

        Raises:
            StorageError: the disk does not let it.
        """
        with on_disk(self.root):
            if self.root.exists() and not self._leaving.exists():
                rename(self.root, self._leaving)
            sizes = [path.stat().st_size for path in self._leaving.rglob("*") if path.is_file()]
        return Purged(len(sizes), sum(sizes))

    def remove(self) -> None:
        """Remove what was put away, and whatever else is left of a study.

        Raises:
            StorageError: the disk does not let it.
        """
        with on_disk(self.root):
            for folder in (self.root, self._leaving):
                if folder.exists():
                    shutil.rmtree(folder)

    def close(self) -> None:
        """Let go of the folder, with all that is in it."""
        self._lock.close()
