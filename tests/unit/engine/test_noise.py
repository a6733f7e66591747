"""The noise as it is really added to ciphertexts: its distribution, and that nothing else changes.

The same total is released under the same seed and label with and without noise; both are decrypted
with the real key, and what they differ by is the noise, to the last unit. ``--capture=no`` prints
the figures.
"""

from __future__ import annotations

import itertools
import logging
import pickle
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from mpcseg.ckks.encryption import BlockEncryptor, feature_shape
from mpcseg.ckks.packing import pack_blocks
from mpcseg.ckks.parameters import BOTTOM_PRIMES, TARGET_SCALE, ParameterSet
from mpcseg.ckks.secret import SecretKey
from mpcseg.ckks.serialization import plaintext_residues, residues_of, unpack_ciphertext
from mpcseg.ckks.slot_sum import SLOT_SUM_SHAPE, own_noise, slot_sum_units, units_per_sum
from mpcseg.engine import draw_noise, secrets_of_round
from mpcseg.engine.round_secrets import NOISE_FILE, SEED_FILE
from mpcseg.engine.tasks import ReleaseTask
from mpcseg.engine.worker import TaskReport, Worker
from mpcseg.errors import StorageError
from mpcseg.privacy.noise import draw
from tests.unit.ckks.polynomials import coefficients

PARAMETERS = ParameterSet(16384, 1)
UNITS = units_per_sum(PARAMETERS, TARGET_SCALE)
LEAST = 1e-6
"""P-value below which a test fails: once in a million runs if all is well."""

FINE, COARSE = 2.5, 30.0 * UNITS
"""Standard deviations in integer units: so small that single integers show, and as in a study."""

N_COLUMNS, N_TASKS = 60, 8


@dataclass(frozen=True)
class Lab:
    """A worker in this process, the secret key, and a sum over some records, ready for release."""

    folder: Path
    secret: SecretKey
    worker: Worker
    records: np.ndarray
    total: Path

    def task(self, stds: tuple[float, ...], number: int = 0) -> ReleaseTask:
        """Releases the one total, once for each std, under a label of its own."""
        names = [f"release-{number}-{column}" for column in range(len(stds))]
        return ReleaseTask(
            partials=((self.total,),) * len(stds),
            outputs=tuple(self.folder / name for name in names),
            labels=tuple(names),
            noise=draw_noise(PARAMETERS, stds, (TARGET_SCALE,) * len(stds)),
            seed=bytes(range(64)),
        )

    def run(self, task: ReleaseTask) -> list[bytes]:
        task.run(self.worker)
        return [path.read_bytes() for path in task.outputs]

    def polynomial(self, blob: bytes) -> np.ndarray:
        """NTT residues of the decrypted polynomial, shape (2, N)."""
        import tenseal.sealapi as seal  # noqa: PLC0415

        plain = seal.Plaintext()
        loaded = unpack_ciphertext(PARAMETERS, blob, SLOT_SUM_SHAPE)
        self.secret._key.decryptor.decrypt(loaded.payload, plain)
        return plaintext_residues(PARAMETERS, plain, BOTTOM_PRIMES)

    def units(self, blob: bytes) -> int:
        return slot_sum_units(PARAMETERS, self.polynomial(blob))

    def noises(self, stds: tuple[float, ...], number: int) -> list[int]:
        """The integer noise of each column, read off the ciphertexts."""
        noised = self.run(self.task(stds, number))
        plain = self.run(self.task((0.0,) * len(stds), number))
        return [self.units(a) - self.units(b) for a, b in zip(noised, plain, strict=True)]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    folder = tmp_path_factory.mktemp("noise")
    secret = SecretKey(PARAMETERS)
    public, relinearisation = secret.public_key(), secret.relinearisation_keys()
    worker = Worker(PARAMETERS, public, relinearisation)
    records = np.random.default_rng(0).uniform(-1, 1, (200, 1))
    (block,) = pack_blocks(records, PARAMETERS.slots)
    feature, _ = BlockEncryptor(PARAMETERS, public).encrypt(block)
    loaded = unpack_ciphertext(PARAMETERS, feature, feature_shape(PARAMETERS))
    total = folder / "total"
    worker.save_partial(worker.circuit.lower(loaded, 0), total)
    return Lab(folder, secret, worker, records, total)


@pytest.fixture(scope="module")
def drawn(lab: Lab) -> dict[float, np.ndarray]:
    """Noise of fine and coarse columns in turn, shape (tasks, columns / 2) each."""
    stds = (FINE / UNITS, COARSE / UNITS) * (N_COLUMNS // 2)
    found = np.array([lab.noises(stds, number) for number in range(N_TASKS)], np.int64)
    return {FINE: found[:, 0::2], COARSE: found[:, 1::2]}


def discrete_gaussian(std: float, values: np.ndarray) -> np.ndarray:
    """Probabilities of integers, computed here from the definition."""
    support = np.arange(-60, 61)
    total = np.exp(-(support**2) / (2 * std**2)).sum()
    return np.exp(-(values**2) / (2 * std**2)) / total


def chi_squared_fine(noises: np.ndarray) -> float:
    """Integers from -5 to 5, with both tails in the outermost cells."""
    inner = np.arange(-4, 5)
    counts = [(noises < -4).sum(), *[(noises == v).sum() for v in inner], (noises > 4).sum()]
    probabilities = discrete_gaussian(FINE, inner)
    tail = (1 - probabilities.sum()) / 2
    expected = np.array([tail, *probabilities, tail]) * noises.size
    return float(stats.chisquare(counts, expected).pvalue)


def chi_squared_coarse(noises: np.ndarray, std: float) -> float:
    """Twelve cells of equal probability; units are far finer than cells."""
    cells = np.floor(stats.norm.cdf(noises / std) * 12).astype(int)
    return float(stats.chisquare(np.bincount(cells, minlength=12)).pvalue)


def test_noise_on_ciphertexts_has_the_discrete_gaussian_distribution(
    drawn: dict[float, np.ndarray],
) -> None:
    fine, coarse = drawn[FINE].ravel(), drawn[COARSE].ravel()
    p_fine, p_coarse = chi_squared_fine(fine), chi_squared_coarse(coarse, COARSE)
    for name, noises, std, p in (
        ("fine", fine, FINE, p_fine),
        ("coarse", coarse, COARSE, p_coarse),
    ):
        print(  # noqa: T201
            f"{name}: {noises.size} releases, agreed std {std:.4g} units, "
            f"measured {noises.std():.4g}, mean {noises.mean():.3g}, chi-squared p = {p:.3f}"
        )
    assert p_fine > LEAST
    assert p_coarse > LEAST


def test_the_chi_squared_tests_notice_another_width(drawn: dict[float, np.ndarray]) -> None:
    """Noise of the half or of twice the size fails; else the test above would prove nothing."""
    for factor in (0.5, 2):
        assert chi_squared_coarse((drawn[COARSE] * factor).ravel(), COARSE) < LEAST
        rounded = np.round(drawn[FINE] * factor).ravel()
        assert chi_squared_fine(rounded) < LEAST


def test_columns_and_rounds_are_independent(drawn: dict[float, np.ndarray]) -> None:
    coarse = drawn[COARSE] / COARSE
    assert len(np.unique(drawn[COARSE])) == coarse.size, "no draw is used twice"
    flat = coarse.ravel()
    lagged = stats.pearsonr(flat[:-1], flat[1:]).pvalue
    between = stats.pearsonr(coarse[0::2].ravel(), coarse[1::2].ravel()).pvalue
    neighbours = stats.pearsonr(coarse.ravel(), (drawn[FINE] / FINE).ravel()).pvalue
    print(f"correlations, p: {lagged:.3f} {between:.3f} {neighbours:.3f}")  # noqa: T201
    assert min(lagged, between, neighbours) > LEAST


def test_the_sum_comes_out_with_its_noise_in_units_of_the_sum(lab: Lab) -> None:
    stds = (0.0, 1e6)
    blobs = lab.run(lab.task(stds, 90))
    exact, noised = (lab.secret.decrypt_slot_sum(blob, TARGET_SCALE) for blob in blobs)
    assert exact == pytest.approx(lab.records.sum(), abs=1e-3)
    # Far more than the errors of encryption by which any two releases differ.
    assert 1 < abs(noised - exact) < 1e7


@pytest.mark.parametrize("noise", [1, -1, 12345, -(2**40), 2**55, -(2**60)])
def test_noise_of_either_sign_and_any_size_is_added_exactly(lab: Lab, noise: int) -> None:
    total = lab.worker.load_partial(lab.total)
    seed = bytes(64)
    plain, noised = (lab.worker.mask.release(total, seed, "sum", n) for n in (0, noise))
    assert lab.units(noised) - lab.units(plain) == noise
    before, after = (
        residues_of(PARAMETERS, unpack_ciphertext(PARAMETERS, b, SLOT_SUM_SHAPE).payload.save)
        for b in (plain, noised)
    )
    assert np.array_equal(before[1], after[1]), "the second polynomial is untouched"
    primes = np.array(PARAMETERS.primes[:BOTTOM_PRIMES], np.int64)[:, None]
    difference = (after[0].astype(np.int64) - before[0].astype(np.int64)) % primes
    assert np.array_equal(difference, np.broadcast_to(noise % primes, difference.shape))


def test_no_other_coefficient_shows_anything(lab: Lab) -> None:
    """Uniform modulo each prime, with noise as without."""
    for blob in lab.run(lab.task((30.0,) * 3, 91)):
        for row, prime in zip(lab.polynomial(blob), PARAMETERS.primes, strict=False):
            others = coefficients(row, prime)[1:]
            cells = (others.astype(np.float64) * 256 / prime).astype(int)
            assert stats.chisquare(np.bincount(cells, minlength=256)).pvalue > LEAST


def test_a_task_that_runs_again_writes_the_same_release(lab: Lab) -> None:
    """A second draw of one sum would show more of it than was paid for."""
    task = lab.task((30.0,) * 4, 92)
    first, again = (lab.run(task) for _ in range(2))
    assert first == again


def test_another_round_draws_again(lab: Lab) -> None:
    first, again = (lab.task((30.0,) * 4, number).noise for number in (97, 98))
    assert not set(first) & set(again)


def test_a_rounds_seed_and_noise_are_drawn_once(tmp_path: Path) -> None:
    """Whatever process asks: those that were drawn are there, for this user alone."""
    folder = tmp_path / "evidence" / "round-0002"
    draws = iter([(1, -2, 2**55), (4, 5, 6)])
    first = secrets_of_round(folder, lambda: next(draws))
    assert first.noise == (1, -2, 2**55)
    assert len(first.seed) == 64
    assert secrets_of_round(folder, lambda: next(draws)) == first
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert str(first.noise[2]) not in repr(first)
    assert secrets_of_round(tmp_path / "evidence" / "other", lambda: next(draws)).seed != first.seed


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (SEED_FILE, b"short"),
        (NOISE_FILE, b"[1, 2"),
        (NOISE_FILE, b"[1.5]"),
        (NOISE_FILE, b"[true]"),
        (NOISE_FILE, b"{}"),
        (NOISE_FILE, b"[9223372036854775808]"),
    ],
)
def test_damaged_secrets_are_never_drawn_anew(tmp_path: Path, name: str, content: bytes) -> None:
    folder = tmp_path / "evidence" / "round-0002"
    secrets_of_round(folder, lambda: (1, 2))
    (folder / name).write_bytes(content)
    with pytest.raises(StorageError, match=f"{name} is damaged"):
        secrets_of_round(folder, lambda: (3, 4))
    assert (folder / name).read_bytes() == content


def test_noise_is_told_to_nobody(lab: Lab, caplog: pytest.LogCaptureFixture, capfd) -> None:
    """The task for a worker does not show it, and what comes back has no place for it."""
    task = lab.task((30.0,) * 3, 93)
    sent = pickle.dumps(task)
    with caplog.at_level(logging.DEBUG):
        assert task.run(lab.worker) is None
    assert pickle.dumps(task) == sent
    assert {field.name for field in TaskReport.__dataclass_fields__.values()} == {
        "worker",
        "peak_rss_mb",
        "digests",
    }
    assert not caplog.records
    assert capfd.readouterr() == ("", "")
    assert "seed" not in repr(task)
    assert all(str(noise) not in repr(task) for noise in task.noise)


def test_the_key_nodes_own_draw_comes_on_top(lab: Lab) -> None:
    """Of the agreed distribution, and an integer in units of the sum."""
    (blob,) = lab.run(lab.task((0.0,), 94))
    exact = lab.units(blob)

    def drawn(std: float) -> np.ndarray:
        decrypt = lab.secret.decrypt_slot_sum
        noise = (own_noise(PARAMETERS, TARGET_SCALE, std / UNITS) for _ in range(800))
        own = [decrypt(blob, TARGET_SCALE, one) for one in noise]
        return np.array(own) * UNITS - exact

    draws = drawn(FINE)
    np.testing.assert_allclose(draws, np.round(draws), atol=1e-6)
    p_fine = chi_squared_fine(np.round(draws))
    p_coarse = chi_squared_coarse(drawn(COARSE), COARSE)
    print(f"the key node's own draw: chi-squared p = {p_fine:.3f}, {p_coarse:.3f}")  # noqa: T201
    assert min(p_fine, p_coarse) > LEAST
    assert lab.secret.decrypt_slot_sum(blob, TARGET_SCALE) == exact / UNITS


def test_a_release_asks_for_the_agreed_noise_in_integer_units(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the last digit, which no test of a distribution could tell."""
    asked: list[float] = []

    def watched(std: float) -> int:
        asked.append(std)
        return draw(std)

    monkeypatch.setattr("mpcseg.engine.round_secrets.draw", watched)
    stds = (0.0, 3.0, 30.0)
    lab.task(stds, 96)
    assert asked == pytest.approx([std * UNITS for std in stds], rel=1e-9)


def test_every_column_gets_its_own_std(lab: Lab) -> None:
    """A std of 0 is no noise; sizes follow the columns."""
    stds = (0.0, 1.0, 1e6)
    task = lab.task(stds, 95)
    plain = [lab.units(blob) for blob in lab.run(replace(task, noise=(0,) * 3))]
    noised = [lab.units(blob) for blob in lab.run(task)]
    sizes = [abs(a - b) / UNITS for a, b in zip(noised, plain, strict=True)]
    assert sizes[0] == 0
    assert 0 < sizes[1] < 10 < sizes[2]
    assert all(a != b for a, b in itertools.combinations(sizes, 2))
