"""A study that starts from a former one's centroids: over real ciphertexts, and with a kill."""

from __future__ import annotations

import dataclasses
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from mpcseg.audit.log_file import read_log
from mpcseg.audit.records import RoundOpened, StartedFrom
from mpcseg.cli.app import app
from mpcseg.cli.config import KeyConfig
from mpcseg.cli.results import write_results
from mpcseg.cli.starting import former_of
from mpcseg.errors import AuditError, ConfigError, DriftError, RecoveryError
from mpcseg.nodes.key import run_key
from mpcseg.nodes.party import run_party
from mpcseg.nodes.summary import KeySummary
from mpcseg.study.agreement import load_agreement
from mpcseg.study.former import FormerCentroids
from mpcseg.study.results import Results, open_results
from mpcseg.verification.evidence import Evidence, collect
from mpcseg.verification.verify import Finding, verify
from tests.finished import FinishedStudy, finished_study
from tests.lies import Change, with_lie
from tests.nodes.dying_key import dying_key
from tests.nodes.processes import spawn
from tests.nodes.studies import Nodes, close, make_cohort, run, start_compute, two_organisations
from tests.organisations import signed, write_study

pytestmark = pytest.mark.processes

_GROUPS = make_cohort(300, 2, 3)
# Birch has found many new customers, all of one group.
COHORTS = [
    make_cohort(60, 2, 1),
    dataclasses.replace(_GROUPS, records=_GROUPS.records[_GROUPS.records[:, 0] > 0]),
]
KILLED_AT = "first round asked for"


@dataclass(frozen=True)
class FollowUp:
    """A follow-up study whose key node was killed in its first round with centroids.

    Attributes:
        former: the study that it follows.
        nodes: its organisations, the same.
        start: what the key node opened of the former.
        refused: what a process was told that came with other results of the former.
        key: what the last process returned.
        folder: all that it left.
    """

    former: FinishedStudy
    nodes: Nodes
    start: FormerCentroids
    refused: Exception
    key: KeySummary
    folder: Path

    def results(self, name: str = "alder") -> tuple[Results, Results]:
        """Of the former, and of this one."""
        own = {one.name: one for one in self.nodes.parties}[name]
        sealed = sealed_former(self.former, name).read_bytes()
        return (
            open_results(self.former.spec, own, sealed),
            open_results(self.nodes.spec, own, self.key.sealed[name]),
        )


def sealed_former(former: FinishedStudy, name: str) -> Path:
    return former.left / "key" / "sealed" / f"{name}.sealed"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> FollowUp:
    folder = tmp_path_factory.mktemp("follow-up")
    former = finished_study()
    nodes = two_organisations(
        name="summer", former=former.spec.digest, privacy={"epsilon": 20.0}, n_rounds=1
    )
    settings = KeyConfig(
        identity=folder,
        study=folder,
        address="127.0.0.1:1",
        output=folder / "key",
        former_study=former.agreement,
        former_sealed=sealed_former(former, "alder"),
    )
    start = former_of(settings, nodes.spec, nodes.key)
    assert start is not None
    compute, address = start_compute(nodes, folder / "storage", patience=60.0)
    parties = [
        run(run_party, nodes.spec, own, address, cohort, audit=folder / "audit")
        for own, cohort in zip(nodes.parties, COHORTS, strict=True)
    ]
    took = (nodes.spec, nodes.key, address, folder / "key")
    node = spawn(folder / "killed", dying_key, KILLED_AT, *took, former=start)
    assert node.result(90.0) == "killed"
    other = dataclasses.replace(start, results_digest="ab" * 32)
    refused = run(run_key, *took, former=other).error()
    key = run(run_key, *took, former=start).join()
    for party in parties:
        party.join()
    (folder / "closing.json").write_bytes(close(nodes, address))
    compute.join()
    return FollowUp(former, nodes, start, refused, key, folder)


def test_it_starts_where_the_former_segments_ended(study: FollowUp) -> None:
    former, _ = study.results()
    assert former.centroids is not None
    assert study.key.result is not None
    assert study.key.result.starting_centers == pytest.approx(
        np.array(former.centroids.centers_scaled), abs=0
    )


def test_a_key_node_that_was_killed_goes_on_from_the_same_results_alone(study: FollowUp) -> None:
    assert type(study.refused) is RecoveryError
    assert "other results of the former study" in study.refused.message
    (path,) = (study.folder / "key").glob("audit-*.sqlite")
    records = [entry.record for entry in read_log(path, study.nodes.spec).entries]
    started = [record for record in records if isinstance(record, StartedFrom)]
    assert started == [
        StartedFrom(former=study.former.spec.digest, results=study.start.results_digest)
    ]
    first_round = next(record for record in records if isinstance(record, RoundOpened))
    assert records.index(started[0]) < records.index(first_round)


def test_a_key_node_starts_no_follow_up_without_the_former_s_centroids(
    study: FollowUp, tmp_path: Path
) -> None:
    spec, own = study.nodes.spec, study.nodes.key
    for given in (None, dataclasses.replace(study.start, study_digest="ab" * 32)):
        refused = run(run_key, spec, own, "127.0.0.1:1", tmp_path / "key", former=given).error()
        assert type(refused) is ConfigError
        assert "former_sealed" in refused.hint
    alone = study.former.spec
    refused = run(run_key, alone, own, "127.0.0.1:1", tmp_path / "key", former=study.start).error()
    assert "follows no other study" in refused.message
    assert not (tmp_path / "key").exists()


# --- reviewers -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def evidence(study: FollowUp) -> Evidence:
    (formers_log,) = (study.former.left / "key").glob("audit-*-key-*.sqlite")
    return collect(
        signed(study.nodes.spec),
        [study.folder, formers_log],
        study.folder / "closing.json",
        None,
        load_agreement(study.former.agreement),
    )


def start_check(evidence: Evidence) -> Finding:
    (finding,) = [one for one in verify(evidence) if one.what == "starts as agreed"]
    return finding


def test_reviewers_see_from_which_results_it_started(evidence: Evidence) -> None:
    failed = [(one.what, one.evidence) for one in verify(evidence) if one.verdict == "failed"]
    assert failed == []
    assert start_check(evidence).evidence == "from the results that 'trial' released to alder"
    without = dataclasses.replace(evidence, former=None)
    assert start_check(without).verdict == "not checked"


@pytest.mark.parametrize(
    "lie",
    [
        lambda records: [r for r in records if not isinstance(r, StartedFrom)],
        lambda records: sorted(records, key=lambda r: isinstance(r, StartedFrom)),
        lambda records: [
            r.model_copy(update={"results": "ab" * 32}) if isinstance(r, StartedFrom) else r
            for r in records
        ],
        lambda records: [
            r.model_copy(update={"former": "ab" * 32}) if isinstance(r, StartedFrom) else r
            for r in records
        ],
    ],
    ids=["silent", "too late", "other results", "another study"],
)
def test_a_key_node_that_says_otherwise_is_found_out(evidence: Evidence, lie: Change) -> None:
    finding = start_check(with_lie(evidence, "key", "alder", lie))
    assert finding.verdict == "failed"
    assert type(finding.error) is AuditError


# --- drift ---------------------------------------------------------------------------------


def test_the_command_ends_with_its_own_status_where_customers_have_moved(
    study: FollowUp, tmp_path: Path
) -> None:
    for results, name in zip(study.results(), ("former", "new"), strict=True):
        write_results(results, tmp_path / name)
    agreement = write_study(tmp_path / "summer.agreement", study.nodes.spec)
    arguments = ["drift", tmp_path / "former", tmp_path / "new", "--study", agreement]
    arguments += ["--former-study", study.former.agreement, "--output", tmp_path / "drift"]
    found = CliRunner().invoke(app, [*map(str, arguments)])
    assert type(found.exception) is DriftError, found.output
    assert "population stability index" in found.exception.message
    document = json.loads((tmp_path / "drift" / "drift.json").read_text())
    assert document["exceeded"] is True
    assert document["psi"] >= 0.2
    kept = CliRunner().invoke(app, [*map(str, [*arguments, "--psi", 9, "--move", 9])])
    assert kept.exit_code == 0, kept.output
    shutil.rmtree(tmp_path / "drift")
