"""How studies end, with nodes as real processes: what is deleted, what stays, who is told what."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mpcseg.errors import ProtocolError
from mpcseg.nodes.compute import serve_compute
from mpcseg.nodes.key import run_key
from mpcseg.nodes.party import run_party
from mpcseg.nodes.requests import close_study, fetch_results, withdraw
from mpcseg.study.closing import ClosingRecord, verify_record
from mpcseg.study.results import open_results
from tests.nodes.processes import NodeProcess, spawn
from tests.nodes.studies import (
    Nodes,
    Recorder,
    audit_folder,
    make_cohort,
    make_nodes,
    two_organisations,
)

pytestmark = pytest.mark.processes


class Study:
    """A study whose nodes are processes, each in a folder of its own."""

    def __init__(self, nodes: Nodes, folder: Path) -> None:
        self.nodes = nodes
        self.folder = folder
        self.storage = folder / "storage"
        self.output = folder / "key"
        self.processes: list[NodeProcess] = []
        self.address = ""

    def serve(self, name: str = "compute", **options: Any) -> NodeProcess:
        compute = self._spawn(
            name,
            serve_compute,
            self.nodes.compute,
            "127.0.0.1:0",
            self.storage,
            1,
            **{"patience": 20.0, "arrival": 60.0, **options},
        )
        self.address = compute.wait_line("event listening")
        return compute

    def key(self, name: str = "key", **options: Any) -> NodeProcess:
        return self._spawn(name, run_key, self.nodes.key, self.address, self.output, **options)

    def parties(self, sizes: tuple[int, ...] = (60, 30)) -> list[NodeProcess]:
        return [self.party(number, size) for number, size in enumerate(sizes)]

    def party(self, number: int, size: int = 30) -> NodeProcess:
        cohort = make_cohort(size, 2, number)
        own = self.nodes.parties[number]
        return self._spawn(f"party {own.name}", run_party, own, self.address, cohort)

    def _spawn(self, name: str, node: Any, own: Any, *rest: Any, **options: Any) -> NodeProcess:
        process = spawn(self.folder / name, node, self.nodes.spec, own, *rest, **options)
        self.processes.append(process)
        return process

    def record(self) -> ClosingRecord:
        """The compute node's closing record, checked as anybody can check it."""
        path = self.storage / f"closing-{self.nodes.spec.digest[:16]}.json"
        return verify_record(self.nodes.spec, path.read_bytes())

    def assert_nothing_left(self) -> None:
        digest = self.nodes.spec.digest[:16]
        left = {path.name for path in self.storage.rglob("*")}
        log = f"audit-{digest}-compute-{self.nodes.spec.compute.name}.sqlite"
        left.discard(f"{log}-journal")  # there while an entry is written
        assert left <= {"lock", log, f"ledger-{digest}.json", f"closing-{digest}.json"}


@pytest.fixture
def studies(tmp_path: Path) -> Iterator[Any]:
    """Make studies; whatever still runs at the end of the test is ended by its id."""
    made: list[Study] = []

    def make(nodes: Nodes) -> Study:
        made.append(Study(nodes, tmp_path))
        return made[-1]

    yield make
    for node in (node for study in made for node in study.processes):
        if node.process.is_alive():
            node.process.kill()
            node.process.join()


def test_two_organisations_from_start_to_closing_record(studies: Any) -> None:
    """Alder runs key and party node, birch compute and party node, each by its one identity."""
    study: Study = studies(two_organisations())
    spec = study.nodes.spec
    compute = study.serve()
    key, parties = study.key(), study.parties()
    assert [node.result() for node in (key, *parties)] == ["done"] * 3
    assert (study.output / "sealed" / "birch.sealed").stat().st_mode & 0o777 == 0o600
    for own in study.nodes.parties:
        sealed = fetch_results(spec, own, study.address, Recorder(), audit=audit_folder())
        assert sealed == (study.output / "sealed" / f"{own.name}.sealed").read_bytes()
        opened = open_results(spec, own, sealed)
        assert opened.report is not None
        assert opened.report.n_records == pytest.approx(90, abs=1)
        assert opened.centroids is not None
    answer = close_study(spec, study.nodes.compute, study.address, Recorder())
    assert compute.result() == "done"
    record = study.record()
    assert verify_record(spec, answer) == record
    assert record.reason == "closed"
    assert record.request is not None
    assert record.request.organisation == "birch"
    assert record.key_destroyed is not None
    # Of each party three sums of admission; 6 moments; two rounds of 2·3; a last one of 2·5.
    assert record.key_destroyed.decrypted_values == 6 + 6 + 12 + 10
    # Two parties' blocks, two keys, the last round's releases and two sealed results at least.
    assert record.purged.n_blobs >= 6 + 2 + 10 + 2
    study.assert_nothing_left()


def test_retention_closes_by_itself(studies: Any) -> None:
    study: Study = studies(make_nodes(retention_days=1.5 / 86_400))
    compute = study.serve()
    for node in (study.key(), *study.parties()):
        assert node.result() == "done"
    assert compute.result() == "done"
    record = study.record()
    assert (record.reason, record.request) == ("retention", None)
    assert record.key_destroyed is not None
    study.assert_nothing_left()


def test_a_study_is_closed_while_it_computes(studies: Any) -> None:
    study: Study = studies(make_nodes(n_rounds=30))
    compute = study.serve()
    key, parties = study.key(), study.parties()
    compute.wait_line("start round 2")
    answer = close_study(study.nodes.spec, study.nodes.compute, study.address, Recorder())
    for node in (compute, key, *parties):
        assert node.result().startswith("study_closed: hub closed the study before it was finished")
    key.wait_line("message the secret key is destroyed")
    record = study.record()
    assert verify_record(study.nodes.spec, answer) == record
    assert record.reason == "closed"
    # The key process has said so itself, under its organisation's signature.
    assert record.key_destroyed is not None
    assert not (study.output / "sealed").exists()
    study.assert_nothing_left()


def test_a_withdrawal_deletes_the_ciphertexts_before_it_is_answered(studies: Any) -> None:
    study: Study = studies(make_nodes())
    compute = study.serve()
    key = study.key()
    first = study.party(0)
    compute.wait_line("event party_ready")
    assert list(study.storage.rglob("feature-*"))
    answer = withdraw(study.nodes.spec, study.nodes.parties[0], study.address, Recorder())
    study.assert_nothing_left()
    record = verify_record(study.nodes.spec, answer)
    assert record == study.record()
    assert record.reason == "withdrawn"
    assert record.request is not None
    assert record.request.organisation == "party-a"
    assert record.purged.n_blobs >= 3 + 2
    for node in (compute, key, first):
        assert node.result().startswith("withdrawn: party node party-a has withdrawn")


def test_a_study_that_was_withdrawn_from_is_not_served_again(studies: Any) -> None:
    study: Study = studies(make_nodes())
    compute = study.serve()
    withdraw(study.nodes.spec, study.nodes.parties[1], study.address, Recorder())
    assert compute.result().startswith("withdrawn")
    again = study._spawn(
        "again", serve_compute, study.nodes.compute, "127.0.0.1:0", study.storage, 1
    )
    assert again.result().startswith("study_closed: the study 'trial' ended on ")


def test_nobody_withdraws_once_rounds_have_begun(studies: Any) -> None:
    study: Study = studies(make_nodes(n_rounds=30))
    compute = study.serve()
    key, parties = study.key(), study.parties()
    compute.wait_line("start round 0")
    with pytest.raises(ProtocolError, match="after the first round"):
        withdraw(study.nodes.spec, study.nodes.parties[0], study.address, Recorder())
    close_study(study.nodes.spec, study.nodes.key, study.address, Recorder())
    for node in (compute, key, *parties):
        assert node.result().startswith("study_closed: keeper closed the study")


def test_an_aborted_study_leaves_nothing_and_says_so(studies: Any) -> None:
    study: Study = studies(make_nodes(n_rounds=30))
    compute = study.serve(patience=2.0)
    key, parties = study.key(), study.parties()
    compute.wait_line("start round 2")
    key.process.kill()
    assert key.result() == "killed"
    for node in (compute, *parties):
        assert node.result().startswith("node_vanished: key node keeper went away")
    record = study.record()
    assert (record.reason, record.error) == ("aborted", "node_vanished")
    assert record.key_destroyed is None  # nobody has said so
    study.assert_nothing_left()


def test_the_budget_is_spent_once(studies: Any) -> None:
    """A second run of the same agreement, with noise, is refused by both nodes before it begins."""
    study: Study = studies(make_nodes(privacy={"epsilon": 5.0}))
    compute = study.serve()
    for node in (study.key(), *study.parties((400, 300))):
        assert node.result() == "done"
    ledger = study.storage / f"ledger-{study.nodes.spec.digest[:16]}.json"
    own_ledger = study.output / "ledger.json"
    for path in (ledger, own_ledger):
        assert path.stat().st_mode & 0o777 == 0o600
    assert ledger.read_bytes() == own_ledger.read_bytes()
    close_study(study.nodes.spec, study.nodes.compute, study.address, Recorder())
    assert compute.result() == "done"
    assert study.record().reason == "closed"
    # As if nobody had put the end on record: the ledger alone decides.
    (study.storage / f"closing-{study.nodes.spec.digest[:16]}.json").unlink()
    again = study._spawn(
        "again", serve_compute, study.nodes.compute, "127.0.0.1:0", study.storage, 1
    )
    assert again.result().startswith("budget: another run of this study would exceed")
    assert study.key("key again").result().startswith("budget: another run of this study")


def test_the_compute_node_refuses_a_round_that_its_ledger_does_not_cover(studies: Any) -> None:
    """Also where the key node's ledger is gone, and whatever the key node wants."""
    study: Study = studies(make_nodes(privacy={"epsilon": 5.0}))
    compute = study.serve(patience=2.0)
    key, parties = study.key(), study.parties((400, 300))
    compute.wait_line("start round 3")
    key.process.kill()
    assert [node.result().split(":")[0] for node in (compute, *parties)] == ["node_vanished"] * 3
    shutil.rmtree(study.output)
    again = study._spawn(
        "again", serve_compute, study.nodes.compute, "127.0.0.1:0", study.storage, 1
    )
    assert again.result().startswith("budget: ")
