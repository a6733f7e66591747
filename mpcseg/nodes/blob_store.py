"""Where the compute node keeps a study's blobs: plain files, gone when the study closes."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from mpcseg.errors import ConfigError
from mpcseg.nodes.roles import Caller
from mpcseg.private import open_private
from mpcseg.study.closing import Purged
from mpcseg.wire.blobs import header_of
from mpcseg.wire.names import BlobHeader, BlobKind, BlobName

_RELEASES = "releases"
_LOCK = "lock"
# The study's folder on its way out: nothing that still runs finds its files any more.
_LEAVING = "deleted"


class BlobStore:
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
        self.root = storage / "study"
        self._leaving = storage / _LEAVING
        self._remove()
        self.root.mkdir(mode=0o700)
        self._folders = {owner: self.root / f"{owner.role.value}-{owner.name}" for owner in owners}
        for folder in self._folders.values():
            folder.mkdir(mode=0o700)

    def path(self, owner: Caller, name: BlobName) -> Path:
        """Return where a node's blob stands; its folder exists."""
        return self._folders[owner] / str(name)

    def release_path(self, name: BlobName) -> Path:
        """Return where a release stands."""
        return self.root / _RELEASES / str(name)

    def write_releases(self, index: int, blobs: Sequence[bytes]) -> list[BlobHeader]:
        """Keep a round's releases for the key node to fetch, in place of the last round's."""
        folder = self.root / _RELEASES
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(mode=0o700)
        headers = []
        for item, blob in enumerate(blobs):
            name = BlobName(BlobKind.RELEASE, round=index, item=item)
            with open_private(folder / str(name)) as file:
                file.write(blob)
            headers.append(header_of(name, blob))
        return headers

    def drop(self, owner: Caller, kind: BlobKind) -> None:
        """Remove a node's blobs of one kind."""
        for path in self._folders[owner].glob(f"{kind.value}-*"):
            path.unlink(missing_ok=True)

    def keep_only(self, owner: Caller, names: Iterable[BlobName]) -> None:
        """Remove what an earlier process of the node left; uploads under way are not touched."""
        kept = {str(name) for name in names}
        for path in self._folders[owner].iterdir():
            if path.name not in kept and not path.name.startswith("."):
                path.unlink(missing_ok=True)

    def purge(self) -> Purged:
        """Remove every ciphertext, key and sealed result; returns how many and how much."""
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
