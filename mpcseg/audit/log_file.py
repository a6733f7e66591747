"""Audit logs as files: what a whole one looks like, and the reading of foreign ones.

Runs on: a node, when it goes on with its log, and at a reviewer, for whom every byte is foreign.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from mpcseg.audit.checkpoint import card_in_role, verify_checkpoint
from mpcseg.audit.merkle import HASH_BYTES, Tree, leaf_hash
from mpcseg.audit.records import (
    LONGEST_ENTRY,
    Began,
    Checkpoint,
    Entry,
    NodeRole,
    StudyEnded,
    parse_entry,
)
from mpcseg.errors import EvidenceError, LogError
from mpcseg.study.spec import StudySpec

SCHEMA = {
    "log": (
        "CREATE TABLE log (study TEXT NOT NULL, role TEXT NOT NULL, organisation TEXT NOT NULL)"
    ),
    "entries": (
        "CREATE TABLE entries (number INTEGER PRIMARY KEY, entry BLOB NOT NULL, "
        "chain BLOB NOT NULL)"
    ),
    "heads": (
        "CREATE TABLE heads (size INTEGER PRIMARY KEY, root TEXT NOT NULL, time TEXT NOT NULL, "
        "signature BLOB NOT NULL)"
    ),
    # Against accidents; against malice stand the chain and the checkpoints of others.
    "no_update": (
        "CREATE TRIGGER no_update BEFORE UPDATE ON entries "
        "BEGIN SELECT RAISE(ABORT, 'append only'); END"
    ),
    "no_delete": (
        "CREATE TRIGGER no_delete BEFORE DELETE ON entries "
        "BEGIN SELECT RAISE(ABORT, 'append only'); END"
    ),
}
"""Everything that such a file may contain, by name."""

FIRST_CHAIN = bytes(HASH_BYTES)
"""The chain before the first entry."""

_MOST_BYTES = 1 << 30
_MOST_ENTRIES = 1_000_000
_MOST_HEADS = 100_000


@dataclass(frozen=True)
class LogFile:
    """A log that was read and holds together.

    Attributes:
        path: where it was read from.
        organisation: whose log.
        role: in which it is kept.
        entries: in order.
        heads: checkpoints that the organisation has signed itself, by size.
        tree: over the entries.
        chain: hash of the chain at its end.
    """

    path: Path
    organisation: str
    role: NodeRole
    entries: tuple[Entry, ...]
    heads: tuple[Checkpoint, ...]
    tree: Tree
    chain: bytes

    def __str__(self) -> str:
        """Say whose log it is, for messages."""
        return f"the audit log of the {self.role} node {self.organisation}"


def chained(chain: bytes, leaf: bytes) -> bytes:
    """The hash of the chain up to a leaf."""
    return hashlib.sha256(chain + leaf).digest()


def read_log(path: Path, spec: StudySpec) -> LogFile:
    """Read a log and check that it holds together.

    1. The file is an SQLite database with the tables of a log and nothing else.
    2. It is of this study, and of a node that the agreement has.
    3. Its entries are numbered without gaps, in canonical form, and of this study.
    4. Each carries the hash of the chain up to it.
    5. Each head in it is the Merkle root of so many entries, signed by the log's organisation.

    Args:
        path: the file.
        spec: the study.

    Raises:
        EvidenceError: there is no such file, or it is no log of this study.
        LogError: it is damaged or was changed.
        SignatureError: a head is not signed by the log's organisation.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise EvidenceError(f"{path} is too large for an audit log")
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            database.execute("PRAGMA trusted_schema = OFF")
            database.execute("PRAGMA cell_size_check = ON")
            _verify_schema(path, database)  # 1
            organisation, role = _owner(path, database, spec)  # 2
            entries, tree, chain = _entries(path, database, spec)  # 3, 4
            heads = _heads(database, organisation, role)
    except FileNotFoundError:
        raise EvidenceError(f"there is no audit log {path}") from None
    except (OSError, sqlite3.Error, UnicodeDecodeError) as error:
        raise LogError(
            f"{path} cannot be read as an audit log ({type(error).__name__})",
            "It is damaged, or no audit log. Copy logs only when their node has ended.",
        ) from None
    found = LogFile(path, organisation, role, entries, heads, tree, chain)
    for head in heads:
        _verify_head(found, head, spec)  # 5
    return found


def has_open_run(entries: Iterable[Entry]) -> bool:
    """Whether a run was begun and has not ended; only a compute node's log has ends."""
    is_open = False
    for entry in entries:
        if isinstance(entry.record, Began) and not entry.record.resumes:
            is_open = True
        elif isinstance(entry.record, StudyEnded):
            is_open = False
    return is_open


def _verify_schema(path: Path, database: sqlite3.Connection) -> None:
    found = dict(database.execute("SELECT name, sql FROM sqlite_master").fetchmany(20))
    if not found:
        raise EvidenceError(f"{path} is an empty file", "Its node ended before it began a log.")
    if found != SCHEMA:
        raise LogError(f"{path} is not an audit log: it has other tables")


def _owner(path: Path, database: sqlite3.Connection, spec: StudySpec) -> tuple[str, NodeRole]:
    rows = database.execute("SELECT study, role, organisation FROM log").fetchmany(2)
    if len(rows) != 1:
        raise LogError(f"{path} does not say whose log it is")
    study, role, organisation = rows[0]
    if study != spec.digest:
        raise EvidenceError(
            f"{path} is an audit log of another study", "Compare it with the right agreement."
        )
    if role not in ("compute", "key", "party", "recipient"):
        raise LogError(f"{path} is the log of no role that there is")
    card_in_role(spec, organisation, role)
    return organisation, role


def _entries(
    path: Path, database: sqlite3.Connection, spec: StudySpec
) -> tuple[tuple[Entry, ...], Tree, bytes]:
    entries: list[Entry] = []
    tree, chain = Tree(), FIRST_CHAIN
    rows = database.execute(
        "SELECT number, substr(entry, 1, ?), substr(chain, 1, ?) FROM entries ORDER BY number",
        (LONGEST_ENTRY + 1, HASH_BYTES + 1),
    )
    for number, canonical, stated in rows:
        if not isinstance(canonical, bytes) or not isinstance(stated, bytes):
            raise LogError(f"{path}: entry {number} is not what an entry must be")
        entry = parse_entry(canonical)
        if number != len(entries) or entry.number != number or number >= _MOST_ENTRIES:
            raise LogError(f"{path}: entry {number} stands where entry {len(entries)} was due")
        if entry.study != spec.digest:
            raise LogError(f"{path}: entry {number} is of another study")
        leaf = leaf_hash(canonical)
        chain = chained(chain, leaf)
        if not hmac.compare_digest(chain, stated):
            raise LogError(f"{path}: the hash chain breaks at entry {number}")
        tree.append(leaf)
        entries.append(entry)
    return tuple(entries), tree, chain


def _heads(
    database: sqlite3.Connection, organisation: str, role: NodeRole
) -> tuple[Checkpoint, ...]:
    heads = []
    rows = database.execute("SELECT * FROM heads ORDER BY size DESC LIMIT ?", (_MOST_HEADS,))
    for size, root, time, signature in reversed(rows.fetchall()):
        fields = {"organisation": organisation, "role": role, "size": size, "root": root}
        try:
            heads.append(
                Checkpoint.model_validate({**fields, "time": time, "signature": signature})
            )
        except ValidationError:
            raise LogError("a signed head of an audit log is not what it must be") from None
    return tuple(heads)


def signed_part(log: LogFile) -> LogFile:
    """The log up to the last entry that its organisation has signed.

    What stands behind it is nobody's word: whoever had the file could have appended it.

    Raises:
        EvidenceError: nothing of it is signed.
    """
    size = log.heads[-1].size if log.heads else 0
    if size == 0:
        raise EvidenceError(
            f"nothing of {log} is signed by its organisation ({log.path})",
            "Its node was killed at once, or the file is not its own.",
        )
    if size == len(log.entries):
        return log
    tree, chain = Tree(), FIRST_CHAIN
    for entry in log.entries[:size]:
        leaf = leaf_hash(entry.canonical())
        tree.append(leaf)
        chain = chained(chain, leaf)
    return dataclasses.replace(log, entries=log.entries[:size], tree=tree, chain=chain)


def verify_head(log: LogFile, head: Checkpoint) -> None:
    """Check that a checkpoint of a log, from wherever, is what the log is at that size.

    Raises:
        LogError: the log is shorter, or another one.
    """
    if head.size > len(log.entries):
        raise LogError(
            f"{log} has {len(log.entries)} entries; its organisation has signed {head.size}",
            "It was cut, or replaced by an older copy.",
        )
    if not hmac.compare_digest(log.tree.root(head.size), bytes.fromhex(head.root)):
        raise LogError(
            f"{log} is not what its organisation has signed at {head.size} entries",
            "It was rewritten, or others were shown another log.",
        )


def _verify_head(log: LogFile, head: Checkpoint, spec: StudySpec) -> None:
    verify_checkpoint(spec, head)
    verify_head(log, head)
