"""How records are split over parties changes nothing but the last bits: whole encrypted studies."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mpcseg.ckks.assignment import start_level
from mpcseg.ckks.encryption import BlockEncryptor
from mpcseg.ckks.packing import allot_slots, pack_blocks
from mpcseg.ckks.planner import plan_study
from mpcseg.ckks.secret import SecretKey
from mpcseg.engine import Block, BlockFiles, Engine, PartyUploads, RoundWork, release_scales
from mpcseg.study.schedule import RoundRequest, Schedule, StudyResult
from tests.unit.study.clear_study import clear_schedule, run_clear

K, D, N_RECORDS = 3, 2, 240
PLAN = plan_study(n_clusters=K, n_features=D, n_rounds=3)


def make_records() -> np.ndarray:
    rng = np.random.default_rng(8)
    centers = np.array([[-0.5, -0.4], [0.5, -0.2], [0.0, 0.6]])
    return np.clip(
        centers[rng.integers(0, 3, N_RECORDS)] + rng.normal(0, 0.15, (N_RECORDS, D)), -1, 1
    )


def make_schedule(n_parties: int = 1) -> Schedule:
    parties = [f"party-{number}" for number in range(n_parties)]
    return clear_schedule(n_clusters=K, features=["a", "b"], n_rounds=3, parties=parties)


@dataclass
class Lab:
    """Keys and worker processes; every study in it is encrypted from its records to its sums."""

    folder: Path
    secret: SecretKey
    engine: Engine

    def __post_init__(self) -> None:
        self.names = count()

    def write(self, blobs: Sequence[bytes]) -> list[Path]:
        paths = [self.folder / f"blob-{next(self.names)}" for _ in blobs]
        for path, blob in zip(paths, blobs, strict=True):
            path.write_bytes(blob)
        return paths

    def upload(
        self, parts: Sequence[np.ndarray], *, share: bool
    ) -> tuple[list[Block], list[PartyUploads]]:
        encryptor = BlockEncryptor(PLAN.parameters, (self.folder / "public").read_bytes())
        slots = PLAN.parameters.slots
        sizes = [len(part) if share else None for part in parts]
        parties = []
        for part, place in zip(parts, allot_slots(sizes, slots), strict=True):
            uploads = []
            for block in pack_blocks(part, slots, place):
                *features, presence = self.write(list(encryptor.encrypt(block)))
                uploads.append(BlockFiles(tuple(features), presence))
            parties.append(PartyUploads(tuple(uploads), place))
        every = [upload for party in parties for upload in party.uploads]
        blocks = [Block(tuple(every))] if share else [Block((upload,)) for upload in every]
        return blocks, parties

    async def _sums(
        self, request: RoundRequest, blocks: list[Block], parties: list[PartyUploads]
    ) -> np.ndarray:
        async def ready(paths: list[Path]) -> list[Path]:
            return paths

        planes = []
        if request.hyperplanes is not None:
            level = start_level(K, request.sign)
            encrypt = self.secret.encrypt_hyperplane
            planes = [ready(self.write(encrypt(row, level))) for row in request.hyperplanes]
        work = RoundWork(
            request.kind, request.index, request.sign, K, blocks, planes, parties=parties
        )
        done = await self.engine.run_round(work, self.folder / "evidence", lambda *_: None)
        scales = release_scales(
            PLAN.parameters,
            request.kind,
            request.sign,
            n_clusters=K,
            n_features=work.n_features,
            n_parties=len(parties),
        )
        decrypt = self.secret.decrypt_slot_sum
        sums = np.array([decrypt(*pair) for pair in zip(done.blobs, scales, strict=True)])
        return sums.reshape(work.shape)

    def study(self, parts: Sequence[np.ndarray], *, share: bool) -> StudyResult:
        blocks, parties = self.upload(parts, share=share)
        schedule = make_schedule(len(parts))
        while (request := schedule.request()) is not None:
            schedule.receive(asyncio.run(self._sums(request, blocks, parties)))
        return schedule.result()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("lab")
    secret = SecretKey(PLAN.parameters)
    (folder / "public").write_bytes(secret.public_key())
    (folder / "relinearisation").write_bytes(secret.relinearisation_keys())
    engine = Engine(PLAN.parameters, folder / "scratch", 2)
    asyncio.run(engine.start(folder / "public", folder / "relinearisation"))
    yield Lab(folder, secret, engine)
    engine.close()


@settings(
    max_examples=1, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@example(owners=[0] * N_RECORDS, share=False)
@given(
    owners=st.lists(st.integers(0, 2), min_size=N_RECORDS, max_size=N_RECORDS), share=st.booleans()
)
def test_any_split_gives_the_same_segments(lab: Lab, owners: list[int], share: bool) -> None:
    records = make_records()
    of = np.array(owners)
    parts = [records[of == party] for party in range(3) if (of == party).any()]
    found = lab.study(parts, share=share)
    clear = run_clear(make_schedule(), [records], K)
    assert found.n_records == N_RECORDS
    assert np.abs(found.cluster_centers - clear.cluster_centers).max() < 2e-3
    assert np.abs(found.segment_sizes - clear.segment_sizes).max() < 0.2
    assert found.inertia == pytest.approx(clear.inertia, rel=5e-3)
