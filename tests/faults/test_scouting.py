"""A study that chooses its number of segments, whose nodes are killed while it scouts.

Enough blocks that scout rounds see a sample of them; both nodes draw noise, for the compute node's
organisation receives results. Afterwards everything is replayed with the noise that was drawn once.
"""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpcseg.audit.log_file import read_log
from mpcseg.audit.records import Decrypted, RoundEvaluated, RoundSpent
from mpcseg.customers.cohort import Cohort
from mpcseg.nodes.key import run_key
from mpcseg.nodes.party import run_party
from mpcseg.nodes.planning import study_plan
from mpcseg.nodes.requests import close_study, fetch_results
from mpcseg.nodes.summary import KeySummary
from mpcseg.reference.rounds import scout_sample
from mpcseg.study.agreement import load_agreement
from mpcseg.study.schedule import StudyResult
from mpcseg.verification.computed import computed_study
from mpcseg.verification.evidence import collect
from mpcseg.verification.replay import verify_replay
from mpcseg.verification.verify import verify
from tests.nodes.dying_key import dying_key
from tests.nodes.processes import NodeProcess, spawn
from tests.nodes.studies import Recorder, run, two_organisations
from tests.nodes.test_restarts import Blow, Study
from tests.organisations import write_study

pytestmark = [pytest.mark.processes, pytest.mark.timeout(1800)]

PLACES = np.array([[-0.6, -0.5], [0.6, -0.4], [0.0, 0.65]])
N_RECORDS = (30_000, 26_000)
N_BLOCKS, N_SAMPLED = 8, 4
# Admission, moments, (scout, appraisal) for two starts of 2 and of 3, lloyd, profile.
N_ROUNDS = 12
COMPUTE_BLOWS = [
    Blow("round_spent", nth=3),  # the first scout round: its noise is drawn, nothing is evaluated
    Blow("round_evaluated", after=False, nth=2),  # an appraisal
    Blow("sent", blob="release", nth=2),  # some of a round's sums are with the key node
    Blow("round_opened", nth=2),
]
# Of the key node, in the same rounds: the third is a scout round, the fourth an appraisal.
KEY_STEPS = ("first round asked for", "first round paid for", "first round decrypted",
             "profile about to be decrypted")  # fmt: skip
_SECONDS = 600.0


def cohort(n: int, seed: int) -> Cohort:
    rng = np.random.default_rng(seed)
    records = PLACES[rng.integers(0, 3, n)] + rng.normal(0, 0.12, (n, 2))
    return Cohort(records=np.clip(records, -1, 1), n_clipped=(0, 0), warnings=())


def key_of_many_lives(folder: Path, *arguments: Any) -> KeySummary:
    """A key node that is killed at each of the steps and started again."""
    for step in KEY_STEPS:
        node = spawn(folder / step.replace(" ", "-"), dying_key, step, *arguments)
        assert node.result(_SECONDS) == "killed", step
    summary: KeySummary = run(run_key, *arguments, patience=_SECONDS).join(_SECONDS)
    return summary


def test_nodes_that_are_killed_while_scouting_go_on(tmp_path: Path) -> None:
    nodes = two_organisations(
        n_clusters={"smallest": 2, "largest": 3, "rounds": 1}, n_rounds=1,
        privacy={"epsilon": 2.0}, most_records=4 * 8192,
    )  # fmt: skip
    assert study_plan(nodes.spec).noise.own_draw
    started: list[NodeProcess] = []
    study = Study(nodes, tmp_path, started, seconds=_SECONDS)
    audit, key_folder = tmp_path / "audit", tmp_path / "key"
    node = study.start(COMPUTE_BLOWS[0])
    took = (nodes.spec, nodes.key, study.address, key_folder)
    try:
        with ThreadPoolExecutor(1) as pool:
            key = pool.submit(key_of_many_lives, tmp_path, *took)
            parties = [
                run(run_party, nodes.spec, own, study.address, cohort(n, i), audit=audit,
                    patience=_SECONDS)
                for i, (n, own) in enumerate(zip(N_RECORDS, nodes.parties, strict=True))
            ]  # fmt: skip
            study.survive(node, COMPUTE_BLOWS[1:])
            result = key.result(_SECONDS).result
        for party in parties:
            party.join()
        _verify_choice(result)
        for own in nodes.parties:
            fetch_results(nodes.spec, own, study.address, Recorder(), audit=audit)
        _verify_work(study)
        record = close_study(nodes.spec, nodes.key, study.address, Recorder())
        (tmp_path / "closing.json").write_bytes(record)
        agreement = load_agreement(write_study(tmp_path / "trial.agreement", nodes.spec))
        places = [audit, key_folder, study.storage]
        found = list(verify(collect(agreement, places, tmp_path / "closing.json", study.storage)))
        assert [(f.what, f.evidence) for f in found if f.verdict != "passed"] == []
    finally:
        for one in started:
            one.process.kill()
            one.process.join()


def _verify_choice(result: StudyResult | None) -> None:
    assert result is not None
    assert result.choice is not None
    assert result.choice.chosen.n_clusters == 3
    assert result.n_records == pytest.approx(sum(N_RECORDS), abs=600)
    near = np.abs(result.cluster_centers[:, None] - PLACES).max(axis=2)
    assert near.min(axis=1).max() < 0.05


def _verify_work(study: Study) -> None:
    """Nothing was paid, evaluated or decrypted twice, and all of it is what was agreed."""
    spec = study.nodes.spec
    log = read_log(next(study.storage.glob("audit-*.sqlite")), spec)
    records = [entry.record for entry in log.entries]
    for kind in (RoundSpent, RoundEvaluated):
        assert Counter(r.round for r in records if isinstance(r, kind)) == dict.fromkeys(
            range(N_ROUNDS), 1
        )
    work = computed_study(log, spec)
    assert sum(map(len, work.blocks.values())) == N_BLOCKS * (spec.n_features + 1)
    assert len(scout_sample(range(N_BLOCKS), len(spec.parties))) == N_SAMPLED
    done = verify_replay(spec, work, study.storage, Recorder(), workers=2)
    assert len(done.rounds) == N_ROUNDS
    log = read_log(next((study.folder / "key").glob("audit-*.sqlite")), spec)
    decrypted = Counter(e.record.blob for e in log.entries if isinstance(e.record, Decrypted))
    assert set(decrypted.values()) == {1}
