"""Every ordering rule of a study, as lists of operations that succeed or fail."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mpcseg.errors import (
    BlobTooLargeError,
    BudgetError,
    DuplicateNodeError,
    MpcsegError,
    ParameterMismatchError,
    ProtocolError,
    StudyAbortedError,
    StudyClosedError,
    TooFewRecordsError,
    UnknownSessionError,
    WithdrawnError,
)
from mpcseg.nodes.study_rules import RoundOrder
from mpcseg.wire import events
from mpcseg.wire.names import BlobKind, BlobName
from tests.unit.nodes.study import (
    ADMISSION,
    ATTESTATION,
    BLUNT,
    DESTROYED,
    KEY,
    MOMENTS,
    PUBLIC,
    RELINEARISATION,
    SHARP,
    A,
    B,
    Operation,
    Study,
    asked,
    block_blob,
    collected,
    computed,
    feature,
    finished,
    header,
    hyperplane,
    keys,
    lloyd,
    profile,
    result,
    started,
)

OK = None
LATER = "2025-03-31T12:00:01Z"


def nothing(study: Study) -> None:
    """Nobody has joined."""


TABLES: dict[str, tuple[Operation, list[tuple[Operation, type[MpcsegError] | None]]]] = {
    "a whole study": (
        nothing,
        [
            (lambda s: s.enter(KEY), OK),
            (lambda s: s.enter(A), OK),
            (lambda s: s.upload(KEY, PUBLIC), OK),
            (lambda s: s.upload(KEY, RELINEARISATION), OK),
            (lambda s: s.publish(), OK),
            (lambda s: s.fetch(A, PUBLIC.name), OK),
            (lambda s: s.blocks(A, 2), OK),
            (lambda s: s.commit(A, 2), OK),
            (lambda s: s.enter(B), OK),
            (lambda s: s.blocks(B, 1), OK),
            (lambda s: s.commit(B, 1), OK),
            (lambda s: s.round(ADMISSION), OK),
            (lambda s: s.round(MOMENTS), OK),
            (lambda s: s.open(lloyd(2, BLUNT)), OK),
            (lambda s: s.upload(KEY, hyperplane(2, 2, 2)), OK),
            (lambda s: s.release(2), OK),
            (lambda s: s.fetch(KEY, BlobName(BlobKind.RELEASE, 2, 2)), OK),
            (lambda s: s.round(lloyd(3)), OK),
            (lambda s: s.round(profile(4)), OK),
            (lambda s: s.results(), OK),
            (lambda s: s.finish(), OK),
            (lambda s: s.finish(), OK),
            (lambda s: s.open(lloyd(5)), ProtocolError),
            (lambda s: s.enter(A, instance="process 2"), ProtocolError),
            (lambda s: s.state.admit_result("a", "a"), OK),
            (lambda s: s.state.close(asked("hub")), OK),
        ],
    ),
    "every step may be repeated after a lost reply": (
        keys,
        [
            (lambda s: s.join(A), OK),
            (lambda s: s.upload(KEY, PUBLIC), OK),
            (lambda s: s.publish(), OK),
            (lambda s: s.blocks(A, 1), OK),
            (lambda s: s.blocks(A, 1), OK),
            (lambda s: s.commit(A, 1), OK),
            (lambda s: s.commit(A, 1), OK),
            (lambda s: s.upload(A, feature(0)), OK),
            (lambda s: s.blocks(B, 1), OK),
            (lambda s: s.commit(B, 1), OK),
            (lambda s: s.open(ADMISSION), OK),
            (lambda s: s.open(ADMISSION), OK),
            (lambda s: s.release(0), OK),
            (lambda s: s.open(ADMISSION), OK),
            (lambda s: s.round(MOMENTS), OK),
            (lambda s: s.open(lloyd(2)), OK),
            (lambda s: s.upload(KEY, hyperplane(2)), OK),
            (lambda s: s.release(2), OK),
            (lambda s: s.upload(KEY, hyperplane(2)), OK),
            (lambda s: s.round(profile(3)), OK),
            (lambda s: s.results(), OK),
            (lambda s: s.results(), OK),
            (lambda s: s.finish(), OK),
            (lambda s: s.finish(), OK),
            (lambda s: s.state.report_destroyed(KEY, DESTROYED), OK),
            (lambda s: s.state.close(asked("hub")), OK),
            (lambda s: s.state.close(asked("hub")), OK),
        ],
    ),
    "only nodes that run the same": (
        nothing,
        [
            (lambda s: s.join(A, protocol_version=1), ParameterMismatchError),
            (lambda s: s.join(A, study_digest="x" * 64), ParameterMismatchError),
            (lambda s: s.join(A, parameter_digest="x" * 64), ParameterMismatchError),
            (lambda s: s.join(A, software_version="\x1b[2J"), ProtocolError),
            (lambda s: s.join(A, software_version="x" * 65), ProtocolError),
            (lambda s: s.join(A, software_version="x" * 64), OK),
            (lambda s: s.join(A, software_version="0.1.1"), OK),
            (lambda s: s.call(A, digest="x" * 64), ParameterMismatchError),
            (lambda s: s.call(A, session="forged"), UnknownSessionError),
            (lambda s: s.call(A, session="förged"), UnknownSessionError),
            (lambda s: s.call(B, session="forged"), UnknownSessionError),
            (lambda s: s.call(A), OK),
        ],
    ),
    "one process for each name": (
        nothing,
        [
            (lambda s: s.enter(A), OK),
            (lambda s: s.join(A, instance="process 2"), DuplicateNodeError),
            (lambda s: s.call(A), OK),
            (lambda s: s.lose(A), OK),
            (lambda s: s.join(A, instance="process 2"), OK),
            (lambda s: s.join(A), DuplicateNodeError),  # the first one has lost its place
        ],
    ),
    "keys first, and only from the key node": (
        nothing,
        [
            (lambda s: [s.enter(KEY), s.enter(A)], OK),
            (lambda s: s.upload(A, PUBLIC), ProtocolError),
            (lambda s: s.upload(A, feature(0)), ProtocolError),
            (lambda s: s.fetch(A, PUBLIC.name), ProtocolError),
            (lambda s: s.publish(), ProtocolError),
            (lambda s: s.upload(KEY, PUBLIC), OK),
            (lambda s: s.publish(), ProtocolError),
            (lambda s: s.upload(KEY, header(PUBLIC.name, b"other")), ProtocolError),
            (lambda s: s.upload(KEY, replace(PUBLIC.name, item=1)), ProtocolError),
            (lambda s: s.upload(KEY, RELINEARISATION), OK),
            (lambda s: s.fetch(A, PUBLIC.name), ProtocolError),
            (lambda s: s.state.publish_keys(A, ATTESTATION), ProtocolError),
            (
                lambda s: s.publish(events.KeyAttestation(RELINEARISATION.sha256, b"")),
                ProtocolError,
            ),
            (lambda s: s.publish(), OK),
            (lambda s: s.publish(events.KeyAttestation(PUBLIC.sha256, b"")), ProtocolError),
            (lambda s: s.fetch(A, RELINEARISATION.name), ProtocolError),
            (lambda s: s.fetch(KEY, PUBLIC.name), ProtocolError),
        ],
    ),
    "a blob has a place or is refused": (
        keys,
        [
            (lambda s: s.upload(KEY, feature(0)), ProtocolError),
            (lambda s: s.upload(A, hyperplane(0)), ProtocolError),
            (lambda s: s.upload(A, BlobName(BlobKind.RELEASE)), ProtocolError),
            (lambda s: s.upload(KEY, BlobName(BlobKind.RELEASE)), ProtocolError),
            (lambda s: s.upload(KEY, hyperplane(0)), ProtocolError),
            (lambda s: s.upload(KEY, result(0)), ProtocolError),
            (lambda s: s.upload(A, result(0)), ProtocolError),
            (lambda s: s.upload(A, feature(0, part=2)), ProtocolError),
            (lambda s: s.upload(A, feature(0, round_=1)), ProtocolError),
            (lambda s: s.upload(A, BlobName(BlobKind.PRESENCE, part=1)), ProtocolError),
            (lambda s: s.upload(A, feature(4)), BlobTooLargeError),
            (lambda s: s.upload(A, feature(3, part=1)), OK),
        ],
    ),
    "what is committed is what arrived": (
        keys,
        [
            (lambda s: s.commit(A, 0), ProtocolError),
            (lambda s: s.blocks(A, 2), OK),
            (lambda s: s.commit(A, 1), ProtocolError),
            (lambda s: s.commit(A, 3), ProtocolError),
            (lambda s: s.commit(A, 2**32 - 1, b"manifest"), ProtocolError),
            (lambda s: s.commit(A, 2, b"manifest"), ProtocolError),
            (lambda s: s.commit(KEY, 2), ProtocolError),
            (lambda s: s.upload(A, header(feature(0), b"other")), ProtocolError),
            (lambda s: s.commit(A, 2), OK),
            (lambda s: s.commit(A, 1), ProtocolError),
            (lambda s: s.upload(A, feature(2)), ProtocolError),
            (lambda s: s.open(ADMISSION), ProtocolError),  # b is missing
        ],
    ),
    "no party sends what another one has encrypted": (
        keys,
        [
            (lambda s: s.blocks(A, 1), OK),
            (lambda s: s.upload(B, block_blob(A, feature(0))), ProtocolError),
            (
                lambda s: s.upload(B, replace(block_blob(A, feature(0)), name=feature(1))),
                ProtocolError,
            ),
            (lambda s: s.commit(A, 1), OK),
            (lambda s: s.upload(B, block_blob(A, feature(0))), ProtocolError),
            (lambda s: s.blocks(B, 1), OK),
            (lambda s: s.commit(B, 1), OK),
        ],
    ),
    "rounds in order, and no more than agreed": (
        collected,
        [
            (lambda s: s.open(MOMENTS), ProtocolError),
            (lambda s: s.open(RoundOrder("moments", 0, ())), ProtocolError),
            (lambda s: s.open(lloyd(0)), ProtocolError),
            (lambda s: s.open(profile(0)), ProtocolError),
            (lambda s: s.open(RoundOrder("admission", 0, SHARP)), ProtocolError),
            (lambda s: s.open(RoundOrder("admission", 1, ())), ProtocolError),
            (lambda s: s.open(ADMISSION, caller=A), ProtocolError),
            (lambda s: s.open(ADMISSION), OK),
            (lambda s: s.upload(KEY, hyperplane(0)), ProtocolError),
            (lambda s: s.open(MOMENTS), ProtocolError),  # the admission is not done
            (lambda s: s.release(1), ProtocolError),
            (lambda s: s.release(0), OK),
            (lambda s: s.release(0), ProtocolError),
            (lambda s: s.open(RoundOrder("admission", 1, ())), ProtocolError),
            (lambda s: s.open(RoundOrder("moments", 1, SHARP)), ProtocolError),
            (lambda s: s.open(lloyd(1)), ProtocolError),
            (lambda s: s.round(MOMENTS), OK),
            (lambda s: s.open(lloyd(3)), ProtocolError),
            (lambda s: s.open(RoundOrder("moments", 2, ())), ProtocolError),
            (lambda s: s.open(RoundOrder("admission", 2, ())), ProtocolError),
            (lambda s: s.open(lloyd(2, (15, 15))), ProtocolError),
            (lambda s: s.open(lloyd(2, ())), ProtocolError),
            (lambda s: s.upload(KEY, hyperplane(2)), ProtocolError),  # not open yet
            (lambda s: s.open(lloyd(2)), OK),
            (lambda s: s.upload(KEY, hyperplane(1)), ProtocolError),
            (lambda s: s.upload(KEY, hyperplane(3)), ProtocolError),
            (lambda s: s.upload(KEY, hyperplane(2, pair=3)), ProtocolError),
            (lambda s: s.upload(KEY, hyperplane(2, part=3)), ProtocolError),
            (lambda s: s.release(2), OK),
            (lambda s: s.upload(KEY, hyperplane(2)), ProtocolError),  # it is over
            (lambda s: s.fetch(KEY, BlobName(BlobKind.RELEASE, 1, 0)), ProtocolError),
            (lambda s: s.fetch(A, BlobName(BlobKind.RELEASE, 2, 0)), ProtocolError),
            (lambda s: s.fetch(KEY, BlobName(BlobKind.RELEASE, 2, 3)), ProtocolError),
            (lambda s: s.round(lloyd(3)), OK),
            (lambda s: s.open(lloyd(4)), ProtocolError),
            (lambda s: s.upload(KEY, result(0)), ProtocolError),
            (lambda s: s.finish(), ProtocolError),
            (lambda s: s.open(profile(4)), OK),
            (lambda s: s.upload(KEY, result(0)), ProtocolError),
            (lambda s: s.finish(), ProtocolError),
            (lambda s: s.release(4), OK),
            (lambda s: s.open(profile(5)), ProtocolError),
            (lambda s: s.finish(), ProtocolError),  # no results yet
            (lambda s: s.upload(KEY, result(0)), OK),
            (lambda s: s.upload(KEY, result(2)), ProtocolError),
            (lambda s: s.finish(), ProtocolError),  # those of one recipient are missing
            (lambda s: s.upload(KEY, result(1)), OK),
            (lambda s: s.finish(A), ProtocolError),
            (lambda s: s.finish(), OK),
            (lambda s: s.finish(statement=replace(DESTROYED, decrypted_values=1)), ProtocolError),
        ],
    ),
    "a round that would overspend does not run": (
        collected,
        [
            (lambda s: s.round(ADMISSION), OK),
            (lambda s: setattr(s.purse, "n_left", 0), OK),
            (lambda s: s.open(ADMISSION), OK),  # it has run, and is not paid for twice
            (lambda s: s.open(MOMENTS), BudgetError),
            (lambda s: s.upload(KEY, hyperplane(1)), ProtocolError),
            (lambda s: setattr(s.purse, "n_left", 1), OK),
            (lambda s: s.open(MOMENTS), OK),
        ],
    ),
    "results are for those they are sealed to": (
        computed,
        [
            (lambda s: s.state.admit_result("a", "a"), ProtocolError),  # not finished
            (lambda s: s.results(), OK),
            (lambda s: s.state.admit_result("a", "a"), ProtocolError),
            (lambda s: s.finish(), OK),
            (lambda s: s.state.admit_result("a", "a"), OK),
            (lambda s: s.state.admit_result("hub", "hub"), OK),
            (lambda s: s.state.admit_result("a", "hub"), ProtocolError),
            (lambda s: s.state.admit_result("hub", "a"), ProtocolError),
            (lambda s: s.state.admit_result("b", "b"), ProtocolError),
            (lambda s: s.state.admit_result("b", "a"), ProtocolError),
            (lambda s: s.fetch(A, result(0)), ProtocolError),  # not by a session
            (lambda s: s.fetch(KEY, result(0)), ProtocolError),
            (lambda s: s.state.admit_result("a", "a"), OK),  # as often as one likes
            (lambda s: s.state.close(asked("keeper")), OK),
            (lambda s: s.state.admit_result("a", "a"), StudyClosedError),
        ],
    ),
    "a party withdraws before the first round": (
        collected,
        [
            (lambda s: s.state.withdraw(asked("b", "withdraw")), OK),
            (lambda s: s.state.withdraw(asked("b", "withdraw")), OK),  # a reply that was lost
            (lambda s: s.state.withdraw(asked("a", "withdraw")), WithdrawnError),
            (lambda s: s.state.close(asked("hub")), WithdrawnError),
            (lambda s: s.open(ADMISSION), WithdrawnError),
            (lambda s: s.call(A), WithdrawnError),
            (lambda s: s.join(A), WithdrawnError),
            (lambda s: s.state.admit_result("a", "a"), WithdrawnError),
            (lambda s: s.state.report_destroyed(KEY, DESTROYED), OK),
        ],
    ),
    "a party that has not even joined withdraws": (
        lambda s: s.enter(KEY),
        [
            (lambda s: s.state.withdraw(asked("b", "withdraw")), OK),
            (lambda s: s.enter(A), WithdrawnError),
        ],
    ),
    "nobody withdraws from the first round on": (
        collected,
        [
            (lambda s: s.open(ADMISSION), OK),
            (lambda s: s.state.withdraw(asked("b", "withdraw")), ProtocolError),
            (lambda s: s.release(0), OK),
            (lambda s: s.state.withdraw(asked("b", "withdraw")), ProtocolError),
        ],
    ),
    "a study is closed while it computes": (
        started,
        [
            (lambda s: s.open(lloyd(2)), OK),
            (lambda s: s.state.close(asked("keeper")), OK),
            (lambda s: s.state.close(asked("keeper")), OK),
            (
                lambda s: s.state.close(asked("keeper", time="2025-03-31T12:00:01Z")),
                StudyClosedError,
            ),
            (lambda s: s.state.close(asked("hub")), StudyClosedError),
            (lambda s: s.upload(KEY, hyperplane(2)), StudyClosedError),
            (lambda s: s.release(2), ProtocolError),
            (lambda s: s.finish(), StudyClosedError),
            (lambda s: s.state.report_destroyed(A, DESTROYED), ProtocolError),
            (lambda s: s.state.report_destroyed(KEY, DESTROYED), OK),
        ],
    ),
    "a study is closed once": (
        finished,
        [
            (lambda s: s.state.close(asked("hub")), OK),
            (lambda s: s.state.close(asked("hub")), OK),
            (lambda s: s.state.close(asked("keeper")), StudyClosedError),
            (lambda s: s.state.withdraw(asked("a", "withdraw")), StudyClosedError),
            (lambda s: s.upload(KEY, result(0)), StudyClosedError),
            (lambda s: s.state.admit_result("hub", "hub"), StudyClosedError),
        ],
    ),
    "no round after the key is destroyed": (
        started,
        [
            (lambda s: s.state.report_destroyed(KEY, DESTROYED), OK),
            (lambda s: s.open(lloyd(2)), ProtocolError),
        ],
    ),
    "a key node that is started anew": (
        nothing,
        [
            (lambda s: s.enter(KEY), OK),
            (lambda s: s.upload(KEY, PUBLIC), OK),
            (lambda s: s.lose(KEY), OK),
            (lambda s: s.enter(KEY, instance="process 2"), OK),
            (lambda s: s.publish(), ProtocolError),  # the first one's keys are forgotten
            (lambda s: s.upload(KEY, header(PUBLIC.name, b"new")), OK),
            (lambda s: s.upload(KEY, RELINEARISATION), OK),
            (
                lambda s: s.publish(
                    events.KeyAttestation(header(PUBLIC.name, b"new").sha256, b"signed")
                ),
                OK,
            ),
            (lambda s: s.lose(KEY), OK),
            (lambda s: s.enter(KEY, instance="process 3"), ProtocolError),
            (lambda s: s.enter(KEY, instance="process 2"), OK),
        ],
    ),
    "an aborted study answers everything with the reason": (
        keys,
        [
            (lambda s: s.state.abort_by(A, TooFewRecordsError("too few records")), OK),
            (lambda s: s.call(B), StudyAbortedError),
            (lambda s: s.join(B), StudyAbortedError),
            (lambda s: s.upload(B, feature(0)), StudyAbortedError),
            (lambda s: s.commit(B, 1), StudyAbortedError),
            (lambda s: s.open(ADMISSION), StudyAbortedError),
            (lambda s: s.finish(), StudyAbortedError),
        ],
    ),
}


@pytest.mark.parametrize("table", TABLES)
def test_operations_succeed_or_fail_as_they_should(table: str) -> None:
    prepare, operations = TABLES[table]
    study = Study()
    prepare(study)
    for number, (operation, error) in enumerate(operations, 1):
        before = _visible(study)
        raised = _attempt(operation, study)
        assert type(raised) is (error or type(None)), f"operation {number}: {raised!r}"
        if error is not None:
            assert _visible(study) == before, f"operation {number} changed the state"


def _attempt(operation: Operation, study: Study) -> MpcsegError | None:
    try:
        operation(study)
    except MpcsegError as error:
        return error
    return None


def _visible(study: Study) -> tuple[object, ...]:
    state = study.state
    ends = state.error, state.ending, state.key_destroyed
    return state.phase, len(state.events), dict(state.n_blocks), *ends


def test_what_is_another_partys_is_refused_without_its_name() -> None:
    study = Study()
    keys(study)
    study.blocks(A, 1)
    with pytest.raises(ProtocolError, match="another party has encrypted") as caught:
        study.upload(B, block_blob(A, feature(0)))
    assert "party node a" not in caught.value.message
