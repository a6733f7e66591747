"""Whole studies, and what every node is told when one of them fails."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mpcseg.customers.cohort import Cohort
from mpcseg.errors import (
    AdmissionError,
    ConstantFeatureError,
    KeyFingerprintError,
    NodeVanishedError,
    StudyAbortedError,
    TooFewRecordsError,
    TooManyRecordsError,
)
from mpcseg.nodes.key import run_key
from mpcseg.nodes.party import run_party
from mpcseg.nodes.summary import ComputeSummary, PartySummary
from mpcseg.nodes.watcher import StudyWatcher
from mpcseg.study.closing import verify_record
from mpcseg.wire.events import AllPartiesReady, KeysReady
from mpcseg.wire.names import BlobKind, BlobName
from tests.nodes.material import Material
from tests.nodes.proxy import Line
from tests.nodes.studies import (
    Nodes,
    Recorder,
    Running,
    close,
    connect,
    make_cohort,
    make_nodes,
    run,
    run_study,
    start_compute,
)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """The key node's folder."""
    return tmp_path / "key"


def test_a_study_from_tables_to_segments(nodes: Nodes, tmp_path: Path) -> None:
    cohorts = [make_cohort(60, 2, 1), make_cohort(30, 2, 2)]
    ran = run_study(nodes, tmp_path, cohorts)
    found, sent = ran.key, ran.parties
    served = ran.closed(nodes)
    digest = nodes.spec.digest[:16]
    left = {path.name for path in (tmp_path / "storage").rglob("*")}
    log = f"audit-{digest}-compute-hub.sqlite"
    assert left == {"lock", log, f"ledger-{digest}.json", f"closing-{digest}.json"}

    records = np.concatenate([cohort.records for cohort in cohorts])
    assert found.result.n_records == pytest.approx(90, abs=0.1)
    assert found.result.feature_means == pytest.approx(records.mean(axis=0), abs=1e-3)
    low, high = sorted(found.result.cluster_centers[:, 0])
    assert low == pytest.approx(records[records[:, 0] < 0, 0].mean(), abs=0.01)
    assert high == pytest.approx(records[records[:, 0] > 0, 0].mean(), abs=0.01)

    # 3 for each party's admission, 6 moments, two Lloyd rounds of 2·3 sums, a profile round of
    # 2·5: nothing else is decrypted.
    assert found.decrypted_values == 2 * 3 + 6 + 2 * 6 + 10
    assert len(found.seconds_per_round) == len(served.seconds_per_round) == 5
    links = served.bytes_by_link
    assert links["key_to_compute"] == found.bytes_sent
    assert links["compute_to_key"] == found.bytes_received
    for kind in ("feature", "presence"):
        assert links["party_to_compute"][kind] == sum(party.bytes_sent[kind] for party in sent)
    assert served.n_blocks == {"party-a": 1, "party-b": 1}
    assert (served.n_refused, served.worker_restarts) == (0, 0)
    assert served.ending == "closed"
    assert [party.n_records for party in sent] == [60, 30]


def test_parties_that_share_a_block(tmp_path: Path) -> None:
    nodes = make_nodes(most_records=50)
    cohorts = [make_cohort(50, 2, 1), make_cohort(20, 2, 2)]
    with pytest.raises(TooManyRecordsError):
        run_party(
            nodes.spec,
            nodes.parties[0],
            "127.0.0.1:1",
            make_cohort(51, 2, 1),
            Recorder(),
            audit=tmp_path,
        )
    ran = run_study(nodes, tmp_path, cohorts)
    result = ran.key.result
    assert result.n_records == pytest.approx(70, abs=0.1)
    records = np.concatenate([cohort.records for cohort in cohorts])
    assert result.feature_means == pytest.approx(records.mean(axis=0), abs=1e-3)
    ran.closed(nodes)
    # One block of work, not two: 2 tasks for the moments, 1 + 2 · 2 for each round after them.
    done = {task: n for task, n in ran.compute.progress.tasks.items() if task != "round 0"}
    assert sum(done.values()) == 2 + 3 * 5


def test_what_the_compute_node_and_a_party_report_is_free_of_values(
    nodes: Nodes, tmp_path: Path
) -> None:
    ran = run_study(nodes, tmp_path, [make_cohort(25, 2, 0), make_cohort(25, 2, 1)])
    ran.closed(nodes)
    allowed = {
        "listening": {"address"},
        "joined": {"node", "role", "anew", "compute"},
        "party_ready": {"node", "n_blocks"},
        "phase": {"phase"},
        "blob": {"link", "blob_kind", "n_bytes"},
        "budget": {"index", "epsilon_spent", "epsilon_agreed"},
        "round": {"index", "round_kind", "releases", "seconds"},
    }
    key, *parties = ran.progress
    for shown in (ran.compute.progress, *parties):
        for kind, facts in shown.events:
            assert set(facts) <= allowed[kind]
    assert {"shift", "sizes", "n_records"} <= set(key.facts("round")[2])


def test_the_key_nodes_screen_shows_no_small_segment(tmp_path: Path) -> None:
    """One cluster of 8 far from the other of 60, where 20 is the smallest that may be shown."""
    nodes = make_nodes(n_parties=1)
    records = np.concatenate([np.full((60, 2), -0.7), np.full((8, 2), 0.7)])
    records += np.random.default_rng(0).normal(0, 0.05, records.shape)
    cohort = Cohort(records=records, n_clipped=(0, 0), warnings=())
    ran = run_study(nodes, tmp_path, [cohort])
    assert min(ran.key.result.segment_sizes) == pytest.approx(8, abs=1)
    ran.closed(nodes)
    rounds = [facts for facts in ran.progress[0].facts("round") if facts["sizes"] is not None]
    assert len(rounds) == 3
    for facts in rounds:
        assert facts["sizes"] == []  # the larger one alone would be a subtraction
        assert any("2 segments not shown" in note for note in facts["notes"])


CUT_SECONDS = float(os.environ.get("MPCSEG_CUT_SECONDS", "1"))
"""How long a line is cut; more than 35 also has the keep-alive of a silent line run out."""


# Silence that is shorter than the keep-alive's patience is not worth a study of its own.
@pytest.mark.parametrize("silently", [False, True] if CUT_SECONDS > 35 else [False])
def test_lines_are_cut_in_an_upload_and_in_a_round_and_the_study_goes_on(
    nodes: Nodes, storage: Path, output: Path, silently: bool
) -> None:
    patience = 60.0 + CUT_SECONDS
    compute, address = start_compute(nodes, storage, patience=patience)
    line, key_line = Line(address), Line(address)

    def interrupt(cut: Line, node: Running) -> None:
        if silently:
            cut.hold()
            time.sleep(CUT_SECONDS)
        else:
            cut.cut()
            node.progress.wait(lambda p: any("does not answer" in text for text in p.messages))
            time.sleep(CUT_SECONDS)
        cut.mend()

    key = run(run_key, nodes.spec, nodes.key, key_line.address, output, patience=patience)
    near = run(
        run_party, nodes.spec, nodes.parties[0], address, make_cohort(30, 2, 1), patience=patience
    )
    far = run(
        run_party,
        nodes.spec,
        nodes.parties[1],
        line.address,
        make_cohort(30, 2, 2),
        patience=patience,
    )
    # The public key is 1.75 MB on its way to the party, the first ciphertext 1.4 MB back.
    deadline = time.monotonic() + 60
    while line.forwarded < 2_500_000 and time.monotonic() < deadline:
        time.sleep(0.002)
    interrupt(line, far)
    key.progress.wait(lambda p: len(p.facts("round")) >= 2)
    interrupt(key_line, key)
    assert key.join().result.n_records == pytest.approx(60, abs=0.1)
    sent: PartySummary = far.join()
    near.join()
    close(nodes, address)
    served: ComputeSummary = compute.join()
    line.close()
    key_line.close()
    # Each blob was accepted once, also the one that the cut tore.
    assert served.bytes_by_link["party_to_compute"]["feature"] == 2 * sent.bytes_sent["feature"]


def test_a_party_that_vanishes_in_an_upload_ends_the_study_for_everybody(
    nodes: Nodes, material: Material, storage: Path
) -> None:
    compute, address = start_compute(nodes, storage, patience=4.0)
    other = run(run_party, nodes.spec, nodes.parties[0], address, make_cohort(30, 2, 1))
    with connect(nodes, nodes.key, address) as key:
        key.join()
        with StudyWatcher(key, Recorder()) as keeper:
            material.publish(key)
            with connect(nodes, nodes.parties[1], address) as party:
                party.join()
                with StudyWatcher(party, Recorder()) as watcher:
                    watcher.wait_for(KeysReady)
                    party.upload(
                        BlobName(BlobKind.FEATURE), material.block[BlobName(BlobKind.FEATURE)]
                    )
            with pytest.raises(NodeVanishedError, match="party node party-b went away"):
                keeper.wait_for(AllPartiesReady)
    for running in (other, compute):
        error = running.error()
        assert type(error) is NodeVanishedError
        assert "party-b" in error.message
    assert any("party-b does not answer" in text for text in other.progress.messages)
    assert not (storage / "study").exists()


def test_a_key_node_that_goes_away_ends_the_study_for_everybody(
    nodes: Nodes, material: Material, storage: Path
) -> None:
    compute, address = start_compute(nodes, storage, patience=3.0)
    parties = [
        run(run_party, nodes.spec, identity, address, make_cohort(30, 2, seed))
        for seed, identity in enumerate(nodes.parties)
    ]
    with connect(nodes, nodes.key, address) as key:
        key.join()
        with StudyWatcher(key, Recorder()) as watcher:
            material.publish(key)
            watcher.wait_for(AllPartiesReady)
    for running in (*parties, compute):
        error = running.error()
        assert type(error) is NodeVanishedError
        assert "key node keeper" in error.message


def test_a_node_that_never_comes_ends_the_study_for_everybody(nodes: Nodes, storage: Path) -> None:
    compute, address = start_compute(nodes, storage, arrival=1.0)
    party = run(run_party, nodes.spec, nodes.parties[0], address, make_cohort(30, 2, 1))
    for running in (party, compute):
        error = running.error()
        assert type(error) is NodeVanishedError
        assert "key node keeper did not come" in error.message


@pytest.mark.parametrize("fingerprint", ["0" * 64, "nonsense"])
def test_a_party_refuses_a_key_with_another_fingerprint(
    nodes: Nodes, storage: Path, output: Path, fingerprint: str
) -> None:
    compute, address = start_compute(nodes, storage)
    key = run(run_key, nodes.spec, nodes.key, address, output)
    party = run(
        run_party,
        nodes.spec,
        nodes.parties[0],
        address,
        make_cohort(30, 2, 1),
        key_fingerprint=fingerprint,
    )
    assert type(party.error()) is KeyFingerprintError
    for running in (key, compute):
        error = running.error()
        assert type(error) is StudyAbortedError
        assert "party node party-a stopped the study" in error.message
    assert "encrypt" not in party.progress.tasks


def test_fewer_records_than_clusters(tmp_path: Path, output: Path) -> None:
    nodes = make_nodes(n_parties=1, n_clusters=3)
    compute, address = start_compute(nodes, tmp_path / "storage")
    key = run(run_key, nodes.spec, nodes.key, address, output)
    party = run(run_party, nodes.spec, nodes.parties[0], address, make_cohort(2, 2, 1))
    reason = key.error()
    assert type(reason) is TooFewRecordsError
    for running in (party, compute):
        error = running.error()
        assert type(error) is StudyAbortedError
        # How many records there are is the key node's to know: the others learn the kind alone.
        assert error.message == (
            "key node keeper stopped the study: the data cannot be used (too few records)"
        )


def test_a_feature_that_is_constant_over_all_parties(tmp_path: Path, output: Path) -> None:
    nodes = make_nodes(n_parties=2)
    compute, address = start_compute(nodes, tmp_path / "storage")
    key = run(run_key, nodes.spec, nodes.key, address, output)
    records = make_cohort(60, 2, 1).records
    records[:, 1] = 0.7
    cohort = Cohort(records=records, n_clipped=(0, 0), warnings=())
    parties = [run(run_party, nodes.spec, own, address, cohort) for own in nodes.parties]
    error = key.error()
    assert type(error) is ConstantFeatureError
    assert nodes.spec.feature_names[1] in error.message
    for running in (*parties, compute):
        assert "(constant feature)" in running.error().message


@pytest.mark.parametrize("value", [1.2, -1.2, 1000.0])
def test_a_record_outside_the_domain_ends_the_study_and_names_the_party(
    tmp_path: Path, output: Path, value: float
) -> None:
    """One value of one record, of a party that does not clip; before a centroid is computed."""
    nodes = make_nodes()
    compute, address = start_compute(nodes, tmp_path / "storage")
    key = run(run_key, nodes.spec, nodes.key, address, output)
    hostile = make_cohort(30, 2, 2)
    hostile.records[7, 1] = value
    parties = [
        run(run_party, nodes.spec, own, address, cohort)
        for own, cohort in zip(nodes.parties, (make_cohort(60, 2, 1), hostile), strict=True)
    ]
    error = key.error()
    assert type(error) is AdmissionError
    assert "'party-b'" in error.message
    assert "bounds" in error.message
    for running in (*parties, compute):
        told = running.error()
        assert type(told) is StudyAbortedError
        assert "party 'party-b'" in told.message
    assert [facts["round_kind"] for facts in compute.progress.facts("round")] == ["admission"]
    assert key.progress.facts("round") == []
    record = tmp_path / "storage" / f"closing-{nodes.spec.digest[:16]}.json"
    closed = verify_record(nodes.spec, record.read_bytes())
    assert (closed.reason, closed.error) == ("aborted", "admission")
    assert closed.key_destroyed is not None
    assert closed.key_destroyed.decrypted_values == 6
    assert list((tmp_path / "storage").rglob("*.part")) == []
    assert not (tmp_path / "storage" / "study").exists()


@pytest.fixture(autouse=True)
def _no_thread_is_left(nodes: Nodes) -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + 10
    while left := [t for t in threading.enumerate() if t not in before and "watcher" in t.name]:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)
