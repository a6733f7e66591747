"""The demonstration with real processes: how it ends, well and badly, and what it leaves."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from mpcseg import errors
from mpcseg.demo.children import Children
from mpcseg.demo.commands import Commands
from mpcseg.demo.customers import Customers
from mpcseg.demo.run import DemoOptions, run_demo
from mpcseg.demo.tables import DealtTables
from mpcseg.demo.workspace import StudyShape, Workspace, make_workspace
from mpcseg.study.spec import FeatureSpec

pytestmark = pytest.mark.processes

FEATURES = (
    FeatureSpec(name="visits", transform="log1p", lower=0, upper=100),
    FeatureSpec(name="money", transform="log1p", lower=0, upper=5000),
)


def customers(name: str, n: int, seed: int) -> Customers:
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 2, n)
    visits = np.rint(rng.lognormal(np.where(kind, 3, 1), 0.4))
    money = np.round(rng.lognormal(np.where(kind, 6, 3.5), 0.5), 2)
    return Customers(tuple(f"{name}-{i}" for i in range(n)), np.column_stack([visits, money]))


def workspace_of(folder: Path, parties: dict[str, Customers]) -> Workspace:
    tables = DealtTables("id", FEATURES, parties)
    return make_workspace(folder, tables, StudyShape(2, 2, 0, "none"), workers=1)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A table of 400 customers in two plain groups, and the folder for its results."""
    (tmp_path / "out").mkdir()
    path = tmp_path / "customers.csv"
    made = customers("c", 400, 1)
    rows = [
        f"{identifier},{visits},{money}"
        for identifier, (visits, money) in zip(made.identifiers, made.values, strict=True)
    ]
    path.write_text("\n".join(["id,visits,money", *rows]))
    return path


def test_a_study_runs_from_a_table_to_its_results(tmp_path: Path, table: Path) -> None:
    options = DemoOptions(
        data=table, id_column="id", features=("visits", "money"), log1p=("visits", "money"),
        parties=2, clusters=2, rounds=2, seed=0, epsilon="none",
        workers=2, keep=tmp_path / "keep", tables=None,
        segments_csv=tmp_path / "out" / "segments.csv",
        segments_json=tmp_path / "out" / "segments.json",
        outcome=tmp_path / "out" / "outcome.json",
        report=tmp_path / "out" / "report",
    )  # fmt: skip
    with (tmp_path / "screen.txt").open("w") as file:
        run_demo(options, Console(file=file, width=120))
    outcome = json.loads((tmp_path / "out" / "outcome.json").read_text())
    assert outcome["n_records"] == 400
    assert (outcome["n_features"], outcome["n_clusters"], outcome["n_rounds"]) == (2, 2, 2)
    assert outcome["parameter_set"].startswith("ckks-16384-")
    assert np.shape(outcome["cluster_centers"]) == (2, 2)
    assert sum(outcome["segment_sizes"]) == pytest.approx(400, rel=0.01)
    # Two far groups: whatever the start, the second round is at rest.
    assert outcome["inertia_ratio"] == pytest.approx(1, abs=0.002)
    assert outcome["inertia_ratio_best10"] == pytest.approx(1, abs=0.02)
    assert outcome["ari"] > 0.97
    admission, moments, rounds, profile = 2 * 3, 1 + 2 + 3, 2 * 2 * 3, 2 * 5
    assert outcome["decrypted_values"] == admission + moments + rounds + profile
    assert sum(outcome["labelled_customers"].values()) == 400
    assert outcome["key_switches_per_pair"] <= 12
    assert len(outcome["seconds"]["per_round"]) == 2
    for phase in ("keys", "encrypt", "upload", "total"):
        assert outcome["seconds"][phase] > 0
    assert outcome["bytes"]["party_to_compute"] > 2 * 3 * 500_000
    assert outcome["bytes"]["key_to_compute"] > 1_000_000
    assert outcome["bytes"]["compute_to_key"] > 0
    assert all(50 < value < 8000 for value in outcome["peak_rss_mb"].values())
    assert len((tmp_path / "out" / "segments.csv").read_text().splitlines()) == 3
    report = tmp_path / "out" / "report"
    assert {path.suffix for path in report.iterdir()} == {".html", ".pdf", ".xlsx", ".json", ""}
    assert (report / "tables" / "segments.csv").read_text().count("\n") == 3
    logs = (report / "tables" / "checkpoints.csv").read_text()
    assert "hub,compute," in logs
    assert "party-1,party," in logs
    screen = (tmp_path / "screen.txt").read_text()
    for passage in ("What each node held and saw", "profile", "best of ten", "segment 2"):
        assert passage in screen
    left = [path for path in (tmp_path / "keep" / "hub" / "storage").rglob("*") if path.is_file()]
    kept = {path.name.partition("-")[0] for path in left}
    assert kept == {"lock", "ledger", "closing", "audit"}, "a ciphertext or key was left behind"
    assert json.loads((tmp_path / "keep" / "closing.json").read_text())


@pytest.fixture
def two_parties(tmp_path: Path) -> Iterator[Workspace]:
    folder = tmp_path / "demo"
    yield workspace_of(folder, {"alder": customers("a", 60, 1), "birch": customers("b", 60, 2)})
    shutil.rmtree(folder)


def run_nodes(workspace: Workspace) -> None:
    commands = Commands(workspace)
    with Children() as children:
        children.start(workspace.compute, commands.serve())
        for _, report in children.reports():
            if report.get("kind") == "listening":
                commands.address = report["facts"]["address"]
                children.start(workspace.key, commands.key())
                for node in workspace.parties:
                    children.start(node, commands.party(node))


def test_a_party_with_a_bad_table_ends_the_study_with_its_own_error(
    two_parties: Workspace,
) -> None:
    path = two_parties.parties[1].path / "customers.csv"
    path.write_text(path.read_text() + "last,nan,5\n")
    with pytest.raises(errors.MissingValueError) as caught:
        run_nodes(two_parties)
    assert "party node birch" in caught.value.message
    assert "'visits'" in caught.value.message
    assert "record 61 " in caught.value.message
    assert caught.value.hint.startswith("Drop these records")
    assert not nodes_of(two_parties)


def test_what_the_key_node_finds_ends_the_study_with_the_key_nodes_error(tmp_path: Path) -> None:
    """No party knows how many records there are in all; the key node finds one for two clusters."""
    workspace = workspace_of(tmp_path / "demo", {"alder": customers("a", 1, 1)})
    with pytest.raises(errors.TooFewRecordsError, match="key node notary"):
        run_nodes(workspace)
    assert not nodes_of(workspace)


def nodes_of(workspace: Workspace) -> list[int]:
    return processes_with(str(workspace.study.parent))


def processes_with(text: str) -> list[int]:
    """Processes whose command line has a text."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if text in command:
                found.append(int(entry.name))
    return found


def in_group(leader: int) -> bool:
    """Whether a process group has living members."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, _, group = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
            except OSError:
                continue
            if int(group) == leader and state != "Z":
                return True
    return False


def leaders(keep: Path, demo: int) -> list[int]:
    """The demonstration's nodes, each of which leads a process group."""
    return [pid for pid in processes_with(str(keep)) if pid != demo and os.getpgid(pid) == pid]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A demonstration in its rounds, and the process groups of its nodes."""
    keep = tmp_path / "keep"
    process = subprocess.Popen(
        [sys.executable, "-m", "mpcseg", "demo", "--rounds", "9", "--keep", str(keep)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
    )  # fmt: skip
    nodes: list[int] = []
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("    1  moments"):
                break
        nodes += leaders(keep, process.pid)
        assert len(nodes) == 5
        yield process, nodes
    finally:
        # Also those that were not counted, where the demonstration stopped before its rounds.
        groups = {*nodes, *leaders(keep, process.pid)}
        process.kill()
        process.communicate()
        for pid in groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_however_it_is_stopped_nothing_goes_on_running(
    running: tuple[subprocess.Popen[str], list[int]], number: signal.Signals, status: int
) -> None:
    process, nodes = running
    process.send_signal(number)
    assert process.wait(timeout=40) == status
    deadline = time.monotonic() + 30
    while any(in_group(pid) for pid in nodes) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not [pid for pid in nodes if in_group(pid)]


def test_a_node_that_is_killed_is_named(
    running: tuple[subprocess.Popen[str], list[int]],
) -> None:
    process, nodes = running
    party = next(pid for pid in nodes if b"party" in Path(f"/proc/{pid}/cmdline").read_bytes())
    compute = next(pid for pid in nodes if b"compute" in Path(f"/proc/{pid}/cmdline").read_bytes())
    os.kill(compute, signal.SIGKILL)
    _, shown = process.communicate(timeout=60)
    assert process.returncode == errors.NodeVanishedError.exit_status
    assert "error: compute node hub was killed (SIGKILL)" in shown
    assert not in_group(party)
