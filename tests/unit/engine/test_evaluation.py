"""Whole rounds on real worker processes, real keys and real ciphertexts."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from mpcseg.ckks.assignment import start_level
from mpcseg.ckks.encryption import BlockEncryptor
from mpcseg.ckks.packing import allot_slots, pack_blocks
from mpcseg.ckks.parameters import ParameterSet
from mpcseg.ckks.secret import SecretKey
from mpcseg.engine import Block, BlockFiles, Engine, RoundWork, release_scales
from mpcseg.errors import BlobTooLargeError, MalformedBlobError, ProtocolError, WorkerError
from mpcseg.reference.rounds import RoundKind
from mpcseg.reference.sign import sign_for

SIGN = (7, 7)
PARAMETERS = ParameterSet(16384, 8)
N_RECORDS, D, K = 300, 2, 2


class Study:
    """A key, some uploaded blocks and the clear records to compare with."""

    def __init__(self, folder: Path, n_blocks: int = 3) -> None:
        self.folder = folder
        self.secret = SecretKey(PARAMETERS)
        self.public, self.relinearisation = folder / "public", folder / "relinearisation"
        self.public.write_bytes(self.secret.public_key())
        self.relinearisation.write_bytes(self.secret.relinearisation_keys())
        rng = np.random.default_rng(2)
        encryptor = BlockEncryptor(PARAMETERS, self.public.read_bytes())
        self.records = rng.uniform(-1, 1, (n_blocks, N_RECORDS, D))
        self.blocks = []
        for number, records in enumerate(self.records):
            (block,) = pack_blocks(records, PARAMETERS.slots)
            files = self.write(f"block-{number}", encryptor.encrypt(block))
            self.blocks.append(Block((BlockFiles(tuple(files[:-1]), files[-1]),)))
        self.plane = np.array([0.5, -0.3, 0.1])

    def write(self, name: str, blobs) -> list[Path]:
        files = []
        for index, blob in enumerate(blobs):
            files.append(self.folder / f"{name}-{index}")
            files[-1].write_bytes(blob)
        return files

    async def hyperplane(self) -> Sequence[Path]:
        level = start_level(K, SIGN)
        return self.write("plane", self.secret.encrypt_hyperplane(self.plane, level))

    def work(self, kind: str, index: int = 1) -> RoundWork:
        if kind == "moments":
            return RoundWork("moments", index, (), K, self.blocks)
        return RoundWork(kind, index, SIGN, K, self.blocks, [self.hyperplane()])

    def expected(self, kind: str) -> np.ndarray:
        x = self.records.reshape(-1, D)
        if kind == "moments":
            second = (x.T @ x)[np.triu_indices(D)]
            return np.concatenate([[len(x)], x.sum(axis=0), second])
        s = sign_for(SIGN)(x @ self.plane[:-1] + self.plane[-1])
        weights = np.array([(1 + s) / 2, (1 - s) / 2])
        columns = [x, np.ones((len(x), 1))] + ([x**2] if kind == "profile" else [])
        return (weights @ np.hstack(columns)).ravel()

    @property
    def evidence(self) -> Path:
        return self.folder / "evidence"

    def decrypt(self, blobs: list[bytes], kind: RoundKind) -> np.ndarray:
        sign = () if kind == "moments" else SIGN
        scales = release_scales(
            PARAMETERS, kind, sign, n_clusters=K, n_features=D, n_parties=len(self.blocks)
        )
        decrypt = self.secret.decrypt_slot_sum
        return np.array([decrypt(*release) for release in zip(blobs, scales, strict=True)])


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return Study(tmp_path_factory.mktemp("study"))


def run_on_engine(study: Study, action: Callable, workers: int = 2):
    async def run():
        engine = Engine(PARAMETERS, study.folder / "scratch", workers)
        await engine.start(study.public, study.relinearisation)
        try:
            return await action(engine)
        finally:
            engine.close()

    return asyncio.run(run())


def test_all_kinds_of_round(study: Study) -> None:
    async def action(engine: Engine) -> None:
        for kind in ("moments", "lloyd", "profile"):
            steps: list[tuple[int, int]] = []
            work = study.work(kind)
            done = await engine.run_round(
                work, study.evidence, lambda *step, seen=steps: seen.append(step)
            )
            found = study.decrypt(done.blobs, kind)
            assert np.abs(found - study.expected(kind)).max() < 0.01, kind
            assert steps[-1] == (work.n_tasks, work.n_tasks)
            assert [finished for finished, _ in steps] == list(range(1, work.n_tasks + 1))
        assert engine.worker_restarts == 0
        assert engine.peak_rss_mb > 100
        assert not list((study.folder / "scratch").iterdir()), "intermediates stay behind"

    run_on_engine(study, action)


def test_a_killed_worker_costs_a_task_not_the_round(study: Study) -> None:
    async def action(engine: Engine) -> None:
        def kill_once(done: int, _total: int) -> None:
            if done == 1:
                os.kill(engine.worker_pids[0], signal.SIGKILL)

        done = await engine.run_round(study.work("lloyd"), study.evidence, kill_once)
        assert np.abs(study.decrypt(done.blobs, "lloyd") - study.expected("lloyd")).max() < 0.01
        assert engine.worker_restarts == 1
        engine.close()
        assert engine.worker_restarts == 1, "the node reads it in the end"

    run_on_engine(study, action)


def test_a_worker_that_always_dies_ends_the_round_in_words(study: Study) -> None:
    async def action(engine: Engine) -> None:
        async def kill_all() -> None:
            while True:
                for pid in engine.worker_pids:
                    os.kill(pid, signal.SIGKILL)
                await asyncio.sleep(0.05)

        killer = asyncio.create_task(kill_all())
        try:
            with pytest.raises(WorkerError, match="died 3 times"):
                await engine.run_round(study.work("lloyd"), study.evidence, lambda *_: None)
        finally:
            killer.cancel()

    run_on_engine(study, action, workers=1)


def test_a_damaged_block_ends_the_round_with_its_own_error(study: Study) -> None:
    async def action(engine: Engine) -> None:
        (upload,) = study.blocks[1].uploads
        good = upload.features[0]
        bad = study.folder / "damaged"
        bad.write_bytes(good.read_bytes()[:-4] + b"\xff\xff\xff\xff")
        blocks = [study.blocks[0], Block((BlockFiles((bad, good), upload.presence),))]
        work = RoundWork("lloyd", 1, SIGN, K, blocks, [study.hyperplane()])
        with pytest.raises(MalformedBlobError):
            await engine.run_round(work, study.evidence, lambda *_: None)
        done = await engine.run_round(study.work("lloyd"), study.evidence, lambda *_: None)
        assert np.abs(study.decrypt(done.blobs, "lloyd") - study.expected("lloyd")).max() < 0.01

    run_on_engine(study, action)


def test_parties_that_share_a_block_cost_one_and_change_nothing(
    study: Study, tmp_path: Path
) -> None:
    """The same records in three blocks and in three ranges of one block: the same sums."""
    ranges = allot_slots([N_RECORDS, N_RECORDS, N_RECORDS], PARAMETERS.slots)
    encryptor = BlockEncryptor(PARAMETERS, study.public.read_bytes())
    uploads = []
    for party, (records, place) in enumerate(zip(study.records, ranges, strict=True)):
        (block,) = pack_blocks(records, PARAMETERS.slots, place)
        files = study.write(f"shared-{party}", encryptor.encrypt(block))
        uploads.append(BlockFiles(tuple(files[:-1]), files[-1]))

    async def action(engine: Engine) -> None:
        for kind in ("moments", "lloyd", "profile"):
            apart = study.work(kind)
            planes = [study.hyperplane()] if apart.hyperplanes else []
            for unused in apart.hyperplanes:
                unused.close()
            work = RoundWork(apart.kind, 1, apart.sign, K, [Block(tuple(uploads))], planes)
            done = await engine.run_round(work, study.evidence, lambda *_: None)
            assert np.abs(study.decrypt(done.blobs, kind) - study.expected(kind)).max() < 0.01, kind

    run_on_engine(study, action)


def test_no_round_before_the_keys(study: Study) -> None:
    engine = Engine(PARAMETERS, study.folder / "scratch", 1)
    with pytest.raises(ProtocolError, match="evaluation keys"):
        asyncio.run(engine.run_round(study.work("moments"), study.evidence, lambda *_: None))


def test_keys_that_are_not_keys_are_refused_at_the_start(study: Study) -> None:
    async def start() -> None:
        engine = Engine(PARAMETERS, study.folder / "scratch", 1)
        try:
            await engine.start(study.relinearisation, study.public)
        finally:
            engine.close()

    with pytest.raises((MalformedBlobError, BlobTooLargeError)):
        asyncio.run(start())
