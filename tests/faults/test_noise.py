"""Where noise was agreed, a fault neither redraws it nor adds to it (`make faults`).

The compute node's noise of each round stands in its evidence until the study is closed. The rounds
computed in the clear, with exactly that noise, must give the centroids of the encrypted study: any
other draw, or a second one, would move them by far more than the errors of CKKS.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

from mpcseg.ckks.slot_sum import units_per_sum
from mpcseg.demo.tables import DealtTables
from mpcseg.demo.workspace import StudyShape
from mpcseg.engine import release_scales
from mpcseg.engine.round_secrets import read_noise
from mpcseg.nodes.blob_store import StudyFiles
from mpcseg.nodes.planning import study_plan
from mpcseg.study.schedule import RoundRequest, Schedule
from tests.faults.cases import Case, Fault, Phase, Target, arrived, inject
from tests.faults.cluster import Cluster, cluster
from tests.faults.hosts import MISSING
from tests.unit.study.clear_study import clear_sums

pytestmark = [pytest.mark.skipif(bool(MISSING), reason=MISSING), pytest.mark.timeout(600)]

SHAPE = StudyShape(n_clusters=2, n_rounds=2, seed=0, epsilon=2.0)
LAST_ROUND = 4
N_BLOCKS = 4

TARGETS: tuple[Target, ...] = ("compute", "worker", "key")
FAULTS: tuple[Fault, ...] = ("kill", "terminate")
PHASES: tuple[Phase, ...] = ("moments", "round", "last round")
CASES = [Case(target, fault, phase) for target in TARGETS for fault in FAULTS for phase in PHASES]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_noise_is_drawn_once(case: Case, tables: DealtTables, tmp_path: Path) -> None:
    name = f"mz{random.randrange(16**6):06x}"
    with cluster(tmp_path, tables, SHAPE, name) as study:
        study.until(lambda: arrived(study, case.phase, LAST_ROUND), f"phase {case.phase}")
        inject(study, case)
        study.finish()
        trial = json.loads(study.workspace.key.trial.read_text())
        expected = _in_the_clear(study, tables)
    np.testing.assert_allclose(trial["cluster_centers_scaled"], expected, atol=1e-4)


def _in_the_clear(study: Cluster, tables: DealtTables) -> np.ndarray:
    """The study's centroids in scaled space, from plain sums and the noise that was drawn."""
    spec = study.workspace.spec
    plan = study_plan(spec)
    assert plan.noise.is_noised
    assert not plan.noise.own_draw
    files = StudyFiles(study.compute.host.disk)
    slots = plan.circuit.parameters.slots
    schedule = Schedule(
        n_clusters=spec.n_clusters,
        n_rounds=spec.n_rounds,
        feature_names=spec.feature_names,
        parties={party.name: N_BLOCKS for party in spec.parties},
        slots=slots,
        most_records=N_BLOCKS * slots,
        blunt=plan.circuit.blunt,
        sharp=plan.circuit.sharp,
        seed=spec.seed,
        noise=plan.noise,
    )

    def noise(request: RoundRequest) -> np.ndarray:
        scales = release_scales(
            plan.circuit.parameters,
            request.kind,
            request.sign,
            n_clusters=spec.n_clusters,
            n_features=spec.n_features,
            n_parties=len(spec.parties),
            radius=plan.noise.radius,
        )
        drawn = read_noise(files.evidence_folder(request.index))
        assert any(drawn)
        units = [units_per_sum(plan.circuit.parameters, scale) for scale in scales]
        return np.array(drawn) / np.array(units)

    records = tables.pooled_records()
    while (request := schedule.request()) is not None:
        sums = clear_sums(request, records, spec.n_clusters, len(spec.parties))
        schedule.receive(sums + noise(request).reshape(sums.shape))
    return schedule.result().cluster_centers
