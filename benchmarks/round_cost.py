"""What a round costs against the sum of its parts, and what a second worker brings."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from mpcseg.ckks.costs import OPERATIONS, MeasuredCosts
from mpcseg.ckks.encryption import BlockEncryptor
from mpcseg.ckks.key_material import load_public_key, load_relinearisation_keys
from mpcseg.ckks.packing import pack_blocks
from mpcseg.ckks.planner import Plan, plan_study
from mpcseg.ckks.secret import SecretKey
from mpcseg.engine import Block, BlockFiles, Engine, PartyUploads, RoundWork

N_CLUSTERS, N_FEATURES, RECORDS_PER_PARTY = 5, 6, (7857, 7857, 7856)
"""CDNOW's size: 23,570 customers of three parties."""


@dataclass(frozen=True)
class Material:
    """Keys, blocks and hyperplanes in files."""

    plan: Plan
    public_key: Path
    relinearisation_keys: Path
    blocks: list[Block]
    hyperplanes: list[list[Path]]

    def admission(self) -> RoundWork:
        """An admission round, each block of a party of its own."""
        parties = [PartyUploads(block.uploads) for block in self.blocks]
        return RoundWork("admission", 0, (), N_CLUSTERS, [], parties=parties)

    def work(self) -> RoundWork:
        """A sharp Lloyd round whose hyperplanes are all there."""
        return RoundWork(
            "lloyd",
            1,
            self.plan.sharp,
            N_CLUSTERS,
            self.blocks,
            [_ready(paths) for paths in self.hyperplanes],
        )


async def _ready(paths: Sequence[Path]) -> Sequence[Path]:
    return paths


def _write(folder: Path, name: str, blobs: Iterable[bytes]) -> list[Path]:
    paths = []
    for index, blob in enumerate(blobs):
        paths.append(folder / f"{name}-{index}")
        paths[-1].write_bytes(blob)
    return paths


def prepare(folder: Path) -> Material:
    """Make keys, encrypt records and hyperplanes."""
    plan = plan_study(
        n_clusters=N_CLUSTERS,
        n_features=N_FEATURES,
        n_rounds=1,
        records_per_party=RECORDS_PER_PARTY,
    )
    parameters = plan.parameters
    secret = SecretKey(parameters)
    public, relinearisation = _write(
        folder, "key", [secret.public_key(), secret.relinearisation_keys()]
    )
    encryptor = BlockEncryptor(parameters, public.read_bytes())
    rng = np.random.default_rng(0)
    blocks = []
    for party, n in enumerate(RECORDS_PER_PARTY):
        for number, block in enumerate(
            pack_blocks(rng.uniform(-1, 1, (n, N_FEATURES)), parameters.slots)
        ):
            *features, presence = _write(
                folder, f"block-{party}-{number}", encryptor.encrypt(block)
            )
            blocks.append(Block((BlockFiles(tuple(features), presence),)))
    planes = rng.uniform(-0.15, 0.15, (plan.n_pairs, N_FEATURES + 1))
    level = plan.start_level(plan.sharp)
    hyperplanes = [
        _write(folder, f"plane-{pair}", secret.encrypt_hyperplane(plane, level))
        for pair, plane in enumerate(planes)
    ]
    return Material(plan, public, relinearisation, blocks, hyperplanes)


async def _timed(engine: Engine, work: RoundWork, evidence: Path) -> float:
    started = time.perf_counter()
    await engine.run_round(work, evidence, lambda *_: None)
    return time.perf_counter() - started


async def _measure(material: Material, folder: Path, repeats: int) -> list[dict[str, float]]:
    parameters = material.plan.parameters
    public_key = load_public_key(parameters, material.public_key.read_bytes())
    relinearisation = load_relinearisation_keys(
        parameters, material.relinearisation_keys.read_bytes()
    )
    plan = material.plan
    counts: Counter[tuple[str, int]] = Counter()
    for _ in range(plan.n_blocks):
        counts.update(plan.block_counts(plan.sharp))
    counts.update(plan.release_counts(plan.n_sums("lloyd")))
    one, two = (Engine(parameters, folder / f"engine-{n}", n) for n in (1, 2))
    rows = []
    evidence = folder / "evidence"
    try:
        for engine in (one, two):
            await engine.start(material.public_key, material.relinearisation_keys)
            await _timed(engine, material.work(), evidence)
        for _ in range(repeats):
            before = MeasuredCosts(parameters, public_key, relinearisation).total(counts)
            single = await _timed(one, material.work(), evidence)
            after = MeasuredCosts(parameters, public_key, relinearisation).total(counts)
            double = await _timed(two, material.work(), evidence)
            rows.append(
                {
                    "parts": (before + after) / 2,
                    "one_worker": single,
                    "two_workers": double,
                    "admission": await _timed(one, material.admission(), evidence),
                }
            )
        costs = MeasuredCosts(parameters, public_key, relinearisation)
        rows[-1].update(
            {
                name: sum(costs.seconds(o, lv) * n for (o, lv), n in counts.items() if o == name)
                for name in OPERATIONS
            }
        )
    finally:
        one.close()
        two.close()
    return rows


def run(console: Console, repeats: int) -> dict[str, Any]:
    """Print and return the two ratios."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        material = prepare(folder)
        rows = asyncio.run(_measure(material, folder, repeats))
    overhead = [row["one_worker"] / row["parts"] for row in rows]
    speedup = [row["one_worker"] / row["two_workers"] for row in rows]
    table = Table(
        title=f"One Lloyd round, k = {N_CLUSTERS}, d = {N_FEATURES}, "
        f"{sum(RECORDS_PER_PARTY):,} records, {material.plan.parameters.name}"
    )
    for column in ("run", "sum of parts", "1 worker", "2 workers", "1 worker / parts", "speed-up"):
        table.add_column(column, justify="right")
    for number, row in enumerate(rows):
        table.add_row(
            str(number + 1),
            *(f"{row[key]:.2f} s" for key in ("parts", "one_worker", "two_workers")),
            f"{overhead[number]:.3f}",
            f"{speedup[number]:.2f}",
        )
    table.add_row(
        "median",
        "",
        "",
        "",
        f"{statistics.median(overhead):.3f}",
        f"{statistics.median(speedup):.2f}",
    )
    console.print(table)
    parts = ", ".join(f"{name} {rows[-1][name]:.2f} s" for name in OPERATIONS)
    console.print(f"Parts, each measured singly: {parts}")
    admission = statistics.median(row["admission"] / row["one_worker"] for row in rows)
    console.print(f"The admission round, once a study: {admission:.2f} of a Lloyd round, 1 worker")
    return {
        "admission_over_round": admission,
        "round_over_parts": statistics.median(overhead),
        "two_workers_speedup": statistics.median(speedup),
        "runs": rows,
    }
