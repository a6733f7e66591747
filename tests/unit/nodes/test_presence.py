"""Nodes that come back, stay away or never come; and how a study ends."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpcseg.ckks.packing import SlotRange
from mpcseg.errors import (
    BlobTooLargeError,
    DuplicateNodeError,
    NodeVanishedError,
    ProtocolError,
    TooFewRecordsError,
)
from mpcseg.nodes.roles import Caller, Role
from mpcseg.nodes.study_state import Phase
from mpcseg.wire import events
from tests.unit.nodes.study import (
    ADMISSION,
    KEY,
    RULES,
    A,
    B,
    Operation,
    Study,
    collected,
    feature,
    header,
    keys,
)


def test_a_party_that_comes_back_as_another_process_begins_from_nothing() -> None:
    study = Study()
    keys(study)
    study.blocks(A, 1)
    study.lose(A)
    assert study.join(A, instance="process 2")
    with pytest.raises(ProtocolError):
        study.commit(A, 1)
    study.upload(A, header(feature(0), b"encrypted afresh"))


def test_a_party_cannot_bring_another_cohort_once_it_has_committed() -> None:
    study = Study()
    keys(study)
    study.blocks(A, 1)
    study.commit(A, 1)
    study.lose(A)
    assert study.join(A, instance="process 2")
    with pytest.raises(ProtocolError):
        study.upload(A, header(feature(0), b"other customers"))
    with pytest.raises(ProtocolError):
        study.commit(A, 1, b"other manifest")
    study.commit(A, 1)


def test_the_same_process_comes_back_to_what_it_has_sent() -> None:
    study = Study()
    keys(study)
    study.blocks(A, 1)
    study.lose(A)
    study.wait(10)
    assert not study.join(A)
    study.watch(A)
    study.commit(A, 1)
    told = [event for event in study.state.events if not isinstance(event, events.KeysReady)]
    assert told == [
        events.NodeAbsent("a", Role.PARTY, 20.0),
        events.NodeBack("a", Role.PARTY),
        events.PartyReady("a"),
    ]


def test_a_party_that_shares_a_block_uploads_one() -> None:
    shared = (SlotRange(0, 0, 100), SlotRange(0, 100, 50))
    study = Study(rules=replace(RULES, slot_ranges=shared))
    keys(study)
    with pytest.raises(BlobTooLargeError, match="more blocks than the 1 it may"):
        study.upload(A, feature(1))
    study.blocks(A, 1)
    study.commit(A, 1)


def test_an_upload_of_the_process_before_does_not_count() -> None:
    study = Study()
    keys(study)
    before = study.sessions[A]
    assert study.state.admit(A, header(feature(0)))
    study.lose(A)
    study.join(A, instance="process 2")
    with pytest.raises(DuplicateNodeError):
        study.state.accept(A, before, header(feature(0)))


@pytest.mark.parametrize(
    ("prepare", "gone", "vanishes"),
    [
        pytest.param(keys, A, True, id="a party that has not committed"),
        pytest.param(collected, A, False, id="a party that has committed"),
        pytest.param(keys, KEY, True, id="the key node while blocks are collected"),
        pytest.param(collected, KEY, True, id="the key node during the rounds"),
    ],
)
def test_who_must_not_stay_away(prepare: Operation, gone: Caller, vanishes: bool) -> None:
    study = Study()
    prepare(study)
    study.lose(gone)
    study.wait(29)
    assert study.state.error is None
    study.wait(2)
    assert (study.state.phase is Phase.OVER) == vanishes
    if vanishes:
        assert isinstance(study.state.error, NodeVanishedError)
        assert gone.name in study.state.error.message
        assert study.state.events[-1] == events.StudyAborted(study.state.error)


def test_a_node_that_never_comes() -> None:
    study = Study()
    study.wait(1000)  # nobody is there, nobody waits
    study.enter(KEY)
    study.enter(A)
    study.wait(99)
    assert study.state.error is None
    study.wait(2)
    assert isinstance(study.state.error, NodeVanishedError)
    assert "party node b" in study.state.error.message


def test_a_node_that_joins_but_never_watches_can_be_replaced_and_vanishes() -> None:
    study = Study()
    for caller in (KEY, A, B):
        study.join(caller)
    with pytest.raises(DuplicateNodeError):
        study.join(B, instance="process 2")
    study.now += 11
    study.join(B, instance="process 2")
    study.watch(KEY)
    study.watch(A)
    study.wait(31)
    assert isinstance(study.state.error, NodeVanishedError)
    assert "party node b" in study.state.error.message


def test_an_absence_is_told_once_and_a_short_one_not_at_all() -> None:
    study = Study()
    keys(study)
    told = len(study.state.events)
    study.lose(A)
    study.wait(2)
    study.watch(A)
    assert len(study.state.events) == told
    study.lose(A)
    for _ in range(5):
        study.wait(4)
    study.watch(A)
    absent = study.state.events[told:]
    assert absent == [
        events.NodeAbsent("a", Role.PARTY, 26.0),
        events.NodeBack("a", Role.PARTY),
    ]


def test_two_watches_of_one_process_count_as_presence_until_the_last_is_closed() -> None:
    study = Study()
    keys(study)
    study.watch(A)
    study.lose(A)
    study.wait(100)
    assert study.state.error is None


def test_only_the_first_end_counts() -> None:
    study = Study()
    collected(study)
    study.state.abort_by(A, TooFewRecordsError("first"))
    study.state.abort_by(B, TooFewRecordsError("second"))
    study.wait(1000)
    assert str(study.state.error) == "party node a stopped the study: first"
    assert sum(isinstance(event, events.StudyAborted) for event in study.state.events) == 1


@given(st.lists(st.integers(0, 5000), max_size=300))
def test_progress_is_told_a_hundred_times_at_most(steps: list[int]) -> None:
    study = Study()
    collected(study)
    study.open(ADMISSION)
    told = len(study.state.events)
    for done in sorted(steps):
        study.state.round_progress(0, done, 5000)
    shown = [event.tasks_done for event in study.state.events[told:]]
    assert len(shown) <= 101
    assert shown == sorted(set(shown))
