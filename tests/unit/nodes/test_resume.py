"""A state rebuilt from a log is the state that the study had when the log was as long."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mpcseg.audit.log_file import read_log
from mpcseg.audit.records import (
    Began,
    EndDecided,
    Entry,
    Received,
    Record,
    Released,
    RoundEvaluated,
    RoundOpened,
    RoundSpent,
    StartedAnew,
    StudyEnded,
)
from mpcseg.cli.app import app
from mpcseg.errors import LogError, StorageError
from mpcseg.nodes.blob_store import BlobStore, StudyFiles
from mpcseg.nodes.membership import Membership
from mpcseg.nodes.planning import study_plan
from mpcseg.nodes.resume import (
    Resumed,
    Run,
    end_record,
    ending_of,
    rebuild,
    restore_ledger,
    run_to_resume,
)
from mpcseg.nodes.roles import MAX_BLOCKS, Caller, Role
from mpcseg.nodes.storage_check import flaws, holds
from mpcseg.nodes.study_course import Ending, Phase
from mpcseg.nodes.study_rules import study_rules
from mpcseg.nodes.study_state import StudyState
from mpcseg.privacy.ledger import Ledger
from mpcseg.study.closing import SignedRequest
from mpcseg.wire.names import BlobHeader
from tests.finished import FinishedStudy, finished_study, snapshot


@pytest.fixture(scope="module")
def study() -> FinishedStudy:
    return finished_study()


@pytest.fixture(scope="module")
def entries(study: FinishedStudy) -> tuple[Entry, ...]:
    return read_log(next((study.left / "storage").glob("audit-*.sqlite")), study.spec).entries


def new_state(study: FinishedStudy) -> tuple[StudyState, Ledger]:
    plan = study_plan(study.spec)
    ledger = Ledger(plan.noise, study.spec.digest)
    membership = Membership(patience=1.0, arrival=1.0)
    return StudyState(study_rules(study.spec, plan, MAX_BLOCKS), membership, ledger), ledger


def resumed(
    study: FinishedStudy,
    entries: tuple[Entry, ...],
    is_there: Callable[[Caller, BlobHeader], bool] = lambda *_: True,
) -> tuple[StudyState, Resumed]:
    state, ledger = new_state(study)
    restore_ledger(ledger, entries)
    run = run_to_resume(entries)
    return state, rebuild(state, run or Run(0, entries), is_there)


def test_the_state_of_every_prefix_of_a_log_is_the_one_that_the_study_had(
    study: FinishedStudy, entries: tuple[Entry, ...]
) -> None:
    """The live state was looked at after each of its operations and each entry."""
    assert len(study.snapshots) > 60
    seen = 0
    for length in range(1, len(entries)):
        lived = [one for size, one in study.snapshots if size == length]
        # Several entries are written at once: the log never had this length.
        if lived:
            state, _ = resumed(study, entries[:length])
            assert snapshot(state) in lived, (length, entries[length - 1].record)
            seen += 1
    assert seen > 50
    final, _ = resumed(study, entries[:-2])
    assert final.phase is Phase.OVER
    assert final.key_destroyed is not None


def renumbered(records: list[Record], study: FinishedStudy) -> tuple[Entry, ...]:
    return tuple(
        Entry(number=i, study=study.spec.digest, time="2026-01-01T00:00:00Z", record=record)
        for i, record in enumerate(records)
    )


def until(entries: tuple[Entry, ...], kind: type[Record], nth: int = 1) -> list[Record]:
    """All records up to the nth of a kind, with it."""
    records, n = [], 0
    for entry in entries:
        records.append(entry.record)
        n += isinstance(entry.record, kind)
        if n == nth:
            break
    return records


def test_which_run_is_gone_on_with(study: FinishedStudy, entries: tuple[Entry, ...]) -> None:
    assert run_to_resume(()) is None
    assert run_to_resume(entries) is None  # it has ended
    unfinished = entries[:-1]
    run = run_to_resume(unfinished)
    assert run is not None
    assert (run.number, run.end_decided) == (0, True)
    began = entries[0].record
    assert isinstance(began, Began)
    again = [e.record for e in entries] + [began, began.model_copy(update={"resumes": True})]
    run = run_to_resume(renumbered(again, study))
    assert run is not None
    assert (run.number, len(run.entries)) == (len(entries), 2)
    assert StudyEnded in {type(e.record) for e in entries}


def test_a_blob_that_is_not_there_is_asked_for_again_if_nothing_rests_on_it(
    study: FinishedStudy, entries: tuple[Entry, ...]
) -> None:
    some = renumbered(until(entries, Received, 5), study)
    whole, _ = resumed(study, some)
    (caller, lost), *_ = [(c, h) for c, h in whole.held() if c.role is Role.PARTY]
    state, found = resumed(study, some, lambda _, header: header != lost)
    assert found.lost == [(caller, lost)]
    assert lost not in state.blobs_of(caller)
    # It comes once more, encrypted afresh; and then the log has both.
    other = dataclasses.replace(lost, sha256=bytes(32))
    assert state.enter(caller, other)
    came = next(
        e.record
        for e in some
        if isinstance(e.record, Received)
        and e.record.blob == str(lost.name)
        and e.record.peer == caller.name
    )
    twice = [*(e.record for e in some), came.model_copy(update={"sha256": "00" * 32})]
    state, _ = resumed(study, renumbered(twice, study))
    assert other in state.blobs_of(caller)
    assert lost not in state.blobs_of(caller)


def test_what_a_party_that_began_anew_had_sent_does_not_come_back(
    study: FinishedStudy, entries: tuple[Entry, ...]
) -> None:
    some = until(entries, Received, 5)
    caller = next(
        c for c, _ in resumed(study, renumbered(some, study))[0].held() if c.role is Role.PARTY
    )
    anew = StartedAnew(peer=caller.name, peer_role="party")
    state, found = resumed(study, renumbered([*some, anew], study))
    assert state.blobs_of(caller) == []
    assert found.lost == []


def test_a_log_that_does_not_follow_is_refused(
    study: FinishedStudy, entries: tuple[Entry, ...]
) -> None:
    records = [entry.record for entry in entries]
    opened = next(i for i, r in enumerate(records) if isinstance(r, RoundOpened))
    for wrong in (
        [*records[:1], *records[opened:]],
        [r for r in records if not isinstance(r, RoundEvaluated)],
        [r for r in records if not (isinstance(r, Received) and r.blob.startswith("presence"))],
    ):
        with pytest.raises(LogError, match="does not follow"):
            rebuild(new_state_with_ledger(study), Run(0, renumbered(wrong, study)), lambda *_: True)


def new_state_with_ledger(study: FinishedStudy) -> StudyState:
    return new_state(study)[0]


def test_a_ledger_from_a_back_up_learns_what_the_log_has_paid(
    study: FinishedStudy, entries: tuple[Entry, ...]
) -> None:
    plan = study_plan(study.spec)
    whole = Ledger.load(
        next((study.left / "storage").glob("ledger-*.json")), plan.noise, study.spec.digest
    )
    assert not restore_ledger(whole, entries)
    for known in range(len(whole.entries)):
        old = Ledger(plan.noise, study.spec.digest, whole.entries[:known])
        assert restore_ledger(old, entries)
        assert old.spent_rho == pytest.approx(whole.spent_rho)
        assert not restore_ledger(old, entries)
    unopened = [e.record for e in entries if not isinstance(e.record, RoundOpened)]
    with pytest.raises(LogError, match="never opened"):
        restore_ledger(Ledger(plan.noise, study.spec.digest), renumbered(unopened, study))
    assert any(isinstance(e.record, RoundSpent) for e in entries)


@pytest.mark.parametrize(
    "ending",
    [
        Ending("aborted", error="node_vanished"),
        Ending("retention"),
        Ending("closed", SignedRequest("alder", "close", "2026-01-01T00:00:00Z", b"s" * 64)),
        Ending("withdrawn", SignedRequest("birch", "withdraw", "2026-01-01T00:00:00Z", b"s" * 64)),
    ],
)
def test_an_end_on_record_is_the_end_of_the_state(study: FinishedStudy, ending: Ending) -> None:
    record = end_record(ending)
    entry = renumbered([record], study)[0]
    assert Entry.model_validate_json(entry.canonical()).record == record
    assert ending_of(record) == ending
    state, _ = resumed(study, (entry,))
    assert (state.phase, state.ending) == (Phase.OVER, ending)
    assert state.error is not None
    assert isinstance(record, EndDecided)


# --- files ---------------------------------------------------------------------------------


@pytest.fixture
def copy(study: FinishedStudy, tmp_path: Path) -> Path:
    import shutil  # noqa: PLC0415

    return Path(shutil.copytree(study.storage, tmp_path / "storage"))


def found_flaws(study: FinishedStudy, entries: tuple[Entry, ...], storage: Path) -> list[Any]:
    served = tuple(e for e in entries if not isinstance(e.record, EndDecided))[:-2]
    files = StudyFiles(storage)
    state, found = resumed(study, served, holds(files))
    assert found.lost == []
    return list(flaws(files, state, found))


def test_a_whole_storage_folder_has_no_flaw(
    study: FinishedStudy, entries: tuple[Entry, ...], copy: Path
) -> None:
    assert found_flaws(study, entries, copy) == []


def test_every_file_that_is_lost_or_changed_is_named(
    study: FinishedStudy, entries: tuple[Entry, ...], copy: Path
) -> None:
    """All but scratch; none is removed or mended."""
    paths = [p for p in sorted((copy / "study").rglob("*")) if p.is_file()]
    assert len(paths) > 60
    assert sum(isinstance(e.record, Released) for e in entries) < len(paths)
    for number, path in enumerate(paths[::5]):
        content = path.read_bytes()
        if number % 2:
            path.unlink()
        else:
            path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        flaw, *others = found_flaws(study, entries, copy)
        assert (flaw.path, others) == (path, [])
        assert flaw.what == ("is missing" if number % 2 else "was changed")
        error = flaw.error()
        assert isinstance(error, StorageError)
        assert not error.ends_study
        path.write_bytes(content)


def test_going_on_removes_what_was_cut_off_and_nothing_else(
    study: FinishedStudy, copy: Path
) -> None:
    before = {p for p in copy.rglob("*") if p.is_file() and p.parent != copy}
    part = copy / "study" / "party-alder" / ".feature-00000-000.abc.part"
    part.write_bytes(b"half")
    store = BlobStore(copy, [Caller("alder", Role.PARTY)])
    try:
        store.go_on()
        assert {p for p in copy.rglob("*") if p.is_file() and p.parent != copy} == before
    finally:
        store.close()
    assert study.storage != copy


def test_the_operator_is_told_what_is_wrong_with_a_folder(study: FinishedStudy, copy: Path) -> None:
    def check() -> Any:
        return CliRunner().invoke(app, ["storage", "check", str(study.agreement), str(copy)])

    whole = check()
    assert whole.exit_code == 0, whole.output
    assert "the study is finished; 4 rounds are done" in whole.output
    assert "0 were not complete" in whole.output
    gone = copy / "study" / "releases" / "release-0002-00001"
    gone.unlink()
    damaged = check()
    assert isinstance(damaged.exception, StorageError)
    assert "is missing" in damaged.output
    assert gone.name in damaged.output
    assert not gone.exists()
