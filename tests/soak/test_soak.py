"""Twenty studies in a row on one compute node, a fault in each: nothing grows, nothing is lost.

One process of the compute node serves all studies; the other nodes come and go, and every study has
a random fault in a random phase. Faults that end the compute node's process happen in the first
studies only, so that its memory and its file handles can be watched over all others.
"""

from __future__ import annotations

import json
import os
import random
import time
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from rich.table import Table

from mpcseg.demo.tables import DealtTables
from mpcseg.demo.workspace import StudyShape
from mpcseg.study.agreement import Agreement, freeze, load_study, write_agreement
from mpcseg.study.identity import load_identity
from mpcseg.study.spec import StudySpec
from tests.faults.cases import Case, all_cases, arrived, inject
from tests.faults.cluster import Cluster, Node
from tests.faults.conftest import tables as tables  # noqa: PLC0414  a fixture of both suites
from tests.faults.hosts import MISSING

pytestmark = [pytest.mark.skipif(bool(MISSING), reason=MISSING), pytest.mark.timeout(0)]

N_STUDIES = int(os.environ.get("MPCSEG_SOAK_STUDIES", "20"))
SHAPE = StudyShape(n_clusters=2, n_rounds=2, seed=0, epsilon="none")
LAST_ROUND = 4
# After these, nothing ends the compute node's process any more.
_N_ROUGH = N_STUDIES // 4
# A leak of one study's blocks alone would be more than this in the studies that are watched.
_MOST_GROWTH_MB = 24.0
_SAME = 1e-4


@dataclass(frozen=True)
class Day:
    """What one study was like.

    Attributes:
        case: the fault.
        seconds: from the nodes' start to the closing record.
        megabytes: resident memory of the compute node's process after it.
        n_files: open files of that process.
        n_processes: its child processes.
        disk: megabytes on its disk.
    """

    case: Case
    seconds: float
    megabytes: float
    n_files: int
    n_processes: int
    disk: float


def test_twenty_studies_in_a_row(tables: DealtTables, tmp_path: Path) -> None:
    chance = random.Random(int(os.environ.get("MPCSEG_SOAK_SEED", "1")))
    days: list[Day] = []
    centers = []
    with Cluster(tmp_path, tables, SHAPE, f"mk{os.getpid() % 10**6}") as study:
        agreements = _agreements(study)
        compute, command = study.compute, list(study.compute.command)
        for path in agreements:
            command += ["--study", str(path)]
        compute.command = command
        compute.start()
        study.until(lambda: compute.has_said("listening"), "the compute node listens")
        for number, path in enumerate(agreements):
            case = chance.choice(_possible(number))
            began = time.monotonic()
            found = _one(study, path, number, case)
            if found is not None:
                centers.append(found)
            days.append(_day(study, compute, case, time.monotonic() - began))
            Console(width=150).print(f"{number + 1} of {N_STUDIES}: {days[-1]}")
        study.until(lambda: compute.process is None, "the end of the compute node", 60)
        assert compute.statuses[-1] == 0, study.last_words()
    Console(width=120).print(_table(days))
    for found in centers:
        np.testing.assert_allclose(found, centers[0], atol=_SAME)
    watched = [day for day in days[_N_ROUGH + 1 :] if day.megabytes]
    assert watched[-1].megabytes - watched[0].megabytes < _MOST_GROWTH_MB, watched
    assert watched[-1].n_files <= watched[0].n_files + 2, watched
    assert watched[-1].n_processes <= watched[0].n_processes, watched
    assert watched[-1].disk < 20, "ciphertexts were left behind"


def _agreements(study: Cluster) -> list[Path]:
    """As many agreements of the same organisations."""
    space = study.workspace
    folders = (space.compute, space.key, *space.parties)
    identities = [load_identity(folder.identity) for folder in folders]
    paths = []
    for number in range(N_STUDIES):
        # Not `model_copy`: it would take the digest along.
        fields = {name: getattr(space.spec, name) for name in StudySpec.model_fields}
        spec = StudySpec(**{**fields, "name": f"soak-{number}"})
        path = space.study.parent / f"soak-{number}.agreement"
        write_agreement(reduce(Agreement.signed_by, identities, freeze(spec)), path)
        paths.append(path)
    return paths


def _possible(number: int) -> list[Case]:
    # The last study's end may be that of the process: let it end by itself.
    return [
        case
        for case in all_cases()
        if number < _N_ROUGH or case.target != "compute" or case.fault in ("freeze", "cut")
    ]


def _one(study: Cluster, agreement: Path, number: int, case: Case) -> np.ndarray | None:
    """Run one study with its fault, from its nodes' start to its closing; its centroids."""
    compute, key = study.compute, study.key
    compute.reports.clear()
    others = [key, *study.parties]
    before = [list(node.command) for node in others]
    output = key.host.disk / f"results-{number}"
    trial = key.folder.path / f"trial-{number}.json"
    for node in others:
        node.reports.clear()
        node.statuses.clear()
        node.command = [*node.command, "--study", str(agreement)]
    key.command = [*key.command, "--output", str(output), "--trial-output", str(trial)]
    try:
        for node in others:
            node.start()
        study.until(lambda: arrived(study, case.phase, LAST_ROUND), f"{number}: {case.phase}")
        inject(study, case)
        study.finish()
        study.fetch(agreement)
        study.close(agreement, last=number == N_STUDIES - 1)
        digits = load_study(agreement).digest[:16]
        disks = [node.host.disk for node in study.nodes]
        logs = [path for disk in disks for path in disk.rglob(f"audit-{digits}-*.sqlite")]
        ledgers = [compute.host.disk / digits / f"ledger-{digits}.json", output / "ledger.json"]
        places = map(str, (*logs, *ledgers))
        study.run(key, "audit", "verify", str(agreement), *places)
        if not trial.exists():
            return None  # started again after it had sealed the results, it knows no more
        return np.array(json.loads(trial.read_text())["cluster_centers_scaled"])
    finally:
        for node, command in zip(others, before, strict=True):
            node.command = command


def _day(study: Cluster, compute: Node, case: Case, seconds: float) -> Day:
    if compute.process is None:
        return Day(case, seconds, 0.0, 0, 0, 0.0)
    process = Path(f"/proc/{compute.process.pid}")
    fields = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    children = [c for t in process.glob("task/*/children") for c in t.read_text().split()]
    used = sum(path.stat().st_size for path in compute.host.disk.rglob("*") if path.is_file())
    return Day(
        case,
        seconds,
        int(fields["VmRSS"].split()[0]) / 1024,
        len(list((process / "fd").iterdir())),
        len(children),
        used / 1e6,
    )


def _table(days: list[Day]) -> Table:
    table = Table("study", "fault", "seconds", "memory", "files", "processes", "disk")
    for number, day in enumerate(days, 1):
        table.add_row(
            str(number), str(day.case), f"{day.seconds:.0f}", f"{day.megabytes:.0f} MB",
            str(day.n_files), str(day.n_processes), f"{day.disk:.1f} MB",
        )  # fmt: skip
    return table
