"""The key node's real view: the real engine on real ciphertexts, decrypted with the real key."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mpcseg.ckks.assignment import start_level
from mpcseg.ckks.encryption import BlockEncryptor
from mpcseg.ckks.packing import pack_blocks
from mpcseg.ckks.planner import plan_study
from mpcseg.ckks.secret import SecretKey
from mpcseg.engine import (
    Block,
    BlockFiles,
    Engine,
    PartyUploads,
    RoundWork,
    draw_noise,
    release_scales,
)
from tests.adversarial.studies import Answer, Design, KeyNode, run_schedule
from tests.adversarial.views import Release, View

Array = NDArray[np.float64]


class EncryptedStudy:
    """Keys, and one block of records, for studies of one design.

    Args:
        records: of all parties, shape (n, d).
        design: of the study.
        folder: for everything that the compute node has.
    """

    def __init__(self, records: Array, design: Design, folder: Path) -> None:
        plan = plan_study(
            n_clusters=design.n_clusters,
            n_features=design.n_features,
            n_rounds=design.n_rounds,
            most_records=[len(records)],
            parameter_set_name="planned",
        )
        self._design = design
        self._folder = folder
        self._numbers = count()
        self._parameters = plan.parameters
        self._secret = SecretKey(plan.parameters)
        self._public = folder / "public"
        self._relinearisation = folder / "relinearisation"
        self._public.write_bytes(self._secret.public_key())
        self._relinearisation.write_bytes(self._secret.relinearisation_keys())
        encryptor = BlockEncryptor(plan.parameters, self._public.read_bytes())
        (block,) = pack_blocks(records, plan.parameters.slots)
        *features, presence = self._write("block", encryptor.encrypt(block))
        self._uploads = BlockFiles(tuple(features), presence)

    def scheduled_view(self) -> View:
        """Run a whole study without noise, by the product's schedule."""
        return asyncio.run(self._on_engine(lambda answer: run_schedule(self._design, answer)))

    def noised_view(self, rng: np.random.Generator, epsilon: float) -> View:
        """Run all rounds of a noised study; noise is drawn as in the product.

        Args:
            rng: of the starting centroids.
            epsilon: of the agreement.
        """
        node = KeyNode(self._design, self._design.noise(epsilon), rng)
        return asyncio.run(self._on_engine(node.run))

    async def _on_engine(self, key_node: Callable[[Answer], Awaitable[View]]) -> View:
        engine = Engine(self._parameters, self._folder / "scratch", workers=2)
        await engine.start(self._public, self._relinearisation)
        numbers = count()

        async def answer(asked: Release) -> Array:
            planes = [] if asked.planes is None else [self._send(asked, p) for p in asked.planes]
            scales = release_scales(
                self._parameters,
                asked.kind,
                asked.sign,
                n_clusters=self._design.n_clusters,
                n_features=self._design.n_features,
                n_parties=1,
            )
            work = RoundWork(
                asked.kind,
                next(numbers),
                asked.sign,
                self._design.n_clusters,
                [Block((self._uploads,))],
                planes,
                parties=[PartyUploads((self._uploads,))] if asked.kind == "admission" else (),
                noise=draw_noise(self._parameters, asked.stds.ravel().tolist(), scales),
            )
            done = await engine.run_round(work, self._folder / "evidence", lambda *_: None)
            decrypt = self._secret.decrypt_slot_sum
            return np.array([decrypt(*pair) for pair in zip(done.blobs, scales, strict=True)])

        try:
            return await key_node(answer)
        finally:
            engine.close()

    async def _send(self, asked: Release, plane: Array) -> Sequence[Path]:
        level = start_level(self._design.n_clusters, asked.sign)
        blobs = self._secret.encrypt_hyperplane(plane, level)
        return self._write("plane", blobs)

    def _write(self, name: str, blobs: Iterable[bytes]) -> list[Path]:
        files = []
        for blob in blobs:
            files.append(self._folder / f"{name}-{next(self._numbers)}")
            files[-1].write_bytes(blob)
        return files
