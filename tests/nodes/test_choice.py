"""A real study that chooses its number of segments, from agreement to the reviewer's verdict."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from mpcseg.audit.log import log_path
from mpcseg.customers.cohort import Cohort
from mpcseg.nodes.progress import SilentProgress
from mpcseg.study.results import open_results
from mpcseg.verification.computed import computed_study, read_compute_log
from mpcseg.verification.evidence import collect
from mpcseg.verification.replay import verify_replay
from mpcseg.verification.verify import verify
from tests.nodes.studies import make_nodes, run_study
from tests.organisations import signed

PLACES = np.array([[-0.6, -0.5], [0.6, -0.4], [0.0, 0.65]])


def three_groups(n: int, seed: int) -> Cohort:
    rng = np.random.default_rng(seed)
    records = PLACES[rng.integers(0, 3, n)] + rng.normal(0, 0.12, (n, 2))
    return Cohort(records=np.clip(records, -1, 1), n_clipped=(0, 0), warnings=())


def test_the_planted_number_is_chosen_on_ciphertexts_and_the_work_can_be_replayed(
    tmp_path: Path,
) -> None:
    nodes = make_nodes(
        n_clusters={"smallest": 2, "largest": 3, "rounds": 1},
        n_rounds=1,
        most_records=4000,
        privacy={"epsilon": 10.0},
    )
    ran = run_study(nodes, tmp_path, [three_groups(4000, 1), three_groups(3000, 2)])
    result = ran.key.result
    assert result is not None
    assert result.choice is not None
    assert result.choice.chosen.n_clusters == 3
    near = np.abs(result.cluster_centers[:, None] - PLACES).max(axis=2)
    assert near.min(axis=1).max() < 0.1

    recipient = nodes.parties[0]
    results = open_results(nodes.spec, recipient, ran.key.sealed[recipient.name])
    assert results.report is not None
    assert results.report.choice is not None
    assert results.report.choice.chosen == len(results.report.segments) == 3
    assert [one.n_segments for one in results.report.choice.candidates] == [2, 3]
    assert all(one.stability is not None for one in results.report.choice.candidates)
    assert {"scout", "appraisal"} <= set(results.privacy.shares)
    assert results.privacy.epsilon is not None
    assert results.privacy.epsilon <= 10.0

    kinds = ["admission", "moments", *["scout", "appraisal"] * 4, "lloyd", "profile"]
    copy = tmp_path / "copy"
    shutil.copytree(tmp_path / "storage", copy)
    # Of three clusters in a round with squares, and of two in one without.
    log = read_compute_log(
        log_path(copy, nodes.spec, "compute", nodes.spec.compute.name), nodes.spec
    )
    study = computed_study(log, nodes.spec)
    for index, n_releases in ((9, 3 * 5), (2, 2 * 3)):
        found = verify_replay(nodes.spec, study, copy, SilentProgress(), rounds=[index])
        assert [one.kind for one in found.rounds] == [kinds[index]]
        assert found.rounds[0].n_releases == n_releases
    assert [one.order.kind for one in study.rounds] == kinds

    ran.closed(nodes)
    findings = list(verify(collect(signed(nodes.spec), [tmp_path], None, None)))
    failed = [(one.what, one.evidence) for one in findings if one.verdict == "failed"]
    assert not failed
    passed = {one.what for one in findings if one.verdict == "passed"}
    assert {"rounds as agreed", "privacy budget kept", "nothing else decrypted"} <= passed
