"""One entry of a log, proven to somebody who has not the log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mpcseg.audit.log import AuditLog
from mpcseg.audit.log_file import LogFile, read_log
from mpcseg.cli.app import app
from mpcseg.errors import EvidenceError, LogError, MpcsegError, SignatureError
from mpcseg.verification.proof import prove_entry, verify_entry
from tests.organisations import identity, study_spec, write_study
from tests.unit.audit.test_log import SPEC, sent


@pytest.fixture
def log(tmp_path: Path) -> LogFile:
    with AuditLog(tmp_path, SPEC, identity("alder"), "party") as written:
        written.append(*map(sent, range(11)))
    return read_log(written.path, SPEC)


def test_each_entry_can_be_proven_alone(log: LogFile) -> None:
    for number in range(11):
        content = prove_entry(log, number)
        proven = verify_entry(SPEC, content)
        assert proven.entry.record == sent(number)
        assert (proven.checkpoint.organisation, proven.checkpoint.size) == ("alder", 11)
        # Nothing of another entry but hashes.
        assert content.count(b"feature-") == 1


def test_entries_that_are_not_there_or_not_signed_are_not_proven(log: LogFile) -> None:
    for number in (-1, 11, 1000):
        with pytest.raises(EvidenceError, match="no entry"):
            prove_entry(log, number)


def changed(content: bytes, *path: str | int, value: object) -> bytes:
    document = json.loads(content)
    place = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return json.dumps(document).encode()


CHANGES: dict[str, tuple[tuple[str | int, ...], object, type[MpcsegError]]] = {
    "another digest": (("entry", "record", "sha256"), "ab" * 32, LogError),
    "another number": (("entry", "number"), 4, LogError),
    "another time": (("entry", "time"), "2001-01-01T00:00:00Z", LogError),
    "another study": (("entry", "study"), "ab" * 32, EvidenceError),
    "another path": (("path", 0), "ab" * 32, LogError),
    "no path": (("path",), [], LogError),
    "an endless path": (("path",), ["ab" * 32] * 65, EvidenceError),
    "another root": (("checkpoint", "root"), "ab" * 32, SignatureError),
    "another size": (("checkpoint", "size"), 12, SignatureError),
    "another owner": (("checkpoint", "organisation"), "birch", SignatureError),
    "an owner who is not in the study": (("checkpoint", "organisation"), "oak", LogError),
    "a field more": (("value",), 1.5, EvidenceError),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_proof_is_refused(log: LogFile, change: str) -> None:
    path, value, error = CHANGES[change]
    with pytest.raises(error):
        verify_entry(SPEC, changed(prove_entry(log, 5), *path, value=value))


def test_what_is_no_proof_is_refused(log: LogFile) -> None:
    for content in (b"", b"{}", b"[" * 5000, b"\xff", b"null"):
        with pytest.raises(EvidenceError, match="not the proof"):
            verify_entry(SPEC, content)
    with pytest.raises(EvidenceError, match="another study"):
        verify_entry(study_spec(name="other"), prove_entry(log, 1))


def test_the_command_shows_proves_and_checks(log: LogFile, tmp_path: Path) -> None:
    study = str(write_study(tmp_path / "trial.agreement", SPEC))
    run = CliRunner().invoke
    shown = run(app, ["audit", "show", study, str(log.path)])
    assert "feature-00003-000" in shown.output
    assert "The first 11 are under the signature of alder." in shown.output
    proof = str(tmp_path / "proof.json")
    made = run(app, ["audit", "show", study, str(log.path), "--entry", "3", "--output", proof])
    assert made.exit_code == 0, made.output
    checked = run(app, ["audit", "show", study, "--proof", proof])
    assert checked.output.startswith("Entry 3 of the log of the party node alder")
    for wrong in (["--entry", "3"], []):
        arguments = [str(log.path)] if wrong else []
        assert isinstance(
            run(app, ["audit", "show", study, *arguments, *wrong]).exception, MpcsegError
        )
