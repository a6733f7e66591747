"""A key node that is killed again and again, and started again, leads one study to its end."""

from __future__ import annotations

import collections
import shutil
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from mpcseg.audit.log_file import LogFile, read_log
from mpcseg.audit.records import (
    Began,
    Decrypted,
    KeysVouched,
    RoundOpened,
    RoundSpent,
    SecretKeyDestroyed,
)
from mpcseg.errors import RecoveryError, StudyAbortedError
from mpcseg.nodes.key import run_key
from mpcseg.nodes.key_rounds import LEDGER_FILE
from mpcseg.nodes.party import run_party
from mpcseg.nodes.planning import study_plan
from mpcseg.nodes.requests import fetch_results
from mpcseg.nodes.summary import KeySummary
from mpcseg.privacy.ledger import Ledger
from mpcseg.study.results import Results, open_results
from mpcseg.verification.evidence import collect
from mpcseg.verification.verify import verify
from tests.nodes.dying_key import dying_key
from tests.nodes.processes import spawn
from tests.nodes.studies import (
    Nodes,
    Recorder,
    close,
    make_cohort,
    run,
    run_study,
    start_compute,
    two_organisations,
)
from tests.organisations import signed

pytestmark = pytest.mark.processes

FEW = (
    "keys kept",
    "keys vouched for",
    "admission in the ledger",
    "moments about to be decrypted",
    "hyperplane on its way",
    "results noted",
    "secret key overwritten",
    "finished",
)
"""Steps of `make test`; `make faults` takes them all (tests/faults/test_key_steps.py)."""

COHORTS = [make_cohort(60, 2, 1), make_cohort(30, 2, 2)]


@dataclass(frozen=True)
class Killed:
    """A study whose key node was killed at several of its steps, one after the other.

    Attributes:
        steps: after which it was killed.
        nodes: its organisations.
        folder: all that it left.
        last: what the key node's last process returned.
        again: what one returned that was started when all was done.
    """

    steps: Sequence[str]
    nodes: Nodes
    folder: Path
    last: KeySummary
    again: KeySummary

    @property
    def log(self) -> LogFile:
        (path,) = (self.folder / "key").glob("audit-*.sqlite")
        return read_log(path, self.nodes.spec)

    def results(self, of: KeySummary) -> Results:
        return open_results(self.nodes.spec, self.nodes.key, of.sealed[self.nodes.key.name])


def killed(folder: Path, steps: Sequence[str]) -> Killed:
    """Run it."""
    nodes = two_organisations(n_rounds=1)
    compute, address = start_compute(nodes, folder / "storage", patience=60.0)
    parties = [
        run(run_party, nodes.spec, own, address, cohort, audit=folder / "audit")
        for own, cohort in zip(nodes.parties, COHORTS, strict=True)
    ]
    took = (nodes.spec, nodes.key, address, folder / "key")
    for number, step in enumerate(steps):
        node = spawn(folder / f"process-{number}", dying_key, step, *took)
        assert node.result(90.0) == "killed", step
        assert node.process.exitcode == -signal.SIGKILL, step
    last = run(run_key, *took).join()
    assert not (folder / "key" / "recovery").exists()
    again = run(run_key, *took).join()
    for party in parties:
        party.join()
    for own in nodes.parties:
        fetch_results(nodes.spec, own, address, Recorder(), audit=folder / "audit")
    (folder / "closing.json").write_bytes(close(nodes, address))
    compute.join()
    return Killed(steps, nodes, folder, last, again)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Killed:
    return killed(tmp_path_factory.mktemp("killed"), FEW)


def test_it_finds_what_a_key_node_finds_that_is_not_killed(study: Killed, tmp_path: Path) -> None:
    whole = run_study(study.nodes, tmp_path, COHORTS)
    whole.closed(study.nodes)
    found, other = study.results(study.last), study.results(whole.key)
    assert found.centroids is not None
    assert other.centroids is not None
    centers = found.centroids.centers_scaled
    for one, two in zip(centers, other.centroids.centers_scaled, strict=True):
        assert one == pytest.approx(two, abs=2e-3)
    assert study.last.decrypted_values == whole.key.decrypted_values


def test_nothing_is_done_twice(study: Killed) -> None:
    records = [entry.record for entry in study.log.entries]
    began = [record for record in records if isinstance(record, Began)]
    # The first process was killed with its keys made; all others went on with its run.
    assert [record.resumes for record in began] == [False] + [True] * (len(began) - 1)
    assert len(began) == len(study.steps) + 2
    assert {record.recovery for record in began} == {"sealed"}
    for kind in (Decrypted, RoundOpened, RoundSpent, KeysVouched, SecretKeyDestroyed):
        same = collections.Counter(r.model_dump_json() for r in records if isinstance(r, kind))
        assert set(same.values()) == {1}, kind
    (destroyed,) = [record for record in records if isinstance(record, SecretKeyDestroyed)]
    n_decrypted = sum(isinstance(record, Decrypted) for record in records)
    assert destroyed.decrypted_values == n_decrypted == study.last.decrypted_values
    spec = study.nodes.spec
    ledger = Ledger.load(study.folder / "key" / LEDGER_FILE, study_plan(spec).noise, spec.digest)
    assert [(one.run, one.index) for one in ledger.entries] == [(0, 0), (0, 1), (0, 2), (0, 3)]


def test_reviewers_find_nothing_wrong_with_it(study: Killed) -> None:
    evidence = collect(
        signed(study.nodes.spec), [study.folder], study.folder / "closing.json", None
    )
    verdicts = {one.what: (one.verdict, one.evidence) for one in verify(evidence)}
    assert {what: said for what, said in verdicts.items() if said[0] == "failed"} == {}


def test_started_once_more_when_all_is_done_it_says_the_same(study: Killed) -> None:
    assert study.again.result is None
    assert study.again.sealed == study.last.sealed
    assert study.again.decrypted_values == study.last.decrypted_values


@pytest.mark.parametrize("keeps", [True, False])
def test_a_node_whose_secret_key_is_lost_says_what_happened(tmp_path: Path, keeps: bool) -> None:
    nodes = two_organisations(n_rounds=1)
    _, address = start_compute(nodes, tmp_path / "storage", patience=60.0)
    took = (nodes.spec, nodes.key, address, tmp_path / "key")
    node = spawn(tmp_path / "first", dying_key, "keys published", *took, keeps_recovery=keeps)
    assert node.result(60.0) == "killed"
    assert (tmp_path / "key" / "recovery").exists() is keeps
    if keeps:
        shutil.move(tmp_path / "key" / "recovery", tmp_path / "elsewhere")
    for _ in range(2):
        error = run(run_key, *took).error()
        assert type(error) is RecoveryError
        assert "this node has not kept their secret key" in error.message
        assert "mpcseg study close" in error.hint
    if keeps:
        # Found again, it is gone on with: what was refused has changed nothing.
        shutil.move(tmp_path / "elsewhere", tmp_path / "key" / "recovery")
        last = run(run_key, *took)
        last.progress.wait(lambda p: p.facts("keys"))
    close(nodes, address)
    if keeps:
        assert type(last.error()) is StudyAbortedError or last.error().code == "study_closed"
        assert not (tmp_path / "key" / "recovery").exists()
