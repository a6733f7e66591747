"""The compute node's side of a round: its noise, and the ledger before anything is kept or told."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from mpcseg.audit.log import AuditLog
from mpcseg.engine import Engine, RoundEvidence, RoundWork
from mpcseg.engine.evidence import RoundResult, write_evidence
from mpcseg.errors import BudgetError
from mpcseg.nodes import hosted
from mpcseg.nodes.blob_store import BlobStore
from mpcseg.nodes.planning import study_plan
from mpcseg.nodes.progress import SilentProgress
from mpcseg.nodes.records import ledger_path
from mpcseg.nodes.rounds import RoundRunner
from mpcseg.nodes.study_rules import RoundOrder
from mpcseg.nodes.transport import Roster
from mpcseg.nodes.upload_gate import UploadGate
from mpcseg.privacy.ledger import Ledger
from mpcseg.wire.events import ReleaseReady
from tests.organisations import identity, study_spec
from tests.unit.nodes.study import ADMISSION, KEY, MOMENTS, A, B, Study, collected

SPEC = study_spec(radius=1.2)
PLAN = study_plan(SPEC)


@dataclass
class InstantEngine:
    """Releases at once, without a ciphertext; the order of things is what is looked at."""

    works: list[RoundWork] = field(default_factory=list)
    worker_restarts = 0

    async def run_round(self, work: RoundWork, evidence: Path, on_progress: Any) -> RoundResult:
        self.works.append(work)
        on_progress(1, 1)
        blobs = [b"release"] * 3
        return RoundResult(blobs, write_evidence(evidence, work, "none", (), {}, blobs))


@dataclass
class Rounds:
    """A runner with its study, its folder and what the spending saw."""

    storage: Path
    refusal: Exception | None = None
    study: Study = field(default_factory=Study)
    engine: InstantEngine = field(default_factory=InstantEngine)
    spent: list[tuple[bool, int]] = field(default_factory=list)
    committed: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        collected(self.study)
        self.store = BlobStore(self.storage, (KEY, A, B))
        self.store.begin()

    @property
    def n_told(self) -> int:
        """Releases that the key node has been told of."""
        return sum(isinstance(event, ReleaseReady) for event in self.study.state.events)

    @property
    def kept(self) -> bool:
        """Whether there are releases that the key node could fetch."""
        return any((self.store.root / "releases").glob("*"))

    def spend(self, _: RoundOrder) -> None:
        self.spent.append((self.kept, self.n_told))
        if self.refusal is not None:
            raise self.refusal

    def commit(self, _: RoundOrder, evidence: RoundEvidence) -> None:
        assert len(evidence.releases) == 3
        self.committed.append(self.n_told)

    def run(self, order: RoundOrder) -> None:
        async def one_round() -> None:
            runner = RoundRunner(
                self.study.state,
                self.store,
                cast("Engine", self.engine),
                PLAN,
                spend=self.spend,
                evaluated=self.commit,
                progress=SilentProgress(),
                changed=lambda: None,
            )
            self.study.open(order)
            runner.open(order)
            assert runner._round is not None
            await runner._round

        asyncio.run(one_round())


@pytest.fixture
def rounds(tmp_path: Path) -> Any:
    made = Rounds(tmp_path / "storage")
    yield made
    made.store.close()


def test_a_round_runs_with_the_plans_noise_and_radius(rounds: Rounds) -> None:
    for order in (ADMISSION, MOMENTS):
        rounds.run(order)
    for work in rounds.engine.works:
        # The study of these rules has other features than the one of this plan: only sizes count.
        assert len(work.noise) == PLAN.noise.stds(work.kind).size
        assert all(work.noise)
        assert work.radius == 1.2
    admission, moments = rounds.engine.works
    assert admission.seed != moments.seed


def test_the_round_is_paid_for_before_a_release_is_kept_or_told(rounds: Rounds) -> None:
    rounds.run(ADMISSION)
    assert rounds.spent == [(False, 0)]
    assert rounds.committed == [0]
    assert rounds.kept
    assert rounds.n_told == 1


def test_a_round_that_cannot_be_paid_for_releases_nothing(rounds: Rounds) -> None:
    rounds.refusal = BudgetError("nothing is left")
    rounds.run(ADMISSION)
    assert not rounds.kept
    assert rounds.n_told == 0
    assert rounds.study.state.error is rounds.refusal


def test_the_compute_node_spends_on_disk(tmp_path: Path) -> None:
    """What a round has cost is read back by the next process."""
    roster = Roster(SPEC)
    store = BlobStore(tmp_path, (roster.key, *roster.parties))
    try:
        with AuditLog(tmp_path, SPEC, identity("hub"), "compute") as log:
            node = hosted.HostedStudy(
                SPEC,
                identity("hub"),
                PLAN,
                storage=tmp_path,
                store=store,
                ledger=Ledger(PLAN.noise, SPEC.digest),
                log=log,
                limits=hosted.Limits(1, 1.0, 1.0, 1, UploadGate()),
                progress=SilentProgress(),
            )
            node._spend(ADMISSION)
    finally:
        store.close()
    path = ledger_path(tmp_path, SPEC)
    assert path.exists()
    assert [entry["kind"] for entry in json.loads(path.read_text())["entries"]] == ["admission"]
    again = Ledger.load(path, PLAN.noise, SPEC.digest)
    assert again.spent_rho == pytest.approx(PLAN.noise.rho("admission"))
