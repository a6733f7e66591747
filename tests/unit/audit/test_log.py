"""Logs on disk: what is written is read, and no change of a file goes unnoticed."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import resource
import shutil
import signal
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from mpcseg.audit.checkpoint import sign_checkpoint
from mpcseg.audit.log import AuditLog
from mpcseg.audit.log_file import FIRST_CHAIN, SCHEMA, chained, read_log
from mpcseg.audit.merkle import leaf_hash
from mpcseg.audit.records import Received, Refused, RoundOpened, Sent
from mpcseg.errors import (
    AuditError,
    ConfigError,
    EvidenceError,
    LogError,
    SignatureError,
    StorageError,
)
from mpcseg.study.spec import StudySpec
from tests.organisations import identity, study_spec

SPEC = study_spec()


def sent(number: int) -> Sent:
    return Sent(
        blob=f"feature-{number:05d}-000", kind="feature", n_bytes=100 + number,
        sha256=f"{number:064x}", level=9, peer="hub", peer_role="compute",
    )  # fmt: skip


def written(folder: Path, n_entries: int = 12, spec: StudySpec = SPEC) -> Path:
    with AuditLog(folder, spec, identity("alder"), "party") as log:
        for number in range(n_entries):
            log.append(sent(number))
            if number == n_entries // 2:
                log.checkpoint()
    return log.path


def test_what_is_written_is_read(tmp_path: Path) -> None:
    found = read_log(written(tmp_path / "log"), SPEC)
    assert (found.organisation, found.role) == ("alder", "party")
    assert [entry.record for entry in found.entries] == [sent(number) for number in range(12)]
    assert [head.size for head in found.heads] == [7, 12]
    assert {entry.study for entry in found.entries} == {SPEC.digest}
    assert stat.S_IMODE(found.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(found.path.parent.stat().st_mode) == 0o700


def test_equal_records_have_different_leaves(tmp_path: Path) -> None:
    """Who has the hash of an entry cannot find out by trying what the entry says."""
    with AuditLog(tmp_path, SPEC, identity("alder"), "party") as log:
        log.append(sent(0), sent(0))
        log.append(sent(0))
    salts = [entry.salt for entry in read_log(log.path, SPEC).entries]
    assert len(set(salts)) == 3


def test_a_log_goes_on_where_it_was(tmp_path: Path) -> None:
    written(tmp_path)
    with AuditLog(tmp_path, SPEC, identity("alder"), "party") as log:
        assert len(log) == 12
        log.append(RoundOpened(round=0, kind="admission"), RoundOpened(round=1, kind="moments"))
    found = read_log(log.path, SPEC)
    assert len(found.entries) == 14
    assert [head.size for head in found.heads] == [7, 12, 14]


def test_several_records_are_written_together_or_not_at_all(tmp_path: Path) -> None:
    with AuditLog(tmp_path, SPEC, identity("alder"), "party") as log:
        log.append(sent(0))
        with closing(sqlite3.connect(log.path)) as other:
            other.execute("BEGIN EXCLUSIVE")
            log._database.execute("PRAGMA busy_timeout = 10")
            with pytest.raises(StorageError, match="cannot be written"):
                log.append(sent(1), sent(2))
        assert len(log) == 1
        log.append(sent(1), sent(2))
    assert len(read_log(log.path, SPEC).entries) == 3


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with (
        AuditLog(tmp_path, SPEC, identity("alder"), "party"),
        pytest.raises(ConfigError, match="another process"),
    ):
        AuditLog(tmp_path, SPEC, identity("alder"), "party")


def _append_for_ever(folder: Path) -> None:
    log = AuditLog(folder, SPEC, identity("alder"), "party")
    for number in range(1_000_000):
        log.append(sent(number))


def test_a_killed_process_leaves_a_whole_log(tmp_path: Path) -> None:
    identity("alder")  # made here, that the child has the same
    context = multiprocessing.get_context("fork")
    for _ in range(3):
        process = context.Process(target=_append_for_ever, args=(tmp_path,))
        process.start()
        process.join(0.3)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    path = next(tmp_path.glob("audit-*.sqlite"))
    with AuditLog(tmp_path, SPEC, identity("alder"), "party") as log:
        assert len(log) > 10
    assert len(read_log(path, SPEC).entries) == len(log)


def _append_until_the_disk_is_full(folder: Path, n_bytes: int, told: Connection) -> None:
    log = AuditLog(folder, SPEC, identity("alder"), "party")
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))
    try:
        for number in range(10_000):
            log.append(sent(number))
    except StorageError as error:
        told.send((len(log), error.message))
    with contextlib.suppress(StorageError):
        log.close()


def test_a_full_disk_is_said_and_leaves_a_whole_log(tmp_path: Path) -> None:
    """The operating system refuses to make files longer, as it does on a full disk."""
    identity("alder")
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    for n_bytes in (45_000, 70_000):
        process = context.Process(
            target=_append_until_the_disk_is_full, args=(tmp_path, n_bytes, theirs)
        )
        process.start()
        assert ours.poll(60)
        number, message = ours.recv()
        process.join(60)
        assert process.exitcode == 0
        assert "cannot be written" in message
        # What was written stands there; what was not has left nothing; and it goes on later.
        path = next(tmp_path.glob("audit-*.sqlite"))
        assert len(read_log(path, SPEC).entries) == number > 20


def test_a_log_that_cannot_be_signed_is_let_go_all_the_same(tmp_path: Path) -> None:
    log = AuditLog(tmp_path, SPEC, identity("alder"), "party")
    log.append(sent(0))
    log._database.execute("PRAGMA query_only = ON")  # as on a disk that has become read-only
    with pytest.raises(StorageError, match="cannot be written"):
        log.close()
    with AuditLog(tmp_path, SPEC, identity("alder"), "party") as again:
        assert len(again) == 1


def statement(sql: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with closing(sqlite3.connect(path)) as database, database:
            for name in ("no_update", "no_delete"):
                database.execute(f"DROP TRIGGER {name}")
            database.execute(sql)
            for name in ("no_update", "no_delete"):
                database.execute(SCHEMA[name])

    return change


def with_table(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE VIEW more AS SELECT 1")


def with_own_head(path: Path) -> None:
    """A head of another identity that calls itself alder."""
    other = identity("alder", 1)
    head = sign_checkpoint(other, "party", SPEC.digest, 5, bytes(32))
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(
            "INSERT INTO heads VALUES (?, ?, ?, ?)",
            (head.size, head.root, head.time, head.signature),
        )


def with_a_gap_and_a_chain_that_fits(path: Path) -> None:
    """As its own node could write it, and without the heads that would tell."""
    with closing(sqlite3.connect(path)) as database, database:
        for name in ("no_update", "no_delete"):
            database.execute(f"DROP TRIGGER {name}")
        database.execute("DELETE FROM heads")
        database.execute("DELETE FROM entries WHERE number = 5")
        chain = FIRST_CHAIN
        for number, entry in database.execute(
            "SELECT number, entry FROM entries ORDER BY number"
        ).fetchall():
            chain = chained(chain, leaf_hash(entry))
            database.execute("UPDATE entries SET chain = ? WHERE number = ?", (chain, number))
        for name in ("no_update", "no_delete"):
            database.execute(SCHEMA[name])


def _overwrite(path: Path, content: bytes) -> None:
    path.write_bytes(content)


CHANGES: dict[str, Callable[[Path], None]] = {
    "an entry is changed": statement(
        "UPDATE entries SET entry = replace(entry, '105', '106') WHERE number = 5"
    ),
    "an entry is cut out": statement("DELETE FROM entries WHERE number = 5"),
    "an entry is missing and the chain is made anew": with_a_gap_and_a_chain_that_fits,
    "the last entry is cut off": statement("DELETE FROM entries WHERE number = 11"),
    "the first entry is cut off": statement("DELETE FROM entries WHERE number = 0"),
    "entries are swapped": statement(
        "UPDATE entries SET entry = (SELECT entry FROM entries AS o WHERE o.number = 4) "
        "WHERE number = 5"
    ),
    "the chain is changed": statement("UPDATE entries SET chain = zeroblob(32) WHERE number = 3"),
    "a chain of another length": statement(
        "UPDATE entries SET chain = chain || x'00' WHERE number = 3"
    ),
    "an entry that is text": statement("UPDATE entries SET entry = 'text' WHERE number = 3"),
    "an entry that is endless": statement(
        "UPDATE entries SET entry = zeroblob(100000000) WHERE number = 3"
    ),
    "a head of another root": statement("UPDATE heads SET root = hex(zeroblob(32)) WHERE size = 7"),
    "a head of another size": statement("UPDATE heads SET size = 8 WHERE size = 7"),
    "a head without signature": statement("UPDATE heads SET signature = zeroblob(64)"),
    "a head that is no head": statement("UPDATE heads SET signature = zeroblob(3)"),
    "a head by somebody else": with_own_head,
    "the owner is changed": statement("UPDATE log SET organisation = 'birch'"),
    "an owner who is not in the study": statement("UPDATE log SET organisation = 'oak'"),
    "a role that it has not": statement("UPDATE log SET role = 'key'"),
    "a role that there is not": statement("UPDATE log SET role = 'auditor'"),
    "another study": statement("UPDATE log SET study = hex(zeroblob(32))"),
    "an owner that is no text": statement("UPDATE log SET organisation = CAST(x'80' AS TEXT)"),
    "two owners": statement("INSERT INTO log SELECT * FROM log"),
    "more tables": with_table,
    "the end is missing": lambda path: os.truncate(path, path.stat().st_size // 2),
    "it is empty": lambda path: os.truncate(path, 0),
    "it is something else": lambda path: (
        path.write_bytes(b"SQLite format 3\0" + bytes(5000)) and None
    ),
    "it is not there": lambda path: path.unlink(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_log_is_refused(change: str, tmp_path: Path) -> None:
    path = written(tmp_path)
    read_log(path, SPEC)
    CHANGES[change](path)
    with pytest.raises((AuditError, SignatureError)) as caught:
        read_log(path, SPEC)
    assert caught.value.message.isprintable()


def test_a_node_does_not_go_on_with_a_changed_log(tmp_path: Path) -> None:
    CHANGES["an entry is changed"](written(tmp_path))
    with pytest.raises(LogError):
        AuditLog(tmp_path, SPEC, identity("alder"), "party")


def test_every_flipped_byte_of_an_entry_is_noticed(tmp_path: Path) -> None:
    path = written(tmp_path, 3)
    content = path.read_bytes()
    at = content.index(b'{"number":1,')
    end = content.index(SPEC.digest.encode(), at) + 64
    assert end - at > 300
    for place in range(at, end, 7):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(AuditError):
            read_log(path, SPEC)


def test_a_log_of_another_study_is_told_from_a_damaged_one(tmp_path: Path) -> None:
    other = study_spec(name="other")
    path = written(tmp_path, 3, other)
    with pytest.raises(EvidenceError, match="another study"):
        read_log(path, SPEC)


# --- checkpoints of others -------------------------------------------------------------------


def two_logs(folder: Path) -> tuple[AuditLog, AuditLog]:
    hub = AuditLog(folder / "hub", SPEC, identity("hub"), "compute")
    alder = AuditLog(folder / "alder", SPEC, identity("alder"), "party")
    return hub, alder


def give(source: AuditLog, target: AuditLog, name: str = "alder") -> None:
    checkpoint = source.checkpoint()
    proof = source.consistency_proof(target.known_size(name, "party"), checkpoint.size)
    target.take(checkpoint, proof)


def test_a_checkpoint_is_taken_and_stands_in_the_others_log(tmp_path: Path) -> None:
    hub, alder = two_logs(tmp_path)
    with hub, alder:
        for number in range(5):
            alder.append(sent(number))
            give(alder, hub)
            give(alder, hub)  # again changes nothing
        assert hub.known_size("alder", "party") == 5
    assert len(read_log(hub.path, SPEC).entries) == 5


def test_a_log_that_was_rolled_back_is_refused(tmp_path: Path) -> None:
    hub, alder = two_logs(tmp_path)
    with hub:
        with alder:
            alder.append(*map(sent, range(6)))
        kept = alder.path.read_bytes()
        with AuditLog(tmp_path / "alder", SPEC, identity("alder"), "party") as alder:
            alder.append(*map(sent, range(6, 9)))
            give(alder, hub)
        alder.path.write_bytes(kept)
        with AuditLog(tmp_path / "alder", SPEC, identity("alder"), "party") as alder:
            # It cannot even make the proof; and whatever it shows instead is refused.
            with pytest.raises(LogError, match="6 entries"):
                alder.consistency_proof(hub.known_size("alder", "party"), len(alder))
            with pytest.raises(LogError, match="had 9 before"):
                hub.take(alder.checkpoint(), [])
            alder.append(*map(sent, range(20, 25)))  # past the size that was signed
            with pytest.raises(LogError, match="does not go on"):
                give(alder, hub)
    assert hub.path.exists()


def test_checkpoints_of_strangers_and_for_other_studies_are_refused(tmp_path: Path) -> None:
    hub, alder = two_logs(tmp_path)
    with hub, alder:
        alder.append(sent(0))
        good = alder.checkpoint()
        root = bytes.fromhex(good.root)
        for refused in (
            sign_checkpoint(identity("alder", 1), "party", SPEC.digest, 1, root),
            sign_checkpoint(identity("alder"), "party", "0" * 64, 1, root),
            sign_checkpoint(identity("birch"), "party", SPEC.digest, 1, root).model_copy(
                update={"organisation": "alder"}
            ),
            good.model_copy(update={"size": 2}),
            good.model_copy(update={"root": "0" * 64}),
            good.model_copy(update={"time": "2001-01-01T00:00:00Z"}),
            good.model_copy(update={"role": "recipient"}),
        ):
            with pytest.raises(SignatureError):
                hub.take(refused, [])
        for stranger in ("key", "compute"):
            with pytest.raises(LogError, match="no"):
                hub.take(
                    sign_checkpoint(identity("alder"), stranger, SPEC.digest, 1, root),
                    [],  # type: ignore[arg-type]
                )
        assert len(hub) == 0


def test_a_record_with_more_than_its_fields_or_other_forms_is_refused() -> None:
    good = {"blob": "release-0001-00000", "kind": "release", "n_bytes": 1, "sha256": "0" * 64}
    Received.model_validate({**good, "peer": "hub", "peer_role": "compute"})
    for wrong in (
        {"value": 1.5},
        {"blob": "a b"},
        {"sha256": "0" * 63},
        {"n_bytes": -1},
        {"n_bytes": 1.5},
        {"level": "high"},
    ):
        with pytest.raises(ValueError, match="validation error"):
            Received.model_validate({**good, "peer": "hub", "peer_role": "compute", **wrong})
    with pytest.raises(ValueError, match="validation error"):
        Refused(peer="hub", call="Join", code="x" * 65)


def test_a_log_can_be_copied_after_its_node_has_ended(tmp_path: Path) -> None:
    path = written(tmp_path / "one")
    copy = tmp_path / "copy.sqlite"
    shutil.copy(path, copy)
    assert read_log(copy, SPEC).entries == read_log(path, SPEC).entries
