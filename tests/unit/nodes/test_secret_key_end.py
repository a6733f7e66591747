"""The secret key ends with the study, whatever ends the study."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from mpcseg.audit.log import AuditLog
from mpcseg.audit.log_file import read_log
from mpcseg.audit.records import SecretKeyDestroyed
from mpcseg.ckks.parameters import ParameterSet
from mpcseg.ckks.secret import SecretKey, Words
from mpcseg.errors import (
    NodeVanishedError,
    StorageError,
    StudyAbortedError,
    StudyClosedError,
    SuspendedError,
)
from mpcseg.nodes import key
from mpcseg.nodes.client import ComputeClient
from mpcseg.nodes.key_end import statement
from mpcseg.nodes.key_history import KeyRun, Start
from mpcseg.nodes.planning import StudyPlan, study_plan
from mpcseg.nodes.progress import SilentProgress
from mpcseg.nodes.recovery import RECOVERY_FOLDER, Recovery
from mpcseg.nodes.session import StudySession
from mpcseg.study.closing import KeyDestroyed, verify_key_destroyed
from tests.organisations import identity, study_spec

SPEC = study_spec()
OWN = identity("keeper")


@dataclass
class Client:
    """A compute node that hears what the key node says last."""

    log: AuditLog
    heard: list[KeyDestroyed] = field(default_factory=list)

    def report_destroyed(self, statement: KeyDestroyed) -> None:
        self.heard.append(statement)


@dataclass
class Session:
    """As much of a session as a secret key needs."""

    client: Client
    plan: StudyPlan = field(default_factory=lambda: study_plan(SPEC))


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with AuditLog(tmp_path, SPEC, OWN, "key") as log:
        yield Session(Client(log))


def start(session: Session, *, keeps: bool = True, resumes: bool = False) -> Start:
    folder = session.client.log.path.parent / RECOVERY_FOLDER
    return Start(KeyRun(0), Recovery(folder, SPEC, OWN, 0, keeps=keeps), resumes)


def held(session: Session, *, keeps: bool = True, resumes: bool = False) -> Any:
    at = start(session, keeps=keeps, resumes=resumes)
    return key._secret_key(SPEC, OWN, cast("StudySession", session), at, SilentProgress())


def keep(session: Session, secret_key: SecretKey) -> Path:
    """Keep a key as the key node does before it uploads anything; returns the folder."""
    recovery = start(session).recovery
    with secret_key.words() as words:
        recovery.keep_key(words, b"public", b"relinearisation")
    recovery.keep_sums(0, [1.5])
    return recovery._folder


def ended_by(ending: BaseException, session: Session, *, keeps: bool) -> SecretKey:
    """A key whose block ends with an error, after it was kept."""
    made: list[SecretKey] = []

    def block() -> None:
        with held(session, keeps=keeps) as secret_key:
            made.append(secret_key)
            if keeps:
                folder = keep(session, secret_key)
                assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
                assert folder.stat().st_mode & 0o777 == 0o700
            raise ending

    with pytest.raises(type(ending)):
        block()
    return made[0]


def assert_destroyed(secret_key: SecretKey) -> None:
    for use in (secret_key.public_key, secret_key.relinearisation_keys):
        with pytest.raises(StudyClosedError):
            use()


@pytest.mark.parametrize("keeps", [True, False])
@pytest.mark.parametrize("ending", [NodeVanishedError("gone"), ValueError("in"), SystemExit(1)])
def test_it_is_destroyed_and_said_to_be(
    session: Session, ending: BaseException, keeps: bool
) -> None:
    secret_key = ended_by(ending, session, keeps=keeps)
    assert_destroyed(secret_key)
    assert not start(session).recovery._folder.exists()
    (statement,) = session.client.heard
    verify_key_destroyed(SPEC, statement)
    assert statement.decrypted_values == 0
    (entry,) = read_log(session.client.log.path, SPEC).entries
    assert entry.record == SecretKeyDestroyed(**vars(statement))


STOPS = [SuspendedError("stopped"), StorageError("the disk is full"), KeyboardInterrupt()]


@pytest.mark.parametrize("ending", STOPS)
def test_a_node_that_is_only_stopped_keeps_its_sealed_key_and_goes_on(
    session: Session, ending: BaseException
) -> None:
    secret_key = ended_by(ending, session, keeps=True)
    folder = start(session).recovery._folder
    assert_destroyed(secret_key)
    assert (session.client.heard, len(session.client.log)) == ([], 0)
    assert (folder / "secret-key.sealed").exists()
    with held(session, resumes=True) as secret_key:
        assert secret_key.public_key()
    assert_destroyed(secret_key)
    assert not list(folder.iterdir())


@pytest.mark.parametrize("ending", STOPS)
def test_a_node_that_keeps_nothing_ends_the_study_where_it_is_stopped(
    session: Session, ending: BaseException
) -> None:
    with (
        pytest.raises(StudyAbortedError, match="no recovery was kept"),
        held(session, keeps=False) as secret_key,
    ):
        raise ending
    assert_destroyed(secret_key)
    assert len(session.client.heard) == 1


def test_what_is_kept_is_overwritten_before_it_is_removed(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed: dict[str, bytes] = {}
    unlink = Path.unlink

    def look(path: Path, missing_ok: bool = False) -> None:
        removed[path.name] = path.read_bytes()
        unlink(path, missing_ok)

    with held(session) as secret_key:
        folder = keep(session, secret_key)
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        monkeypatch.setattr(Path, "unlink", look)
    assert next(iter(removed)) == "secret-key.sealed"
    assert removed.keys() == before.keys()
    for name, content in removed.items():
        assert len(content) == len(before[name])
        assert before[name][:64] not in content
        assert before[name][-64:] not in content


def test_at_the_regular_end_the_statement_is_made_after_it_is_gone(session: Session) -> None:
    with held(session) as secret_key:
        assert secret_key.public_key()
    assert_destroyed(secret_key)
    assert session.client.heard == []  # it travels with Finish
    client, run = cast("ComputeClient", session.client), KeyRun(0)
    said = statement(SPEC, OWN, client, run, secret_key.decrypted_values)
    verify_key_destroyed(SPEC, said)
    assert statement(SPEC, OWN, client, run, secret_key.decrypted_values) == said
    assert len(session.client.log) == 1


def test_keys_that_are_made_in_vain_are_destroyed_too(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[SecretKey] = []

    class Watched(SecretKey):
        def __init__(self, parameters: ParameterSet, words: Words | None = None) -> None:
            super().__init__(parameters, words)
            made.append(self)

        def public_key(self) -> bytes:
            super().public_key()
            raise MemoryError

    monkeypatch.setattr(key, "SecretKey", Watched)
    with pytest.raises(MemoryError), held(session) as secret_key:
        secret_key.public_key()
    with pytest.raises(StudyClosedError):
        made[0].relinearisation_keys()


def test_the_statement_is_made_when_the_key_is_gone_and_not_before(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[SecretKey] = []

    class Watched(SecretKey):
        def __init__(self, parameters: ParameterSet, words: Words | None = None) -> None:
            super().__init__(parameters, words)
            made.append(self)

    class Listener(Client):
        def report_destroyed(self, statement: KeyDestroyed) -> None:
            assert_destroyed(made[0])
            super().report_destroyed(statement)

    monkeypatch.setattr(key, "SecretKey", Watched)
    session.client = Listener(session.client.log)
    with pytest.raises(NodeVanishedError), held(session):
        raise NodeVanishedError("gone")
    assert len(session.client.heard) == 1
