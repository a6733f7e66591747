"""A compute node that is killed and started again with the same command goes on where it was."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpcseg.audit.log import AuditLog
from mpcseg.audit.log_file import read_log
from mpcseg.audit.records import Began, Decrypted, Received, RoundEvaluated, RoundSpent
from mpcseg.nodes.compute import serve_compute
from mpcseg.nodes.key import run_key
from mpcseg.nodes.party import run_party
from mpcseg.nodes.requests import close_study, fetch_results
from mpcseg.study.agreement import load_agreement
from mpcseg.verification.computed import computed_study
from mpcseg.verification.evidence import collect
from mpcseg.verification.replay import verify_replay
from mpcseg.verification.verify import verify
from mpcseg.wire.blobs import FileReceiver
from tests.nodes.processes import NodeProcess, spawn
from tests.nodes.studies import Nodes, Recorder, make_cohort, make_nodes, run
from tests.organisations import write_study

COHORTS = [make_cohort(60, 2, 1), make_cohort(30, 2, 2)]


@dataclass(frozen=True)
class Blow:
    """Where a process kills itself.

    Attributes:
        event: of the record that is being written.
        after: it is on disk; otherwise it never gets there.
        blob: beginning of the blob's name, for records of blobs; they are counted.
        nth: which of them.
        keep: once it is written, and the file is to get its name.
    """

    event: str
    after: bool = True
    blob: str = ""
    nth: int = 1
    keep: bool = False


def serve_until(blow: Blow | None, *arguments: Any, **options: Any) -> None:
    """A compute node that dies at a blow."""
    append, keep, count = AuditLog.append, FileReceiver.keep, 0

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def append_or_die(log: AuditLog, *records: Any) -> None:
        nonlocal count
        assert blow is not None
        hit = [
            r
            for r in records
            if r.event == blow.event and getattr(r, "blob", "").startswith(blow.blob)
        ]
        count += len(hit)
        due = bool(hit) and count >= blow.nth
        if due and not blow.after:
            die()
        append(log, *records)
        if due and blow.keep:
            FileReceiver.keep = die_in_keep  # type: ignore[method-assign]
        elif due:
            die()

    def die_in_keep(receiver: FileReceiver) -> None:
        if receiver._target.name.startswith(blow.blob if blow else ""):
            die()
        keep(receiver)

    if blow is not None:
        AuditLog.append = append_or_die  # type: ignore[method-assign]
    serve_compute(*arguments, **options)


ALL = [
    Blow("received", blob="public-key", keep=True),
    Blow("keys_vouched", after=False),
    Blow("keys_vouched"),
    Blow("received", blob="feature", nth=3, keep=True),
    Blow("received", blob="presence"),
    Blow("blocks_committed", after=False),
    Blow("blocks_committed"),
    Blow("round_opened", after=False),
    Blow("round_opened"),
    Blow("round_spent", after=False),
    Blow("round_spent"),
    Blow("round_evaluated", after=False),
    Blow("round_evaluated"),
    Blow("sent", blob="release", nth=2, after=False),
    Blow("sent", blob="release", nth=2),
    Blow("received", blob="hyperplane", nth=2, keep=True),
    Blow("received", blob="hyperplane"),
    Blow("round_evaluated"),
    Blow("received", blob="result", keep=True),
    Blow("secret_key_destroyed", after=False),
    Blow("secret_key_destroyed"),
]
FEW = [ALL[i] for i in (3, 6, 9, 12, 15, 20)]
# Two minutes on two cores for what the few show in half a minute: `make faults` has them all.
BLOWS = ALL if os.environ.get("MPCSEG_ALL_BLOWS") else FEW
ENDS = [Blow("end_decided"), Blow("deletion_began"), Blow("study_ended", after=False)]


class Study:
    """A study whose compute node is started again and again."""

    def __init__(
        self, nodes: Nodes, folder: Path, started: list[NodeProcess], seconds: float = 90.0
    ) -> None:
        self.nodes, self.folder, self.started = nodes, folder, started
        self.seconds = seconds  # within which a blow must come
        self.storage = folder / "storage"
        self.address = "127.0.0.1:0"

    def start(self, blow: Blow | None = None) -> NodeProcess:
        node = spawn(
            self.folder / f"compute-{len(self.started)}",
            serve_until,
            blow,
            self.nodes.spec,
            self.nodes.compute,
            self.address,
            self.storage,
            1,
            patience=60.0,
        )
        self.started.append(node)
        self.address = node.wait_line("event listening")
        return node

    def survive(self, node: NodeProcess, blows: list[Blow]) -> NodeProcess:
        """Start it again after each blow; returns the process that is left."""
        for blow in blows:
            outcome = node.result(self.seconds)
            assert outcome == "killed", (blow, outcome)
            node = self.start(blow)
        outcome = node.result(self.seconds)
        assert outcome == "killed", outcome
        return self.start()


@pytest.fixture
def started() -> Any:
    processes: list[NodeProcess] = []
    yield processes
    for node in processes:
        node.process.kill()
        node.process.join()


def test_a_study_survives_kills_of_its_compute_node_at_every_step(
    tmp_path: Path, started: list[NodeProcess]
) -> None:
    nodes = make_nodes(privacy={"epsilon": 20.0}, n_rounds=1)
    study = Study(nodes, tmp_path, started)
    node = study.start(BLOWS[0])
    audit, key_folder = tmp_path / "audit", tmp_path / "key"
    key = run(run_key, nodes.spec, nodes.key, study.address, key_folder, patience=60.0)
    parties = [
        run(run_party, nodes.spec, own, study.address, cohort, audit=audit, patience=60.0)
        for own, cohort in zip(nodes.parties, COHORTS, strict=True)
    ]
    node = study.survive(node, BLOWS[1:])
    assert key.join().result.n_records == pytest.approx(90, abs=30)
    for party in parties:
        party.join()
    for own in nodes.parties:
        fetch_results(nodes.spec, own, study.address, Recorder(), audit=audit)
    # What is left can be replayed, with the noise that was drawn once.
    log = read_log(next(study.storage.glob("audit-*.sqlite")), nodes.spec)
    done = verify_replay(
        nodes.spec, computed_study(log, nodes.spec), study.storage, Recorder(), workers=1
    )
    assert len(done.rounds) == 4
    os.kill(node.process.pid or 0, signal.SIGTERM)
    assert node.result().startswith("suspended: stopped; start it again")
    node = study.start(ENDS[0])
    closing = run(close_study, nodes.spec, nodes.key, study.address, patience=60.0)
    node = study.survive(node, ENDS[1:])
    record = closing.join()
    assert node.result() == "done"
    assert not (study.storage / "study").exists()
    assert not (study.storage / "deleted").exists()

    (tmp_path / "closing.json").write_bytes(record)
    agreement = load_agreement(write_study(tmp_path / "trial.agreement", nodes.spec))
    places = [audit, key_folder, study.storage]
    found = list(verify(collect(agreement, places, tmp_path / "closing.json", study.storage)))
    assert [(f.what, f.evidence) for f in found if f.verdict != "passed"] == []
    log = read_log(next(study.storage.glob("audit-*.sqlite")), nodes.spec)
    records = [entry.record for entry in log.entries]
    assert sum(isinstance(r, Began) for r in records) == len(BLOWS) + len(ENDS) + 2
    assert Counter(r.round for r in records if isinstance(r, RoundEvaluated)) == dict.fromkeys(
        range(4), 1
    )
    assert Counter(r.round for r in records if isinstance(r, RoundSpent)) == dict.fromkeys(
        range(4), 1
    )
    assert Received in map(type, records)
    assert json.loads(record)["record"]["purged"]["n_blobs"] > 20
    assert np.isfinite(key.join().result.cluster_centers).all()
    assert Decrypted not in map(type, records)
