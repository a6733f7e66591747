"""One real study from its agreement to its closing record, and everything that it leaves.

Run once in a test session: real ciphertexts, real TLS, noise of both nodes. Tests take copies.
"""

from __future__ import annotations

import functools
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from mpcseg.nodes.requests import fetch_results
from mpcseg.study.spec import StudySpec
from tests.nodes.studies import Nodes, Recorder, close, make_cohort, run_study, two_organisations
from tests.organisations import write_study


@dataclass(frozen=True)
class FinishedStudy:
    """A study that is over.

    Attributes:
        nodes: its organisations: alder has key and party node, birch compute and party node.
        agreement: the file.
        storage: the compute node's folder as it was before the study was closed.
        left: what is there afterwards: ``storage``, ``key``, ``audit`` and ``closing.json``.
    """

    nodes: Nodes
    agreement: Path
    storage: Path
    left: Path

    @property
    def spec(self) -> StudySpec:
        return self.nodes.spec


@functools.cache
def finished_study() -> FinishedStudy:
    """The study; its folders are shared, so whoever changes files takes a copy."""
    folder = Path(_FOLDER.name)
    # So much budget that the noise does not drown ninety records.
    nodes = two_organisations(privacy={"epsilon": 20.0}, n_rounds=1)
    agreement = write_study(folder / "trial.agreement", nodes.spec)
    left = folder / "left"
    ran = run_study(nodes, left, [make_cohort(60, 2, 1), make_cohort(30, 2, 2)])
    for own in nodes.parties:
        fetch_results(nodes.spec, own, ran.address, Recorder(), audit=left / "audit")
    shutil.copytree(left / "storage", folder / "storage")
    record = close(nodes, ran.address)
    ran.compute.join()
    (left / "closing.json").write_bytes(record)
    return FinishedStudy(nodes, agreement, folder / "storage", left)


_FOLDER = tempfile.TemporaryDirectory(prefix="mpcseg-tests-")
