"""What choosing the number of segments costs, against a study of a fixed number: real rounds.

One round of each kind and number of clusters is evaluated on ciphertexts, in turn with a Lloyd
round of the largest number; their sums make whole studies, and the ratio is of one run.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks.round_cost import _ready, _timed, _write
from mpcseg.ckks.encryption import BlockEncryptor
from mpcseg.ckks.packing import pack_blocks
from mpcseg.ckks.planner import Plan, plan_study
from mpcseg.ckks.secret import SecretKey
from mpcseg.engine import Block, BlockFiles, Engine, RoundWork
from mpcseg.reference.rounds import RoundKind, ScoutTerms, scout_sample

TERMS = ScoutTerms((3, 4, 5), 2, 2)
N_FEATURES, N_ROUNDS, SLOTS_FILLED = 2, 8, 8192
N_BLOCKS = (1, 12)
"""Of the studies that are compared; each round is measured on one block."""

_Key = tuple[RoundKind, int]


def _sign(plan: Plan, kind: RoundKind) -> tuple[int, ...]:
    return plan.blunt if kind == "scout" else plan.sharp


class _Rounds:
    """Keys, one block, and rounds with hyperplanes that are all there."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self._plan, self._folder = plan, folder
        self._secret = SecretKey(plan.parameters)
        self._rng = np.random.default_rng(0)
        keys = [self._secret.public_key(), self._secret.relinearisation_keys()]
        self.public_key, self.relinearisation_keys = _write(folder, "key", keys)
        records = self._rng.uniform(-1, 1, (SLOTS_FILLED, N_FEATURES))
        (block,) = pack_blocks(records, plan.parameters.slots)
        encryptor = BlockEncryptor(plan.parameters, self.public_key.read_bytes())
        *features, presence = _write(folder, "block", encryptor.encrypt(block))
        self._block = Block((BlockFiles(tuple(features), presence),))
        self._planes: dict[_Key, list[list[Path]]] = {}

    def work(self, kind: RoundKind, k: int) -> RoundWork:
        sign = _sign(self._plan, kind)
        if (kind, k) not in self._planes:
            level = _level(k, sign)
            values = self._rng.uniform(-0.2, 0.2, (k * (k - 1) // 2, N_FEATURES + 1))
            self._planes[kind, k] = [
                _write(self._folder, f"{kind}-{k}-{i}", self._secret.encrypt_hyperplane(row, level))
                for i, row in enumerate(values)
            ]
        planes = [_ready(paths) for paths in self._planes[kind, k]]
        return RoundWork(kind, 1, sign, k, [self._block], planes)


def _level(k: int, sign: Sequence[int]) -> int:
    plan = plan_study(n_clusters=k, n_features=N_FEATURES, n_rounds=1)
    return plan.start_level(tuple(sign))


async def _measure(plan: Plan, folder: Path, repeats: int) -> list[dict[_Key, float]]:
    rounds = _Rounds(plan, folder)
    largest = TERMS.candidates[-1]
    kinds: list[_Key] = [*dict.fromkeys(TERMS.sequence), ("lloyd", largest), ("profile", largest)]
    engine, found = Engine(plan.parameters, folder / "engine", 1), []
    try:
        await engine.start(rounds.public_key, rounds.relinearisation_keys)
        await _timed(engine, rounds.work("lloyd", 3), folder / "evidence")
        for _ in range(repeats):
            row: dict[_Key, float] = {}
            for one in kinds:
                row[one] = await _timed(engine, rounds.work(*one), folder / "evidence")
            found.append(row)
    finally:
        engine.close()
    return found


def run(console: Console, repeats: int) -> dict[str, Any]:
    """Measure, show and return the figures."""
    largest = TERMS.candidates[-1]
    plan = plan_study(
        n_clusters=largest, n_features=N_FEATURES, n_rounds=N_ROUNDS, scouting=TERMS,
        records_per_party=(SLOTS_FILLED,),
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="mpcseg-bench-") as folder:
        rows = asyncio.run(_measure(plan, Path(folder), repeats))
    ratios: dict[str, float] = {}
    for n_blocks in N_BLOCKS:
        sample = len(scout_sample(range(n_blocks), 1))
        ratios[str(n_blocks)] = statistics.median(
            sample * sum(row[one] for one in TERMS.sequence)
            / (n_blocks * (N_ROUNDS * row["lloyd", largest] + row["profile", largest]))
            for row in rows
        )  # fmt: skip
        console.print(
            f"choosing from {TERMS.candidates} on {sample} of {n_blocks} blocks takes "
            f"{ratios[str(n_blocks)]:.2f} times what {N_ROUNDS} rounds and a profile of {largest} "
            "clusters take",
            highlight=False,
        )
    predicted = plan.scout_seconds() / (
        N_ROUNDS * plan.round_seconds(plan.sharp) + plan.round_seconds(plan.sharp, profile=True)
    )
    console.print(f"predicted for one block: {predicted:.2f}", highlight=False)
    seconds = [{f"{kind} {k}": round(value, 3) for (kind, k), value in row.items()} for row in rows]
    return {"ratios": ratios, "predicted_one_block": predicted, "seconds": seconds}
