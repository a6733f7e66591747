"""What the key node keeps to go on: sealed, signed, bound, and judged by the audit log."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from mpcseg.audit.records import (
    Began,
    Decrypted,
    Entry,
    KeysVouched,
    Record,
    SecretKeyDestroyed,
    Sent,
)
from mpcseg.errors import RecoveryError, StorageError
from mpcseg.nodes.key_history import Start, start_of
from mpcseg.nodes.key_results import keep_sealed, read_sealed
from mpcseg.nodes.logbook import began
from mpcseg.nodes.planning import study_plan
from mpcseg.nodes.recovery import Intent, Recovery
from mpcseg.study.closing import now, sign_key_destroyed
from mpcseg.study.identity import Identity
from mpcseg.study.spec import StudySpec
from mpcseg.wire.names import BlobKind, BlobName
from tests.organisations import identity, study_spec

SPEC = study_spec()
OWN = identity("keeper")
WORDS = np.random.default_rng(1).integers(0, 2**31, 1000).astype(np.uint32)
DIGESTS = {0: ["a" * 64, "b" * 64], 1: ["c" * 64]}


def kept(folder: Path, *, spec: StudySpec = SPEC, own: Identity = OWN, run: int = 0) -> Recovery:
    return Recovery(folder / "recovery", spec, own, run)


def decrypted(index: int) -> list[Decrypted]:
    return [
        Decrypted(
            blob=f"release-{index}-{item}", kind="release", round=index, n_bytes=1, sha256=digest,
            own_noise=True,
        )
        for item, digest in enumerate(DIGESTS[index])
    ]  # fmt: skip


def intent(index: int) -> Intent:
    releases = tuple(record.content for record in decrypted(index))
    return Intent(releases, tuple(range(-3, len(releases) - 3)))


def fill(recovery: Recovery) -> None:
    """As after round 0, in round 1 just before it is decrypted."""
    recovery.keep_key(WORDS, b"public", b"relinearisation")
    recovery.keep_intent(0, intent(0))
    recovery.keep_sums(0, [1.0, -0.1])
    recovery.keep_intent(1, intent(1))


DESTROYED = SecretKeyDestroyed(**vars(sign_key_destroyed(OWN, SPEC.digest, 3, now())))
VOUCHED = KeysVouched(public_key="d" * 64, signature=OWN.sign("x", b""))
HISTORY: list[Record] = [began(study_plan(SPEC)), VOUCHED, *decrypted(0), *decrypted(1)]


def entries(*records: Record) -> tuple[Entry, ...]:
    return tuple(
        Entry(number=number, study=SPEC.digest, time=now(), record=record)
        for number, record in enumerate(records)
    )


def start(folder: Path, *records: Record, spec: StudySpec = SPEC, own: Identity = OWN) -> Start:
    return start_of(spec, own, folder, entries(*records), keeps=True)


def test_what_was_kept_comes_back(tmp_path: Path) -> None:
    fill(kept(tmp_path))
    again = kept(tmp_path)
    with again.key_words() as words:
        assert words.tolist() == WORDS.tolist()
    assert not words.any()
    assert again.public_blobs() == (b"public", b"relinearisation")
    assert (again.intent(0), again.intent(1), again.intent(2)) == (intent(0), intent(1), None)
    assert (again.sums(0), again.sums(1), again.results()) == ([1.0, -0.1], None, None)


def test_nothing_of_it_can_be_read_in_the_files(tmp_path: Path) -> None:
    fill(kept(tmp_path))
    kept(tmp_path).keep_results({"alder": "e" * 64})
    content = b"".join(path.read_bytes() for path in (tmp_path / "recovery").iterdir())
    for known in (WORDS.tobytes()[:16], b"public\0", b"a" * 64, b"noise", b"0x1.", b"e" * 64):
        assert known not in content


def test_folder_and_files_are_for_their_owner_only_also_where_the_folder_was_open(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "recovery"
    folder.mkdir()
    folder.chmod(0o755)
    fill(kept(tmp_path))
    assert folder.stat().st_mode & 0o777 == 0o700
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert modes == dict.fromkeys(modes, 0o600)
    assert modes


def test_no_two_sealings_are_alike(tmp_path: Path) -> None:
    contents = []
    for _ in range(2):
        kept(tmp_path).keep_sums(0, [1.0])
        contents.append((tmp_path / "recovery" / "round-0000-sums.sealed").read_bytes())
    assert contents[0][300:] != contents[1][300:]


@pytest.mark.parametrize(
    ("foreign", "said"),
    [
        ({"spec": study_spec(n_rounds=3)}, "of another study"),
        ({"own": identity("keeper", 1)}, "kept by another identity"),
        ({"run": 4}, "of another run of this study"),
    ],
)
def test_a_folder_of_another_study_identity_or_run_is_refused(
    tmp_path: Path, foreign: dict[str, object], said: str
) -> None:
    fill(kept(tmp_path))
    with pytest.raises(RecoveryError, match=said), kept(tmp_path, **foreign).key_words():  # type: ignore[arg-type]
        pass
    with pytest.raises(RecoveryError, match=said):
        kept(tmp_path, **foreign).sums(0)  # type: ignore[arg-type]


def test_a_file_of_another_version_or_name_is_refused(tmp_path: Path) -> None:
    fill(kept(tmp_path))
    path = tmp_path / "recovery" / "round-0000-sums.sealed"
    shutil.copy(path, path.with_name("round-0001-sums.sealed"))
    with pytest.raises(RecoveryError, match="of another file"):
        kept(tmp_path).sums(1)
    path.write_bytes(path.read_bytes().replace(b"recovery 1", b"recovery 2", 1))
    with pytest.raises(RecoveryError, match="of another version"):
        kept(tmp_path).sums(0)
    path.write_bytes(b"")
    with pytest.raises(RecoveryError, match="no recovery file"):
        kept(tmp_path).sums(0)


def test_a_changed_byte_anywhere_is_noticed(tmp_path: Path) -> None:
    kept(tmp_path).keep_sums(0, [1.0])
    path = tmp_path / "recovery" / "round-0000-sums.sealed"
    whole = path.read_bytes()
    for place in [*range(0, len(whole), 97), len(whole) - 1]:
        changed = bytearray(whole)
        changed[place] ^= 1
        path.write_bytes(changed)
        with pytest.raises(RecoveryError):
            kept(tmp_path).sums(0)
        path.write_bytes(whole[:place])
        with pytest.raises(RecoveryError):
            kept(tmp_path).sums(0)


def test_what_others_seal_to_the_key_node_is_not_taken(tmp_path: Path) -> None:
    """A card is public: sealing alone would let anybody plant a secret key that he knows."""

    class Planted(Identity):
        def sign(self, purpose: str, data: bytes) -> bytes:
            return identity("alder").sign(purpose, data)

    fields = {field.name: getattr(OWN, field.name) for field in dataclasses.fields(OWN)}
    fill(kept(tmp_path, own=Planted(**fields)))
    with pytest.raises(RecoveryError, match="was changed, or kept by another identity"):
        kept(tmp_path).sums(0)


def test_nothing_is_kept_where_that_was_asked_for(tmp_path: Path) -> None:
    recovery = Recovery(tmp_path / "recovery", SPEC, OWN, 0, keeps=False)
    fill(recovery)
    recovery.destroy_key()
    recovery.clear()
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_cannot_be_written_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "recovery").write_text("a file where the folder must be")
    with pytest.raises(StorageError, match="recovery"):
        kept(tmp_path).keep_sums(0, [1.0])


def test_destroying_the_key_leaves_the_note_of_the_results_and_clearing_nothing(
    tmp_path: Path,
) -> None:
    fill(kept(tmp_path))
    kept(tmp_path).keep_results({"alder": "e" * 64})
    (tmp_path / "recovery" / "secret-key.sealed.new").write_bytes(b"half written")
    kept(tmp_path).destroy_key()
    assert [path.name for path in (tmp_path / "recovery").iterdir()] == ["results.sealed"]
    assert kept(tmp_path).results() == {"alder": "e" * 64}
    kept(tmp_path).clear()
    assert list(tmp_path.iterdir()) == []


# --- how a process begins --------------------------------------------------------------------


def test_an_empty_log_begins_a_run(tmp_path: Path) -> None:
    begins = start(tmp_path)
    assert (begins.resumes, begins.lost, begins.delivered) == (False, False, None)
    assert begins.run.number == 0


def test_a_process_goes_on_with_what_log_and_folder_agree_on(tmp_path: Path) -> None:
    fill(kept(tmp_path))
    begins = start(tmp_path, *HISTORY)
    assert begins.resumes
    assert begins.run.n_decrypted == 3
    assert begins.run.vouched == VOUCHED


@contextmanager
def refused(said: str) -> Iterator[None]:
    with pytest.raises(RecoveryError, match=said) as caught:
        yield
    assert caught.value.hint
    assert not caught.value.ends_study


@pytest.mark.parametrize("lost", [0, 1])
def test_a_folder_that_is_older_than_the_log_is_refused(tmp_path: Path, lost: int) -> None:
    """Put back from a backup, it would decrypt the round again with another draw."""
    fill(kept(tmp_path))
    (tmp_path / "recovery" / f"round-000{lost}-intent.sealed").unlink()
    with refused(f"round {lost} was decrypted"):
        start(tmp_path, *HISTORY)


def test_a_folder_with_other_releases_than_the_log_is_refused(tmp_path: Path) -> None:
    fill(kept(tmp_path))
    kept(tmp_path).keep_intent(1, Intent((("release-1-0", "f" * 64),), (0,)))
    with refused("round 1 was decrypted"):
        start(tmp_path, *HISTORY)


def test_a_folder_that_is_newer_than_the_log_is_refused(tmp_path: Path) -> None:
    fill(kept(tmp_path))
    with refused("sums of round 0"):
        start(tmp_path, *HISTORY[:2])


def test_a_folder_without_its_log_is_refused(tmp_path: Path) -> None:
    fill(kept(tmp_path))
    with refused("does not know of"):
        start(tmp_path)


def test_a_secret_key_that_comes_back_after_its_end_is_refused(tmp_path: Path) -> None:
    fill(kept(tmp_path))
    with refused("holds a secret key that was destroyed"):
        start(tmp_path, *HISTORY, DESTROYED)


def test_a_folder_of_an_earlier_run_is_refused(tmp_path: Path) -> None:
    fill(kept(tmp_path))
    with refused("of another run"):
        start(tmp_path, *HISTORY, HISTORY[0])


def test_keys_that_are_out_and_kept_nowhere_are_known_to_be_lost(tmp_path: Path) -> None:
    begins = start(tmp_path, *HISTORY)
    assert begins.lost
    assert not begins.resumes
    assert not start(tmp_path, *HISTORY, DESTROYED).lost


def test_sealed_results_need_no_secret_key_any_more(tmp_path: Path) -> None:
    fill(kept(tmp_path))
    recovery = kept(tmp_path)
    recovery.keep_results(keep_sealed({"alder": b"sealed"}, tmp_path / "sealed"))
    for _ in range(2):
        begins = start(tmp_path, *HISTORY)
        assert begins.resumes
        assert begins.results is not None
        assert read_sealed(tmp_path / "sealed", begins.results) == {"alder": b"sealed"}
        recovery.destroy_key()
    (tmp_path / "sealed" / "alder.sealed").write_bytes(b"another")
    with refused("is not the file that this node has sealed"):
        read_sealed(tmp_path / "sealed", begins.results)


def test_a_run_that_came_to_its_end_is_known_to_be_delivered(tmp_path: Path) -> None:
    sent = [
        Sent(
            blob=str(BlobName(BlobKind.RESULT, item=item)),
            kind="result",
            n_bytes=1,
            sha256=digest * 64,
            peer="hub",
            peer_role="compute",
        )
        for item, digest in enumerate("ab")
    ]  # fmt: skip
    begins = start(tmp_path, *HISTORY, DESTROYED, *sent)
    assert begins.delivered is not None
    assert begins.delivered.results == {"alder": "a" * 64, "birch": "b" * 64}
    assert begins.run.number == len(HISTORY) + 3
    assert start(tmp_path, *HISTORY, DESTROYED, sent[0]).delivered is None


def test_a_node_that_went_on_is_another_process_of_one_run(tmp_path: Path) -> None:
    fill(kept(tmp_path))
    went_on = HISTORY[0]
    assert isinstance(went_on, Began)
    begins = start(tmp_path, *HISTORY, went_on.model_copy(update={"resumes": True}))
    assert (begins.run.number, begins.run.n_decrypted) == (0, 3)
