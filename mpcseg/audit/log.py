"""A node's audit log: an SQLite file that is only ever appended to (docs/verification.md).

Every entry is a leaf of a Merkle tree and carries the hash of the chain up to it. Entries are on
disk before what they speak of happens or leaves the node: a crash can leave an entry too many,
never one too few. Any node; one process at a time.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from mpcseg.audit.checkpoint import sign_checkpoint, verify_checkpoint, verify_goes_on
from mpcseg.audit.log_file import FIRST_CHAIN, SCHEMA, chained, read_log
from mpcseg.audit.merkle import Tree, leaf_hash
from mpcseg.audit.records import Checkpoint, CheckpointTaken, Entry, NodeRole, Record
from mpcseg.audit.renewals import verify_keeps_renewals
from mpcseg.errors import ConfigError, LogError, StorageError
from mpcseg.study.closing import now
from mpcseg.study.identity import Identity
from mpcseg.study.spec import StudySpec

LOG_DIGITS = 16
"""Of an agreement's digest, in the names of what is kept of its study."""


def log_path(folder: Path, spec: StudySpec, role: NodeRole, organisation: str) -> Path:
    """Where a node's log of an agreement stands; it survives the study."""
    return folder / log_name(spec, role, organisation)


def log_name(spec: StudySpec, role: NodeRole, organisation: str) -> str:
    """The file name of a node's log of an agreement; any organisation's for ``*``."""
    return f"audit-{spec.digest[:LOG_DIGITS]}-{role}-{organisation}.sqlite"


class AuditLog:
    """The log of one node of one study. A context manager; safe to use from several threads.

    Args:
        folder: where the log stands; made if absent.
        spec: the study.
        identity: the node's own; signs the checkpoints.
        role: in which the node takes part.

    Attributes:
        earlier: the entries that were there when this process opened it.

    Raises:
        ConfigError: the folder or the file cannot be used, or another process has it open.
        LogError: the file that is there is damaged, or of another study or node.
        RenewalError: the node has taken a renewal that the study is not given with now.
    """

    def __init__(self, folder: Path, spec: StudySpec, identity: Identity, role: NodeRole) -> None:
        self._spec = spec
        self._identity = identity
        self._role: NodeRole = role
        self._busy = threading.RLock()
        self.path = log_path(folder, spec, role, identity.name)
        self._tree, self._chain = Tree(), FIRST_CHAIN
        self._taken: dict[tuple[str, str], Checkpoint] = {}
        self._signed: set[int] = {0}
        self.earlier: tuple[Entry, ...] = ()
        self._lock = _locked(self.path)
        try:
            # First of all, so that SQLite undoes what a killed process has left half-written.
            self._database = _connect(self.path)
            if self._database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                self._go_on(spec)
            else:
                self._begin()
        except BaseException as error:
            os.close(self._lock)
            if isinstance(error, OSError | sqlite3.Error):
                raise _unusable(self.path, type(error).__name__) from None
            raise

    def _go_on(self, spec: StudySpec) -> None:
        found = read_log(self.path, spec)
        if (found.organisation, found.role) != (self._identity.name, self._role):
            raise LogError(f"{self.path} is {found}", "Rename it back; logs must not be moved.")
        verify_keeps_renewals(found.entries, spec)
        self._tree, self._chain = found.tree, found.chain
        self._signed.update(head.size for head in found.heads)
        self.earlier = found.entries
        for entry in found.entries:
            self._remember(entry.record)

    def _begin(self) -> None:
        head = (self._spec.digest, self._role, self._identity.name)
        with self._database:
            for statement in SCHEMA.values():
                self._database.execute(statement)
            self._database.execute("INSERT INTO log VALUES (?, ?, ?)", head)

    def __len__(self) -> int:
        return len(self._tree)

    def append(self, *records: Record) -> None:
        """Write records, all of them or none; on disk when this returns.

        Raises:
            StorageError: they cannot be written; the log is as it was.
        """
        with self._busy:
            number, chain, time = len(self._tree), self._chain, now()
            rows, leaves = [], []
            for offset, record in enumerate(records):
                entry = Entry(
                    number=number + offset, study=self._spec.digest, time=time, record=record
                ).canonical()
                leaves.append(leaf_hash(entry))
                chain = chained(chain, leaves[-1])
                rows.append((number + offset, entry, chain))
            self._write("INSERT INTO entries VALUES (?, ?, ?)", rows)
            for leaf, record in zip(leaves, records, strict=True):
                self._tree.append(leaf)
                self._remember(record)
            self._chain = chain

    def checkpoint(self) -> Checkpoint:
        """Sign the log as it is now; the signature is kept beside the entries as well."""
        with self._busy:
            size = len(self._tree)
            signed = sign_checkpoint(
                self._identity, self._role, self._spec.digest, size, self._tree.root()
            )
            row = (size, signed.root, signed.time, signed.signature)
            self._write("INSERT OR REPLACE INTO heads VALUES (?, ?, ?, ?)", [row])
            self._signed.add(size)
            return signed

    def sign_what_is_new(self) -> None:
        """Sign the log as it is now, unless it is signed at this size already."""
        with self._busy:
            if len(self._tree) not in self._signed:
                self.checkpoint()

    def consistency_proof(self, old: int, new: int) -> list[bytes]:
        """Show that the log of ``new`` entries goes on from that of ``old``.

        From a size only that was signed once: a proof from any other would hand out the hashes of
        single entries to whoever asks for them one by one.

        Raises:
            LogError: the log was never signed at that size, or was cut since, or replaced.
        """
        with self._busy:
            if old <= len(self._tree) and old not in self._signed:
                raise LogError(
                    f"the log does not go on from one of {old} entries: none such was ever signed"
                )
            return self._tree.consistency_proof(old, new)

    def known_size(self, organisation: str, role: NodeRole) -> int:
        """Entries of another node's log at the last checkpoint taken of it; 0 for none."""
        with self._busy:
            taken = self._taken.get((organisation, role))
            return taken.size if taken else 0

    def take(self, checkpoint: Checkpoint, proof: Sequence[bytes]) -> None:
        """Check another node's checkpoint and enter it; one that was taken already changes nothing.

        1. Its organisation, which has this role in the study, has signed it for this study.
        2. The log goes on from the checkpoint that was taken of it before.

        Raises:
            SignatureError: it has not.
            LogError: no such node is in the study; its log was cut or rewritten.
        """
        verify_checkpoint(self._spec, checkpoint)  # 1
        with self._busy:
            key = (checkpoint.organisation, checkpoint.role)
            earlier = self._taken.get(key)
            if earlier is not None and (earlier.size, earlier.root) == (
                checkpoint.size,
                checkpoint.root,
            ):
                return
            verify_goes_on(earlier, checkpoint, proof)  # 2
            self.append(CheckpointTaken(checkpoint=checkpoint))

    def close(self) -> None:
        """Sign the log as it stands, and let go of the file."""
        with self._busy:
            try:
                if len(self._tree):
                    self.checkpoint()
            finally:
                self._database.close()
                os.close(self._lock)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    def _remember(self, record: Record) -> None:
        if isinstance(record, CheckpointTaken):
            taken = record.checkpoint
            self._taken[taken.organisation, taken.role] = taken

    def _write(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        try:
            with self._database:
                self._database.executemany(statement, rows)
        except sqlite3.Error as error:
            raise StorageError(
                f"the audit log {self.path} cannot be written ({type(error).__name__}: "
                f"{getattr(error, 'sqlite_errorname', 'unknown')})",
                "Nothing happens without an entry, and nothing is lost. Make room on that disk, or "
                "make it writable, and start this node again with the same command.",
            ) from None


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, check_same_thread=False)
    # One file that can be copied while nobody writes, and that a power cut does not tear.
    database.execute("PRAGMA journal_mode = DELETE")
    database.execute("PRAGMA synchronous = FULL")
    return database


def _locked(path: Path) -> int:
    """Open a log's file, made if absent, for this process alone."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise _unusable(path, error.strerror or type(error).__name__) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise ConfigError(
            f"another process writes the audit log {path}",
            "A node runs once: stop the other one, or give this one a folder of its own.",
        ) from None
    return lock


def _unusable(path: Path, reason: str) -> ConfigError:
    return ConfigError(
        f"the audit log {path} cannot be used: {reason}",
        "Name a folder in which this user may write.",
    )
