"""A replay passes an honest compute node, and finds each lie that it can tell with ciphertexts."""

from __future__ import annotations

import io
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from mpcseg.cli.audit_replay import print_replay
from mpcseg.engine.evidence import MANIFEST_FILE
from mpcseg.engine.round_secrets import NOISE_FILE, SEED_FILE
from mpcseg.errors import ConfigError, EvidenceError, ReplayError
from mpcseg.nodes.blob_store import StudyFiles
from mpcseg.nodes.planning import study_plan
from mpcseg.nodes.progress import SilentProgress
from mpcseg.nodes.roles import Caller, Role
from mpcseg.verification.computed import ComputedStudy
from mpcseg.verification.replay import Replay, verify_replay
from mpcseg.wire.names import BlobKind, BlobName
from tests.adversarial.forged import Forger, computed
from tests.nodes.studies import Nodes, Recorder, make_cohort, make_nodes, run_study
from tests.organisations import features

D = 4
ADMISSION, MOMENTS, LLOYD, PROFILE = range(4)


@dataclass(frozen=True)
class Finished:
    """A study with noise that came to its results, and its compute node's storage folder."""

    nodes: Nodes
    storage: Path
    study: ComputedStudy


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("replay")
    names = [f"x{j}" for j in range(D)]
    nodes = make_nodes(n_rounds=1, features=features(*names), privacy={"epsilon": 10.0})
    cohorts = [make_cohort(4000, D, 1), make_cohort(3000, D, 2)]
    ran = run_study(nodes, folder, cohorts)
    shutil.copytree(folder / "storage", folder / "copy")
    ran.closed(nodes)
    assert not (folder / "storage" / "study").exists()
    return Finished(nodes, folder / "copy", computed(nodes.spec, folder / "copy"))


@pytest.fixture(autouse=True)
def _nothing_left_in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A replay computes in a folder that is gone afterwards."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield
    assert list(folder.iterdir()) == []


@pytest.fixture
def forger(finished: Finished, tmp_path: Path) -> Forger:
    return Forger(finished.nodes.spec, finished.storage, tmp_path)


def replayed(forger: Forger, *rounds: int, sample: str | None = "1") -> Replay:
    progress = SilentProgress()
    spec, study, storage = forger.spec, forger.study, forger.storage
    return verify_replay(spec, study, storage, progress, sample=sample, rounds=rounds or None)


# --- honest --------------------------------------------------------------------------------


def test_an_honest_study_passes_whole(finished: Finished) -> None:
    progress = Recorder()
    found = verify_replay(finished.nodes.spec, finished.study, finished.storage, progress)
    assert [one.kind for one in found.rounds] == ["admission", "moments", "lloyd", "profile"]
    assert [one.n_replayed for one in found.rounds] == [2, 2, 2, 2]
    assert [one.n_releases for one in found.rounds] == [6, 15, 2 * 5, 2 * 9]
    assert found.misses == ()
    assert found.noise is not None
    assert found.noise.n_draws == 49
    assert 0.5 < found.noise.measured < 1.5
    assert progress.tasks["round 2: units"] == 2 + 2 * 2
    console = Console(record=True, width=120, file=io.StringIO())
    print_replay(found, console)
    lines = console.export_text().splitlines()
    assert sum("│ as agreed" in line for line in lines) == 5


def test_an_honest_study_passes_sampled_and_the_chance_to_miss_is_told(
    finished: Finished,
) -> None:
    spec, study, storage = finished.nodes.spec, finished.study, finished.storage
    found = verify_replay(spec, study, storage, SilentProgress(), sample="25%")
    assert (found.n_replayed, found.n_units) == (2, 8)
    assert found.misses == ((1, 0.75),)
    assert sum(one.n_releases for one in found.rounds) == 49
    with pytest.raises(ConfigError, match="no round 4"):
        verify_replay(spec, study, storage, SilentProgress(), rounds=[4])


def test_the_plan_says_how_much_evidence_is_kept(finished: Finished) -> None:
    """To the byte, but for manifests, seeds and noise."""
    root = StudyFiles(finished.storage).root
    kept = [
        path.stat().st_size
        for pattern in ("evidence/*/*", "releases/*", "key-*/hyperplane-*")
        for path in root.glob(pattern)
        if path.name not in (MANIFEST_FILE, NOISE_FILE, SEED_FILE)
    ]
    assert sum(kept) == study_plan(finished.nodes.spec).circuit.kept_bytes()
    assert sum(path.stat().st_size for path in root.glob("evidence/*/manifest.json")) < 50_000


# --- evidence that is not what was committed to (steps 1 to 3) -------------------------------


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("kind", "item"),
    [(BlobKind.PUBLIC_KEY, 0), (BlobKind.RELINEARISATION_KEYS, 0), (BlobKind.HYPERPLANE, 0)],
)
def test_a_changed_key_or_hyperplane_is_named(forger: Forger, kind: BlobKind, item: int) -> None:
    name = BlobName(kind, LLOYD if kind is BlobKind.HYPERPLANE else 0, item)
    damage(forger.files.path(forger.roster.key, name))
    with pytest.raises(EvidenceError, match=f"{name} of key-keeper is not what"):
        replayed(forger)


def test_a_swapped_upload_is_named(forger: Forger) -> None:
    party = Caller("party-b", Role.PARTY)
    one, other = (forger.files.path(party, BlobName(BlobKind.FEATURE, part=j)) for j in (0, 1))
    forger.write(one, other.read_bytes())
    with pytest.raises(EvidenceError, match="feature-00000-000 of party-party-b is not what"):
        replayed(forger)


def test_a_missing_file_and_one_of_another_size_are_named(forger: Forger) -> None:
    path = forger.files.release_path(BlobName(BlobKind.RELEASE, LLOYD, 3))
    forger.write(path, path.read_bytes() + b"x")
    with pytest.raises(EvidenceError, match=r"release-0002-00003 of releases has \d+ bytes"):
        replayed(forger)
    path.unlink()
    with pytest.raises(EvidenceError, match="the evidence lacks release-0002-00003"):
        replayed(forger)


def test_a_seed_that_is_not_the_committed_one_is_named(forger: Forger) -> None:
    seed = secrets.token_bytes(64)
    forger.write(forger.files.evidence_folder(LLOYD) / SEED_FILE, seed)
    with pytest.raises(EvidenceError, match="round 2: the seed is not the one") as raised:
        replayed(forger)
    assert seed.hex() not in str(raised.value)


def test_a_partial_sum_that_is_not_in_the_manifest_is_named(forger: Forger) -> None:
    folder = forger.files.evidence_folder(LLOYD)
    forger.write(folder / "sum-1-0-2", (folder / "sum-1-1-2").read_bytes())
    with pytest.raises(EvidenceError, match="round 2: the partial sum sum-1-0-2 is not what"):
        replayed(forger)


def test_a_manifest_that_was_not_committed_is_named(forger: Forger) -> None:
    done = forger.study.rounds[MOMENTS]
    forger._commit(MOMENTS, releases=done.releases[::-1])
    with pytest.raises(EvidenceError, match="round 1: the log has other releases"):
        replayed(forger)
    rounds = [*forger.study.rounds]
    rounds[MOMENTS] = done
    forger.study = replace(forger.study, rounds=tuple(rounds))
    with pytest.raises(EvidenceError, match="the manifest of round 1 is not the one"):
        replayed(forger)


# --- other work than agreed (step 4) ---------------------------------------------------------


def zeros_like(blob: bytes) -> bytes:
    return blob[:24] + bytes(len(blob) - 24)


@pytest.mark.parametrize(
    ("index", "name", "unit"),
    [(LLOYD, "sum-0-1-4", "blocks-1-1"), (ADMISSION, "party-1-0-power-3", "party-1-0")],
)
def test_a_party_left_out_of_a_sum_is_found(
    forger: Forger, index: int, name: str, unit: str
) -> None:
    """Its partial sum is one of zeros, and everything after it fits."""
    path = forger.files.evidence_folder(index) / name
    forger.write_partial(index, name, zeros_like(path.read_bytes()))
    for item, one in enumerate(forger.sums(index)):
        if path in one.partials:
            forger.release_again(index, item)
    with pytest.raises(ReplayError, match=f"round {index}, unit {unit}: the partial sum {name} is"):
        replayed(forger, index, sample=None)
    replayed(forger, MOMENTS)


def test_a_partial_sum_of_other_ciphertexts_is_found(forger: Forger) -> None:
    """A cluster gets the weighted sum of another feature."""
    folder = forger.files.evidence_folder(PROFILE)
    forger.write_partial(PROFILE, "sum-0-0-0", (folder / "sum-0-0-1").read_bytes())
    forger.release_again(PROFILE, 0)
    with pytest.raises(ReplayError, match="round 3, unit blocks-0-0: the partial sum sum-0-0-0"):
        replayed(forger, PROFILE, sample=None)


# --- other releases than agreed (step 5) -----------------------------------------------------


def forge_without_a_block(forger: Forger) -> None:
    total = forger.total(forger.sums(LLOYD)[0].partials[:1])
    forger.write_release(LLOYD, 0, forger.masked(LLOYD, 0, total))


def forge_one_record(forger: Forger) -> None:
    """One record's feature instead of the sum of all, masked as agreed."""
    worker, slots = forger.worker, forger.parameters.slots
    upload = forger.uploads.blocks[0].load_features(worker, 1)[0]
    one_hot = np.zeros(slots, np.complex128)
    one_hot[17] = 1.0
    agreed = forger.total(forger.sums(LLOYD)[0].partials).scale
    scale = agreed * forger.parameters.top_prime(1) / upload.scale
    only = worker.circuit.rescale(worker.circuit.multiply_plain(upload, one_hot, scale))
    total = worker.circuit.with_scale(only, agreed)
    forger.write_release(LLOYD, 0, forger.masked(LLOYD, 0, total))


def forge_swapped(forger: Forger) -> None:
    one, other = forger.release(LLOYD, 0), forger.release(LLOYD, 1)
    forger.write_release(LLOYD, 0, other)
    forger.write_release(LLOYD, 1, one)


def forge_from_another_round(forger: Forger) -> None:
    forger.write_release(LLOYD, 0, forger.release(PROFILE, 0))


def forge_without_mask(forger: Forger) -> None:
    _, uniform = forger.randomness(LLOYD, 0)
    primes = np.array(forger.parameters.primes[:2], np.uint64)[:, None]

    def unmask(residues: np.ndarray) -> np.ndarray:
        residues[0] += primes - uniform
        return residues

    forger.repacked(LLOYD, 0, unmask)


def forge_without_randomisation(forger: Forger) -> None:
    zero, _ = forger.randomness(LLOYD, 0)
    primes = np.array(forger.parameters.primes[:2], np.uint64)[None, :, None]
    forger.repacked(LLOYD, 0, lambda residues: residues + primes - zero)


def forge_another_label(forger: Forger) -> None:
    """The mask of another release of the round: the key node could take one from the other."""
    total = forger.total(forger.sums(LLOYD)[0].partials)
    forger.write_release(LLOYD, 0, forger.masked(LLOYD, 1, total))


def forge_noise_elsewhere(forger: Forger) -> None:
    """A multiple of a monomial is added, not of 1."""
    rows = [
        monomial(forger.parameters.poly_modulus_degree, q) for q in forger.parameters.primes[:2]
    ]

    def moved(residues: np.ndarray) -> np.ndarray:
        residues[0] += np.array(rows, np.uint64)
        return residues

    forger.repacked(LLOYD, 0, moved)


def monomial(degree: int, prime: int) -> np.ndarray:
    """NTT values of ±X^j for some j > 0: odd powers of a 2N-th root, in bit-reversed order."""
    candidates = (pow(c, (prime - 1) // (2 * degree), prime) for c in range(2, 1000))
    root = next(r for r in candidates if pow(r, degree, prime) == prime - 1)
    bits = degree.bit_length() - 1
    order = [int(format(i, f"0{bits}b")[::-1], 2) for i in range(degree)]
    return np.array([pow(root, 2 * i + 1, prime) for i in order], np.uint64)


SECOND, MORE = "another second polynomial", "more than the constant coefficient"


@pytest.mark.parametrize(
    ("forge", "reason"),
    [
        (forge_without_a_block, SECOND),
        (forge_one_record, SECOND),
        (forge_swapped, SECOND),
        (forge_from_another_round, SECOND),
        (forge_without_randomisation, SECOND),
        (forge_another_label, SECOND),
        (forge_without_mask, MORE),
        (forge_noise_elsewhere, MORE),
    ],
)
def test_a_release_that_is_not_the_agreed_sum_is_found(forger: Forger, forge, reason: str) -> None:
    forge(forger)
    with pytest.raises(ReplayError, match=f"round 2: release-0002-00000 .*{reason}"):
        replayed(forger, LLOYD)


# --- other noise than agreed (step 6) --------------------------------------------------------


def test_noise_that_was_halved_in_every_round_is_found(forger: Forger) -> None:
    for index in (ADMISSION, MOMENTS, LLOYD, PROFILE):
        forger.with_drawn_noise(index, 0.5)
    with pytest.raises(ReplayError, match=r"the noise has 0\.[456]\d* times the agreed"):
        replayed(forger)


def test_noise_that_was_doubled_in_every_round_is_found(forger: Forger) -> None:
    for index in (ADMISSION, MOMENTS, LLOYD, PROFILE):
        forger.with_drawn_noise(index, 2.0)
    with pytest.raises(ReplayError, match=r"the noise has [12]\.?\d* times the agreed|7 standard"):
        replayed(forger)


def test_a_round_without_its_noise_is_found(forger: Forger) -> None:
    forger.with_drawn_noise(LLOYD, 0.0)
    with pytest.raises(ReplayError, match="round 2: the noise has 0 times the agreed"):
        replayed(forger)


def test_a_single_release_without_its_noise_is_found(forger: Forger) -> None:
    total = forger.total(forger.sums(LLOYD)[4].partials)
    forger.write_release(LLOYD, 4, forger.masked(LLOYD, 4, total))
    with pytest.raises(ReplayError, match="round 2: the noise was left out of a release"):
        replayed(forger, LLOYD)


def test_a_message_hidden_in_the_noise_is_found(forger: Forger) -> None:
    total = forger.total(forger.sums(LLOYD)[4].partials)
    forger.write_release(LLOYD, 4, forger.masked(LLOYD, 4, total, 2**56))
    with pytest.raises(ReplayError, match="release-0002-00004 is off the agreed sum"):
        replayed(forger, LLOYD)
