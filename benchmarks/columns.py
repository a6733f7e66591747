"""What profile columns add to a study of CDNOW's size: bytes, and seconds beside the same rounds.

Each variant's rounds are run in turn with those of a study without columns, and compared with them.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.round_cost import (
    N_CLUSTERS,
    N_FEATURES,
    RECORDS_PER_PARTY,
    Material,
    _timed,
    _write,
    prepare,
)
from mpcseg.ckks.encryption import BlockEncryptor
from mpcseg.ckks.planner import Plan, plan_study
from mpcseg.engine import Block, BlockFiles, Engine, PartyUploads, RoundWork
from mpcseg.reference.columns import NO_COLUMNS, ColumnLayout

_LABELS = 4
LAYOUTS = {
    "one numeric column": ColumnLayout(1),
    f"one category of {_LABELS} labels": ColumnLayout(0, (_LABELS,)),
    "sizes by party": ColumnLayout(0, (), len(RECORDS_PER_PARTY)),
}


def _with_vectors(material: Material, folder: Path) -> list[BlockFiles]:
    """Every upload with a numeric column and the labels of a category."""
    layout, rng = ColumnLayout(1, (_LABELS,)), np.random.default_rng(1)
    parameters = material.plan.parameters
    encryptor = BlockEncryptor(parameters, material.public_key.read_bytes(), layout)
    uploads = []
    for party, block in enumerate(material.blocks):
        rows = np.zeros((N_FEATURES + 1 + layout.n_vectors, parameters.slots))
        n = RECORDS_PER_PARTY[party]
        rows[N_FEATURES + 1, :n] = rng.uniform(-1, 1, n)
        rows[N_FEATURES + 2 :, :n] = np.eye(_LABELS)[rng.integers(0, _LABELS, n)].T
        blobs = (encryptor.encrypt_row(rows, row) for row in range(N_FEATURES + 1, len(rows)))
        files = _write(folder, f"columns-{party}", blobs)
        uploads.append(replace(block.uploads[0], columns=tuple(files), party=party))
    return uploads


def _chosen(upload: BlockFiles, layout: ColumnLayout) -> BlockFiles:
    numeric, labels = upload.columns[:1], upload.columns[1:]
    chosen = (*numeric[: layout.n_numeric], *labels[: layout.n_labels])
    return replace(upload, columns=chosen)


def _works(
    material: Material, uploads: Sequence[BlockFiles], layout: ColumnLayout
) -> tuple[RoundWork, RoundWork]:
    chosen = [_chosen(upload, layout) for upload in uploads]
    parties = [PartyUploads((upload,)) for upload in chosen]
    blocks = [Block((upload,)) for upload in chosen]
    profile = replace(material.work(), kind="profile", blocks=blocks, columns=layout)
    admission = RoundWork("admission", 0, (), N_CLUSTERS, [], parties=parties, columns=layout)
    return admission, profile


def _plan(layout: ColumnLayout) -> Plan:
    return plan_study(
        n_clusters=N_CLUSTERS,
        n_features=N_FEATURES,
        n_rounds=1,
        records_per_party=RECORDS_PER_PARTY,
        columns=layout,
    )


def _bytes(layout: ColumnLayout) -> dict[str, int]:
    """What a layout adds, of all parties together."""
    plain, plan = _plan(NO_COLUMNS), _plan(layout)
    sums = plan.n_sums("profile") - plain.n_sums("profile")
    return {
        "upload": plan.n_blocks * (plan.upload_bytes_per_block - plain.upload_bytes_per_block),
        "releases": plan.release_bytes(sums),
        "evidence": sum(
            plan.evidence_bytes(kind) - plain.evidence_bytes(kind)
            for kind in ("admission", "profile")
        ),
    }


async def _measure(folder: Path, repeats: int) -> dict[str, dict[str, float]]:
    material = prepare(folder)
    uploads = _with_vectors(material, folder)
    engine, evidence = Engine(material.plan.parameters, folder / "engine", 2), folder / "evidence"
    found: dict[str, dict[str, float]] = {}
    try:
        await engine.start(material.public_key, material.relinearisation_keys)
        for name, layout in LAYOUTS.items():
            ratios: dict[str, list[float]] = {"admission": [], "profile": []}
            for _ in range(repeats):
                plain = _works(material, uploads, NO_COLUMNS)
                for one, other in zip(plain, _works(material, uploads, layout), strict=True):
                    before = await _timed(engine, one, evidence)
                    ratios[one.kind].append(await _timed(engine, other, evidence) / before)
            found[name] = {kind: statistics.median(some) for kind, some in ratios.items()}
    finally:
        engine.close()
    return found


def run(console: Console, repeats: int) -> dict[str, Any]:
    """Measure, show, and return the figures."""
    with tempfile.TemporaryDirectory() as name:
        ratios = asyncio.run(_measure(Path(name), repeats))
    table = Table(title=f"Added to k = {N_CLUSTERS}, d = {N_FEATURES}, 23,570 records, 3 blocks")
    for heading in ("what", "upload MB", "releases MB", "evidence MB", "admission", "profile"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    figures: dict[str, Any] = {}
    for what, layout in LAYOUTS.items():
        added = _bytes(layout)
        figures[what] = {"bytes": added, "times": ratios[what]}
        table.add_row(
            what,
            *(f"{count / 1e6:.2f}" for count in added.values()),
            *(f"{ratio:.2f} times" for ratio in ratios[what].values()),
        )
    console.print(table)
    return figures
