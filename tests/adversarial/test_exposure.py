"""Nothing in the clear where it must not be: memory, disk and logs of a real study's processes.

The nodes are the product's own commands. While they are held still, the test looks for every value
of every record (original and scaled), every hyperplane, every decrypted sum and the result, in the
compute node and its workers, in its storage and in all that it prints. The key node may know sums,
but no record; a party its own records, but none of another. What is looked for *is* found where it
belongs, so that a scanner that finds nothing would fail.

Not looked for are numbers of few digits (that there are 80 records could be a coincidence
anywhere) and numbers in disguise: compressed, or multiplied by something.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mpcseg.demo.commands import Commands
from mpcseg.demo.customers import Customers
from mpcseg.demo.tables import DealtTables
from mpcseg.demo.workspace import StudyShape, Workspace, make_workspace
from mpcseg.study.spec import FeatureSpec
from tests.adversarial import talking_key
from tests.adversarial.exposure import (
    Exposure,
    Scanner,
    is_canary,
    patterns_of,
    process_tree,
    stopped,
)
from tests.adversarial.table import show

pytestmark = pytest.mark.processes

Array = NDArray[np.float64]

FEATURES = (
    FeatureSpec(name="visits", lower=0, upper=400),
    FeatureSpec(name="money", transform="log1p", lower=0, upper=9000),
)
KNOWN_TO_KEY = "known to the key node"
MPCSEG = [sys.executable, "-m", "mpcseg"]
TALKING_KEY = [sys.executable, "-m", "tests.adversarial.talking_key"]


def customers(name: str, seed: int) -> Customers:
    """Forty customers whose every number has all the digits that a double can have."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 2, (40, 1))
    values = np.where(kind, [280.0, 5000.0], [90.0, 400.0]) * rng.uniform(0.7, 1.3, (40, 2))
    return Customers(tuple(f"{name}-{i}" for i in range(40)), values)


@dataclass
class Study:
    """The processes of one study, and what to look for in them."""

    workspace: Workspace
    parties: dict[str, Customers]
    logs: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.commands = Commands(self.workspace)
        self.values = self.logs / "told-by-the-key-node"

    def start(self, name: str, command: Sequence[str], program: Sequence[str] = MPCSEG) -> None:
        """Start a command; what it prints goes to two files of that name."""
        with self.log(name, "out").open("wb") as out, self.log(name, "err").open("wb") as err:
            self.processes[name] = subprocess.Popen(
                [*program, *command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=Path(__file__).parents[2],  # where the tests can be imported
            )

    def log(self, name: str, stream: str) -> Path:
        return self.logs / f"{name}.{stream}"

    def pids(self, name: str) -> list[int]:
        return process_tree(self.processes[name].pid)

    def wait_report(self, name: str, seconds: float = 120.0, **wanted: object) -> dict[str, Any]:
        """Return the first report of a command that has these fields."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.processes[name].poll() in (None, 0):
            for line in self.log(name, "out").read_text().splitlines():
                report = json.loads(line) if line.endswith("}") else {}
                if wanted.items() <= report.items():
                    return report
            time.sleep(0.02)
        raise AssertionError((name, wanted, self.log(name, "err").read_text()))

    def wait_end(self, name: str, seconds: float = 120.0) -> None:
        status = self.processes[name].wait(seconds)
        assert status == 0, self.log(name, "err").read_text()

    def scanner(self) -> Scanner:
        """Finds every record, and what the key node encrypted, decrypted or concluded so far."""
        values = [v for line in talking_key.told(self.values) for v in line if is_canary(v)]
        patterns = patterns_of(KNOWN_TO_KEY, np.array([values]))
        for name, party in self.parties.items():
            scaled = [f.scale(party.values[:, j]) for j, f in enumerate(FEATURES)]
            patterns += patterns_of(f"{name}'s record", party.values)
            patterns += patterns_of(f"{name}'s scaled record", np.column_stack(scaled))
        return Scanner(patterns)


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Study]:
    parties = {"alder": customers("a", 1), "birch": customers("b", 2)}
    tables = DealtTables("id", FEATURES, parties)
    shape = StudyShape(n_clusters=2, n_rounds=3, seed=0, epsilon="none")
    workspace = make_workspace(tmp_path / "study", tables, shape, workers=1)
    logs = tmp_path / "logs"
    logs.mkdir()
    made = Study(workspace, parties, logs)
    yield made
    for process in made.processes.values():
        if process.poll() is None:
            for pid in process_tree(process.pid):
                os.kill(pid, signal.SIGKILL)
            process.wait()


def in_memory(pids: Sequence[int], scanner: Scanner) -> list[Exposure]:
    return [found for pid in pids for found in scanner.in_process(pid)]


def of(owner: str, found: Sequence[Exposure]) -> list[Exposure]:
    return [exposure for exposure in found if exposure.name.startswith(owner)]


def test_where_numbers_are_in_a_study_and_where_not(study: Study) -> None:
    workspace, commands = study.workspace, study.commands
    study.start("compute", commands.serve())
    listening = study.wait_report("compute", report="event", kind="listening")
    commands.address = listening["facts"]["address"]
    study.start("key", [str(study.values), *commands.key()], TALKING_KEY)
    for party in workspace.parties:
        study.start(party.name, commands.party(party))

    # In the second lloyd round: admission and moments are rounds 0 and 1.
    study.wait_report("compute", report="start", task="round 3")
    pids = {name: study.pids(name) for name in ("compute", "key", "alder")}
    assert len(pids["compute"]) >= 2, "the compute node has workers"
    hub = workspace.compute.path
    with stopped([pid for tree in pids.values() for pid in tree]):
        scanner = study.scanner()
        assert scanner.in_files(hub) == []
        assert in_memory(pids["compute"], scanner) == []
        with_key = in_memory(pids["key"], scanner)
        assert of("alder", with_key) + of("birch", with_key) == []
        with_alder = in_memory(pids["alder"], scanner)
        assert of(KNOWN_TO_KEY, with_alder) + of("birch", with_alder) == []
        # What belongs there is found, by the same scanner: some of the last sums and hyperplanes
        # at least, and all 160 numbers of a party's records.
        assert len(of(KNOWN_TO_KEY, with_key)) > 4
        assert len(of("alder", with_alder)) >= 160
        planted = hub / "storage" / "planted"
        planted.write_bytes(study.parties["birch"].values[:2].tobytes())
        assert len(of("birch", scanner.in_files(hub))) == 4
        planted.unlink()
    n_scanned = sum(map(len, pids.values()))

    # The results are sealed and fetched; the compute node goes on serving them.
    for name in ("key", "alder", "birch"):
        study.wait_end(name)
    for party in workspace.parties:
        study.start(f"results of {party.name}", commands.results(party))
        study.wait_end(f"results of {party.name}")
    scanner = study.scanner()
    pids["compute"] = study.pids("compute")
    with stopped(pids["compute"]):
        assert scanner.in_files(hub) == []
        assert in_memory(pids["compute"], scanner) == []

    study.start("close", commands.close())
    study.wait_end("close")
    study.wait_end("compute")
    assert (hub / "summary.json").exists()
    assert scanner.in_files(hub) == []
    for stream in ("out", "err"):
        assert scanner.names(study.log("compute", stream).read_bytes()) == set()
    left_with_key = scanner.in_files(workspace.key.path)
    assert of("alder", left_with_key) + of("birch", left_with_key) == []
    assert scanner.names(workspace.closing_record.read_bytes()) == set()
    n_values = sum(map(len, talking_key.told(study.values)))
    show(
        f"exposure: {n_values} sums and hyperplanes, 320 record values",
        "none",
        f"none where it must not be, in {n_scanned} processes, storage and logs",
    )
