"""The secret key ends with the study, whatever ends the study."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

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

    heard: list[KeyDestroyed] = field(default_factory=list)

    def report_destroyed(self, statement: KeyDestroyed) -> None:
        self.heard.append(statement)


@dataclass
class Session:
    """As much of a session as a secret key needs."""

    plan: StudyPlan = field(default_factory=lambda: study_plan(SPEC))
    client: Client = field(default_factory=Client)


def held(session: Session) -> Any:
    return key._secret_key(SPEC, OWN, cast("StudySession", session), SilentProgress())


def assert_destroyed(secret_key: SecretKey) -> None:
    for use in (secret_key.public_key, secret_key.relinearisation_keys):
        with pytest.raises(StudyClosedError):
            use()


@pytest.mark.parametrize(
    "ending", [NodeVanishedError("gone"), ValueError("inside"), KeyboardInterrupt(), SystemExit(1)]
)
def test_it_is_destroyed_and_said_to_be(ending: BaseException) -> None:
    session = Session()
    with pytest.raises(type(ending)), held(session) as secret_key:
        raise ending
    assert_destroyed(secret_key)
    (statement,) = session.client.heard
    verify_key_destroyed(SPEC, statement)
    assert statement.decrypted_values == 0


def test_at_the_regular_end_the_statement_is_made_after_it_is_gone() -> None:
    session = Session()
    with held(session) as secret_key:
        assert secret_key.public_key()
    assert_destroyed(secret_key)
    assert session.client.heard == []  # it travels with Finish
    verify_key_destroyed(SPEC, key._statement(SPEC, OWN, secret_key))


def test_keys_that_are_made_in_vain_are_destroyed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[SecretKey] = []

    class Watched(SecretKey):
        def __init__(self, parameters: ParameterSet) -> None:
            super().__init__(parameters)
            made.append(self)

        def public_key(self) -> bytes:
            super().public_key()
            raise MemoryError

    monkeypatch.setattr(key, "SecretKey", Watched)
    session = Session()
    with pytest.raises(MemoryError), held(session) as secret_key:
        secret_key.public_key()
    with pytest.raises(StudyClosedError):
        made[0].relinearisation_keys()


def test_the_statement_is_made_when_the_key_is_gone_and_not_before(
    monkeypatch: pytest.MonkeyPatch,
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
    session = Session(client=Listener())
    with pytest.raises(NodeVanishedError), held(session):
        raise NodeVanishedError("gone")
    assert len(session.client.heard) == 1
