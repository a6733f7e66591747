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
from mpcseg.ckks.secret import SecretKey
from mpcseg.errors import NodeVanishedError, StudyClosedError
from mpcseg.nodes import key
from mpcseg.nodes.planning import StudyPlan, study_plan
from mpcseg.nodes.progress import SilentProgress
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


def held(session: Session) -> Any:
    return key._secret_key(SPEC, OWN, cast("StudySession", session), SilentProgress())


def assert_destroyed(secret_key: SecretKey) -> None:
    for use in (secret_key.public_key, secret_key.relinearisation_keys):
        with pytest.raises(StudyClosedError):
            use()


@pytest.mark.parametrize(
    "ending", [NodeVanishedError("gone"), ValueError("inside"), KeyboardInterrupt(), SystemExit(1)]
)
def test_it_is_destroyed_and_said_to_be(session: Session, ending: BaseException) -> None:
    with pytest.raises(type(ending)), held(session) as secret_key:
        raise ending
    assert_destroyed(secret_key)
    (statement,) = session.client.heard
    verify_key_destroyed(SPEC, statement)
    assert statement.decrypted_values == 0
    (entry,) = read_log(session.client.log.path, SPEC).entries
    assert entry.record == SecretKeyDestroyed(**vars(statement))


def test_at_the_regular_end_the_statement_is_made_after_it_is_gone(session: Session) -> None:
    with held(session) as secret_key:
        assert secret_key.public_key()
    assert_destroyed(secret_key)
    assert session.client.heard == []  # it travels with Finish
    verify_key_destroyed(SPEC, key._statement(SPEC, OWN, cast("StudySession", session), secret_key))


def test_keys_that_are_made_in_vain_are_destroyed_too(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[SecretKey] = []

    class Watched(SecretKey):
        def __init__(self, parameters: ParameterSet) -> None:
            super().__init__(parameters)
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
        def __init__(self, parameters: ParameterSet) -> None:
            super().__init__(parameters)
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
