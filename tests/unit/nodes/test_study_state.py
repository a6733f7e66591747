"""Every ordering rule of a study, as lists of operations that succeed or fail."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mpcseg.errors import (
    BlobTooLargeError,
    DuplicateNodeError,
    MpcsegError,
    ParameterMismatchError,
    ProtocolError,
    StudyAbortedError,
    TooFewRecordsError,
)
from mpcseg.nodes.study_rules import RoundOrder
from mpcseg.wire import events
from mpcseg.wire.names import BlobKind, BlobName
from tests.unit.nodes.study import (
    ATTESTATION,
    BLUNT,
    KEY,
    MOMENTS,
    PUBLIC,
    RELINEARISATION,
    SHARP,
    A,
    B,
    Operation,
    Study,
    collected,
    feature,
    header,
    hyperplane,
    keys,
    lloyd,
    profile,
)

OK = None


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
            (lambda s: s.round(MOMENTS), OK),
            (lambda s: s.open(lloyd(1, BLUNT)), OK),
            (lambda s: s.upload(KEY, hyperplane(1, 2, 2)), OK),
            (lambda s: s.release(1), OK),
            (lambda s: s.fetch(KEY, BlobName(BlobKind.RELEASE, 1, 2)), OK),
            (lambda s: s.round(lloyd(2)), OK),
            (lambda s: s.round(profile(3)), OK),
            (lambda s: s.finish(), OK),
            (lambda s: s.finish(), OK),
            (lambda s: s.open(lloyd(4)), ProtocolError),
            (lambda s: s.enter(A, instance="process 2"), ProtocolError),
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
            (lambda s: s.open(MOMENTS), OK),
            (lambda s: s.open(MOMENTS), OK),
            (lambda s: s.release(0), OK),
            (lambda s: s.open(MOMENTS), OK),
            (lambda s: s.open(lloyd(1)), OK),
            (lambda s: s.upload(KEY, hyperplane(1)), OK),
            (lambda s: s.release(1), OK),
            (lambda s: s.upload(KEY, hyperplane(1)), OK),
        ],
    ),
    "only nodes that run the same": (
        nothing,
        [
            (lambda s: s.join(A, protocol_version=2), ParameterMismatchError),
            (lambda s: s.join(A, study_digest="x" * 64), ParameterMismatchError),
            (lambda s: s.join(A, parameter_digest="x" * 64), ParameterMismatchError),
            (lambda s: s.join(A, software_version="\x1b[2J"), ProtocolError),
            (lambda s: s.join(A, software_version="x" * 65), ProtocolError),
            (lambda s: s.join(A, software_version="x" * 64), OK),
            (lambda s: s.join(A, software_version="0.1.1"), OK),
            (lambda s: s.call(A, digest="x" * 64), ParameterMismatchError),
            (lambda s: s.call(A, session="forged"), DuplicateNodeError),
            (lambda s: s.call(A, session="förged"), DuplicateNodeError),
            (lambda s: s.call(B, session="forged"), ProtocolError),
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
            (lambda s: s.open(MOMENTS), ProtocolError),  # b is missing
        ],
    ),
    "rounds in order, and no more than agreed": (
        collected,
        [
            (lambda s: s.open(lloyd(0)), ProtocolError),
            (lambda s: s.open(RoundOrder("moments", 0, SHARP)), ProtocolError),
            (lambda s: s.open(RoundOrder("moments", 1, ())), ProtocolError),
            (lambda s: s.open(MOMENTS, caller=A), ProtocolError),
            (lambda s: s.open(MOMENTS), OK),
            (lambda s: s.upload(KEY, hyperplane(0)), ProtocolError),
            (lambda s: s.open(lloyd(1)), ProtocolError),  # the moments are not done
            (lambda s: s.release(1), ProtocolError),
            (lambda s: s.release(0), OK),
            (lambda s: s.open(lloyd(2)), ProtocolError),
            (lambda s: s.open(RoundOrder("moments", 1, ())), ProtocolError),
            (lambda s: s.open(lloyd(1, (15, 15))), ProtocolError),
            (lambda s: s.open(lloyd(1, ())), ProtocolError),
            (lambda s: s.upload(KEY, hyperplane(1)), ProtocolError),  # not open yet
            (lambda s: s.open(lloyd(1)), OK),
            (lambda s: s.upload(KEY, hyperplane(0)), ProtocolError),
            (lambda s: s.upload(KEY, hyperplane(2)), ProtocolError),
            (lambda s: s.upload(KEY, hyperplane(1, pair=3)), ProtocolError),
            (lambda s: s.upload(KEY, hyperplane(1, part=3)), ProtocolError),
            (lambda s: s.release(1), OK),
            (lambda s: s.fetch(KEY, BlobName(BlobKind.RELEASE, 0, 0)), ProtocolError),
            (lambda s: s.fetch(A, BlobName(BlobKind.RELEASE, 1, 0)), ProtocolError),
            (lambda s: s.fetch(KEY, BlobName(BlobKind.RELEASE, 1, 3)), ProtocolError),
            (lambda s: s.round(lloyd(2)), OK),
            (lambda s: s.open(lloyd(3)), ProtocolError),
            (lambda s: s.finish(), ProtocolError),
            (lambda s: s.open(profile(3)), OK),
            (lambda s: s.finish(), ProtocolError),
            (lambda s: s.release(3), OK),
            (lambda s: s.open(profile(4)), ProtocolError),
            (lambda s: s.finish(A), ProtocolError),
            (lambda s: s.finish(), OK),
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
            (lambda s: s.open(MOMENTS), StudyAbortedError),
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
    return state.phase, len(state.events), dict(state.n_blocks), state.error
