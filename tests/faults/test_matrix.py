"""A study ends with the same centroids whatever happens to its nodes on the way (`make faults`).

Real processes on hosts of their own, real signals, cut lines and full disks. Each cell of the
matrix is one study; what it must come to is that of a study to which nothing happens.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpcseg.audit.log_file import read_log
from mpcseg.audit.records import Decrypted, RoundEvaluated, RoundSpent
from mpcseg.demo.tables import DealtTables
from mpcseg.demo.workspace import StudyShape
from tests.faults.cases import Case, all_cases, arrived, inject
from tests.faults.cluster import Cluster, cluster
from tests.faults.hosts import MISSING

pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=MISSING),
    pytest.mark.timeout(600),
]

SHAPE = StudyShape(n_clusters=2, n_rounds=2, seed=0, epsilon="none")
# Admission, moments, two Lloyd rounds, profile.
LAST_ROUND = 4
# In scaled space, where records have coordinates up to 1; CKKS errors are about 1e-6.
_SAME = 1e-4
# Results are rounded to three digits, where an error of CKKS may tip the last one.
_SAME_ROUNDED = 5e-3


@dataclass(frozen=True)
class Ending:
    """What a study came to.

    Attributes:
        centers: the key node's, in scaled space, shape (k, d); None where it was started again
            after it had sealed the results, and knows no more.
        reports: every party's opened results.
    """

    centers: np.ndarray | None
    reports: list[dict[str, Any]]


@pytest.fixture(scope="module")
def undisturbed(tables: DealtTables, tmp_path_factory: pytest.TempPathFactory) -> Ending:
    with started(tmp_path_factory.mktemp("undisturbed"), tables) as study:
        return ending(study)


@pytest.mark.parametrize("case", all_cases(), ids=str)
def test_a_study_survives(
    case: Case, tables: DealtTables, undisturbed: Ending, tmp_path: Path
) -> None:
    try:
        with started(tmp_path, tables) as study:
            study.until(lambda: arrived(study, case.phase, LAST_ROUND), f"phase {case.phase}")
            inject(study, case)
            verify_same(ending(study), undisturbed)
    finally:
        if "MPCSEG_KEEP_FAULTS" not in os.environ:
            shutil.rmtree(tmp_path, ignore_errors=True)


def started(folder: Path, tables: DealtTables) -> Any:
    # Names of networks are those of the machine: several of these tests may run at once.
    name = f"mf{random.randrange(16**6):06x}"
    return cluster(folder, tables, SHAPE, name)


def ending(study: Cluster) -> Ending:
    """See the study to its end and audit it; what it came to."""
    study.finish()
    reports = study.fetch()
    trial = study.workspace.key.trial
    centers = None
    if trial.exists():
        centers = np.array(json.loads(trial.read_text())["cluster_centers_scaled"])
    study.close()
    _verify_audit(study)
    return Ending(centers, reports)


def _verify_audit(study: Cluster) -> None:
    """`mpcseg audit verify` passes, and nothing was spent, released or decrypted twice."""
    places = [str(node.host.disk) for node in study.nodes]
    options = ["--complete", "--closing", str(study.workspace.closing_record)]
    options += ["--storage", str(study.compute.host.disk)]
    study.run(study.key, "audit", "verify", str(study.workspace.study), *places, *options)
    spec = study.workspace.spec
    once: dict[str, list[Any]] = {"compute": [], "key": []}
    for path in study.logs():
        log = read_log(path, spec)
        if log.role in once:
            for entry in log.entries:
                record = entry.record
                if isinstance(record, RoundSpent | RoundEvaluated):
                    once[log.role].append((record.event, record.round))
                elif isinstance(record, Decrypted):
                    once[log.role].append((record.event, record.blob))
    for role, facts in once.items():
        assert len(facts) == len(set(facts)), (role, sorted(facts))
    for node in (study.compute, study.key):
        (ledger,) = node.host.disk.glob("ledger*.json")
        rounds = [entry["index"] for entry in json.loads(ledger.read_text())["entries"]]
        assert rounds == list(range(LAST_ROUND + 1)), (node.name, rounds)


def verify_same(found: Ending, expected: Ending) -> None:
    if found.centers is not None and expected.centers is not None:
        np.testing.assert_allclose(found.centers, expected.centers, atol=_SAME)
    for one, other in zip(found.reports, expected.reports, strict=True):
        for part in ("report", "centroids"):
            np.testing.assert_allclose(
                _numbers(one[part]), _numbers(other[part]), rtol=_SAME_ROUNDED, atol=1e-6
            )


def _numbers(document: Any) -> list[float]:
    """All numbers of a document, in order."""
    return list(_walk(document))


def _walk(document: Any) -> Iterator[float]:
    if isinstance(document, dict):
        for _, value in sorted(document.items()):
            yield from _walk(value)
    elif isinstance(document, list):
        for value in document:
            yield from _walk(value)
    elif isinstance(document, int | float) and not isinstance(document, bool):
        yield float(document)
