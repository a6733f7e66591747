"""How a study ends: who is told, what is remembered for the closing record, and when by itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mpcseg.errors import (
    AdmissionError,
    DuplicateNodeError,
    ProtocolError,
    StudyAbortedError,
    StudyClosedError,
)
from mpcseg.nodes.roles import Caller, Role
from mpcseg.nodes.study_course import Ending, Phase
from mpcseg.wire import events
from tests.unit.nodes.study import (
    DESTROYED,
    KEY,
    RULES,
    A,
    B,
    Study,
    asked,
    collected,
    computed,
    finished,
    header,
    result,
)


def test_the_end_of_a_finished_study_is_no_error_and_no_event() -> None:
    study = Study()
    finished(study)
    assert study.state.events[-1] == events.ResultsReady()
    told = len(study.state.events)
    study.state.close(asked("hub"))
    assert study.state.ending == Ending("closed", asked("hub"))
    assert study.state.error is None
    assert len(study.state.events) == told
    assert study.state.key_destroyed == DESTROYED


def test_a_party_that_withdraws_is_named_to_everybody() -> None:
    study = Study()
    collected(study)
    study.state.withdraw(asked("b", "withdraw"))
    (aborted,) = [one for one in study.state.events if isinstance(one, events.StudyAborted)]
    assert "party node b has withdrawn" in aborted.error.message
    assert study.state.ending == Ending("withdrawn", asked("b", "withdraw"))


def test_an_abort_is_remembered_by_what_was_behind_it() -> None:
    study = Study()
    collected(study)
    study.state.abort_by(KEY, AdmissionError("the records of party b break the rule 'bounds'"))
    assert study.state.ending == Ending("aborted", error="admission")
    assert isinstance(study.state.error, StudyAbortedError)
    study = Study()
    collected(study)
    study.lose(KEY)
    study.wait(31)
    assert study.state.ending == Ending("aborted", error="node_vanished")


def test_retention_ends_what_is_finished() -> None:
    study = Study()
    finished(study)
    study.wait(0)
    study.wait(1000)
    assert study.state.phase is Phase.RESULTS
    study.wait(1)
    assert study.state.phase is Phase.OVER
    assert study.state.ending == Ending("retention")
    assert study.state.error is None


def test_retention_ends_a_study_whose_key_node_does_not_come_to_an_end() -> None:
    study = Study()
    computed(study)
    study.wait(0)
    study.wait(1001)
    assert study.state.ending == Ending("retention")
    assert isinstance(study.state.error, StudyClosedError)
    assert isinstance(study.state.events[-1], events.StudyAborted)


def test_retention_does_not_run_before_the_last_round() -> None:
    study = Study(rules=replace(RULES, retention=1.0))
    collected(study)
    study.wait(0)
    study.wait(20)
    assert study.state.phase is Phase.ROUNDS


def test_nodes_may_go_home_when_the_results_are_there() -> None:
    study = Study(rules=replace(RULES, retention=10_000.0))
    finished(study)
    for caller in (KEY, A, B):
        study.lose(caller)
    study.wait(500)
    assert study.state.phase is Phase.RESULTS
    assert isinstance(study.state.events[-1], events.ResultsReady)


def test_only_a_key_node_with_published_keys_is_waited_for() -> None:
    study = Study()
    study.enter(KEY)
    assert not study.state.awaits_destruction
    study = Study()
    collected(study)
    assert study.state.awaits_destruction
    study.state.report_destroyed(KEY, DESTROYED)
    assert not study.state.awaits_destruction
    study.state.report_destroyed(KEY, replace(DESTROYED, decrypted_values=99))
    assert study.state.key_destroyed == DESTROYED


def test_other_results_than_the_first_are_refused() -> None:
    study = Study()
    computed(study)
    study.results()
    with pytest.raises(ProtocolError, match="other content"):
        study.upload(KEY, header(result(0), b"other"))


@pytest.fixture
def two() -> tuple[Study, Caller, Caller]:
    """Two organisations: the keeper has the key node and a party node, the hub a party node."""
    keeper, hub = Caller("keeper", Role.PARTY), Caller("hub", Role.PARTY)
    rules = replace(RULES, parties=(keeper, hub), recipients=("hub", "keeper"))
    return Study(rules=rules), keeper, hub


def test_an_organisation_with_two_roles_has_a_session_for_each(
    two: tuple[Study, Caller, Caller],
) -> None:
    study, keeper, hub = two
    for caller in (KEY, keeper, hub):
        study.enter(caller, instance=f"process of {caller}")
    assert study.sessions[KEY] != study.sessions[keeper]
    assert study.call(KEY) == KEY
    assert study.call(keeper) == keeper
    # By its own session a node is what it joined as, and nothing else.
    with pytest.raises(ProtocolError, match="may not send"):
        study.upload(study.call(keeper), header(result(0)))
    # The session of another organisation is worth nothing.
    with pytest.raises(DuplicateNodeError):
        study.call(hub, session=study.sessions[keeper])


def test_a_node_that_goes_away_is_named_with_its_role(two: tuple[Study, Caller, Caller]) -> None:
    study, keeper, hub = two
    for caller in (KEY, keeper, hub):
        study.enter(caller)
    study.lose(keeper)
    study.wait(10)
    assert study.state.events == [events.NodeAbsent("keeper", Role.PARTY, 20.0)]
