"""What a party that goes on believes: its own log, its own file, and nobody's word alone."""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
import pytest

from mpcseg.audit.log import AuditLog
from mpcseg.audit.records import Began, BlocksCommitted, KeysVouched, Record, Sent
from mpcseg.errors import (
    ConfigError,
    DataError,
    MpcsegError,
    NodeUnreachableError,
    ProtocolError,
    StorageError,
    StudyAbortedError,
    SuspendedError,
)
from mpcseg.nodes.party_course import Shuffle, course_of
from mpcseg.wire.blobs import header_of
from mpcseg.wire.names import BlobKind, BlobName
from tests.organisations import identity, study_spec

SPEC, OWN = study_spec(), identity("alder")
FEATURE = BlobName(BlobKind.FEATURE)
BLOCKS = [np.arange(6.0).reshape(2, 3)]


def _began(*, resumes: bool = False) -> Began:
    return Began(
        resumes=resumes,
        version="1",
        tenseal="1",
        seal="4.1",
        parameter_set="ckks-8192-5",
        parameter_digest="ab" * 32,
    )


def _sent(blob: bytes) -> Sent:
    header = header_of(FEATURE, blob)
    return Sent(
        blob=str(FEATURE),
        kind="feature",
        n_bytes=len(blob),
        sha256=header.sha256.hex(),
        peer="hub",
        peer_role="compute",
    )


def _keys(digit: str) -> KeysVouched:
    return KeysVouched(public_key=digit * 64, signature=b"x" * 64)


def _shuffle(folder: Path, *, anew: bool = False) -> Shuffle:
    return Shuffle(folder, SPEC, OWN, anew=anew)


def _logged(folder: Path, *records: Record) -> AuditLog:
    with AuditLog(folder, SPEC, OWN, "party") as log:
        log.append(*records)
    with AuditLog(folder, SPEC, OWN, "party") as again:
        return again


def test_what_the_compute_node_says_it_has_is_compared_with_the_partys_own_log(
    tmp_path: Path,
) -> None:
    course = course_of(_logged(tmp_path, _began(), _keys("a"), _sent(b"one")).earlier)
    course.verify_sent(header_of(FEATURE, b"one"))
    for lie in (header_of(FEATURE, b"two"), header_of(BlobName(BlobKind.PRESENCE), b"one")):
        with pytest.raises(ProtocolError, match="was never sent like that"):
            course.verify_sent(lie)


def test_the_run_goes_on_over_processes_that_resume_and_ends_with_one_that_does_not(
    tmp_path: Path,
) -> None:
    committed = BlocksCommitted(party="alder", n_blocks=1, manifest="cd" * 32)
    first = [_began(), _keys("a"), _sent(b"one"), _began(resumes=True), committed]
    course = course_of(_logged(tmp_path / "going-on", *first).earlier)
    course.verify_sent(header_of(FEATURE, b"one"))
    assert course.committed == "cd" * 32
    course = course_of(_logged(tmp_path / "anew", *first, _began()).earlier)
    assert course.committed == ""
    with pytest.raises(ProtocolError):
        course.verify_sent(header_of(FEATURE, b"one"))


def test_what_was_encrypted_under_another_key_does_not_count(tmp_path: Path) -> None:
    course = course_of(_logged(tmp_path, _began(), _keys("a"), _sent(b"one")).earlier)
    course.use_key("a" * 64)
    course.verify_sent(header_of(FEATURE, b"one"))
    course.use_key("b" * 64)
    with pytest.raises(ProtocolError):
        course.verify_sent(header_of(FEATURE, b"one"))


def test_the_order_is_kept_privately_and_the_same_records_are_recognised(tmp_path: Path) -> None:
    first = _shuffle(tmp_path)
    assert not first.is_kept
    first.keep(BLOCKS)
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    second = _shuffle(tmp_path)
    assert second.is_kept
    assert second.seed == first.seed
    second.verify_same(BLOCKS)
    with pytest.raises(DataError, match="has changed") as caught:
        second.verify_same([BLOCKS[0] + 1e-9])
    assert "--restart" in caught.value.hint
    assert _shuffle(tmp_path, anew=True).seed != first.seed


@pytest.mark.parametrize("content", [b"", b"{}", b'{"study": 1}', b"\xff"])
def test_a_damaged_file_is_not_taken_for_no_file(tmp_path: Path, content: bytes) -> None:
    _shuffle(tmp_path).keep(BLOCKS)
    (file,) = tmp_path.iterdir()
    file.write_bytes(content)
    with pytest.raises(ConfigError, match="does not hold the order") as caught:
        _shuffle(tmp_path)
    assert "--restart" in caught.value.hint
    _shuffle(tmp_path, anew=True).keep(BLOCKS)
    assert _shuffle(tmp_path).is_kept


@pytest.mark.parametrize(
    ("error", "stays"),
    [
        (SuspendedError("stopped"), True),
        (StorageError("full"), True),
        (NodeUnreachableError("away"), True),
        (KeyboardInterrupt(), True),
        (StudyAbortedError("over"), False),
        (MpcsegError("inside"), False),
        (ValueError("inside"), False),
        (None, False),
    ],
)
def test_the_file_goes_when_the_study_is_over_and_not_before(
    tmp_path: Path, error: BaseException | None, stays: bool
) -> None:
    shuffle = _shuffle(tmp_path)
    shuffle.keep(BLOCKS)
    raised: list[BaseException] = []
    try:
        with shuffle.until_end():
            if error is not None:
                raise error
    except (Exception, KeyboardInterrupt) as caught:
        raised.append(caught)
    assert raised == ([error] if error else [])
    assert bool(list(tmp_path.iterdir())) is stays
