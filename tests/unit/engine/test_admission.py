"""A whole admission round on worker processes: the one hostile party stands out, no other one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mpcseg.ckks.packing import SlotRange
from mpcseg.ckks.parameters import ParameterSet
from mpcseg.ckks.slot_sum import SEED_BYTES
from mpcseg.engine import BlockFiles, Engine, PartyUploads, RoundWork, draw_noise, release_scales
from tests.unit.ckks.admitted import encrypt_rows, honest_rows, largest_limits
from tests.unit.ckks.conftest import Keys, make_keys

__all__ = ["make_keys"]
"""The fixture, which pytest finds here."""

PARAMETERS = ParameterSet(16384, 9)
D = 2
SHARED = {"birch": SlotRange(0, 0, 500), "cedar": SlotRange(0, 500, 300)}
"""The third party has two blocks of its own."""


class Study:
    """Keys, and files of uploads."""

    def __init__(self, folder: Path, keys: Keys) -> None:
        self.folder = folder
        self.keys = keys
        self.public, self.relinearisation = folder / "public", folder / "relinearisation"
        self.public.write_bytes(keys.public_bytes)
        self.relinearisation.write_bytes(keys.relinearisation_bytes)
        rng = np.random.default_rng(0)
        self.rows = {
            "birch": [honest_rows(rng, PARAMETERS.slots, D, 400)],
            "cedar": [np.roll(honest_rows(rng, PARAMETERS.slots, D, 300), 500, axis=1)],
            "doris": [honest_rows(rng, PARAMETERS.slots, D, n) for n in (8192, 5000)],
        }
        self.files = {
            name: [self.upload(f"{name}-{i}", rows) for i, rows in enumerate(blocks)]
            for name, blocks in self.rows.items()
        }

    def upload(self, name: str, rows: np.ndarray) -> BlockFiles:
        paths = []
        for index, blob in enumerate(encrypt_rows(self.keys, rows)):
            paths.append(self.folder / f"{name}-{index}")
            paths[-1].write_bytes(blob)
        return BlockFiles(tuple(paths[:-1]), paths[-1])

    def work(self, *, std: float = 1.0, **changes: list[BlockFiles]) -> RoundWork:
        return self.work_of(
            [
                PartyUploads(tuple(changes.get(name, files)), SHARED.get(name))
                for name, files in self.files.items()
            ],
            std,
        )

    @staticmethod
    def work_of(parties: list[PartyUploads], std: float) -> RoundWork:
        seed = b"fixed as" * (SEED_BYTES // 8)
        work = RoundWork("admission", 0, (), 2, [], parties=parties, seed=seed)
        scales = Study.scales(work)
        return replace(work, noise=draw_noise(PARAMETERS, [std] * len(scales), scales))

    @staticmethod
    def scales(work: RoundWork) -> list[float]:
        return release_scales(
            PARAMETERS,
            "admission",
            (),
            n_clusters=2,
            n_features=D,
            n_parties=len(work.parties),
            radius=work.radius,
        )

    def decrypt(self, work: RoundWork, blobs: list[bytes]) -> np.ndarray:
        scales = self.scales(work)
        decrypt = self.keys.secret.decrypt_slot_sum
        values = [decrypt(*release) for release in zip(blobs, scales, strict=True)]
        return np.array(values).reshape(-1, 3)


@pytest.fixture(scope="module")
def study(
    tmp_path_factory: pytest.TempPathFactory, make_keys: Callable[[ParameterSet], Keys]
) -> Study:
    return Study(tmp_path_factory.mktemp("admission"), make_keys(PARAMETERS))


@pytest.fixture(scope="module")
def run(study: Study) -> Iterator[Callable[[RoundWork], np.ndarray]]:
    runner = asyncio.Runner()
    engine = Engine(PARAMETERS, study.folder / "scratch", 2)
    runner.run(engine.start(study.public, study.relinearisation))

    def run_round(work: RoundWork) -> np.ndarray:
        steps: list[tuple[int, int]] = []
        began = time.perf_counter()
        evidence = study.folder / "evidence"
        done = runner.run(engine.run_round(work, evidence, lambda *step: steps.append(step)))
        seconds = time.perf_counter() - began
        assert steps[-1] == (work.n_tasks, work.n_tasks)
        found = study.decrypt(work, done.blobs)
        print(f"\n{seconds:.2f} s with two workers\n{np.array2string(found, precision=1)}")  # noqa: T201
        return found

    yield run_round
    engine.close()
    runner.close()


def limits() -> np.ndarray:
    return np.array([largest_limits(n, PARAMETERS.slots, D) for n in (1, 1, 2)])


def test_honest_parties_pass(study: Study, run: Callable[[RoundWork], np.ndarray]) -> None:
    assert (np.abs(run(study.work())) < limits() / 3).all()


def test_an_agreed_radius_changes_no_scale(
    study: Study, run: Callable[[RoundWork], np.ndarray]
) -> None:
    """One party of one block, whose norms are below the radius by nothing to speak of."""
    birch = study.work_of([PartyUploads(tuple(study.files["birch"]), SHARED["birch"])], 1.0)
    bounded = replace(birch, radius=1.4)
    assert bounded.bounds_norm
    assert (np.abs(run(bounded)) < limits()[:1]).all()


def test_a_hostile_party_alone_stands_out(
    study: Study, run: Callable[[RoundWork], np.ndarray]
) -> None:
    """A coordinate outside in doris's second block, and cedar in birch's slots."""
    outside = study.rows["doris"][1].copy()
    outside[1, 77] = -1.05
    intruder = study.rows["cedar"][0].copy()
    intruder[0, 499], intruder[D, 499] = 0.3, 1.0
    first, _ = study.files["doris"]
    found = run(
        study.work(
            doris=[first, study.upload("outside", outside)],
            cedar=[study.upload("intruder", intruder)],
        )
    )
    over = np.abs(found) > limits()
    assert over.tolist() == [
        [False, False, False],  # birch
        [False, True, False],  # cedar: presence
        [True, False, False],  # doris: bounds
    ]


def test_the_round_follows_from_its_seed_but_for_its_noise(
    study: Study, run: Callable[[RoundWork], np.ndarray]
) -> None:
    birch = [PartyUploads(tuple(study.files["birch"]), SHARED["birch"])]
    first, second = (run(study.work_of(birch, 0.0)) for _ in range(2))
    assert np.array_equal(first, second)
    noised, again = (run(study.work_of(birch, 1.0)) for _ in range(2))
    assert len(set(np.concatenate([first, noised, again]).ravel())) == 9, "noise is drawn anew"
