"""A whole study from generated start-up kits, by the commands of the kits' own pages."""

from __future__ import annotations

import contextlib
import csv
import re
import shutil
import socket
import stat
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import numpy as np
import pytest

from mpcseg.ckks.capacity import needs
from mpcseg.nodes.planning import plan_of
from mpcseg.study.agreement import load_study
from tests.organisations import save_identity, study_spec, write_study

HEADINGS = CHECK, RUN, WATCH, RESULTS, CLOSE, VERIFY = (
    "### 1. Check",
    "### 2. Run",
    "### 3. Watch",
    "### 4. Results",
    "### 5. Replay and close",
    "### 6. Verify",
)


def commands(page: str) -> dict[str, list[str]]:
    """The shell commands of a kit's page for the machine itself, by the heading above them."""
    found = {"prepare": _blocks(page.partition("## The commands")[0])}
    for heading in HEADINGS:
        step = page.partition(heading)[2].partition("\n##")[0]
        bare = step.partition("On the machine itself:")[2]
        found[heading] = _blocks(bare.partition("In containers:")[0])
    return found


def _blocks(text: str) -> list[str]:
    return re.findall(r"```sh\n(.*?)```", text, re.DOTALL)


def free_port() -> int:
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def write_table(path: Path, n_records: int, seed: int) -> None:
    """Two groups of customers that are far apart, within the agreed bounds."""
    rng = np.random.default_rng(seed)
    centres = rng.choice([-0.5, 0.5], n_records)[:, None]
    records = centres + rng.normal(0.0, 0.1, (n_records, 2))
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["customer_id", "x0", "x1"])
        writer.writerows([f"c{number}", *row] for number, row in enumerate(records.tolist()))


def verify_disk_as_planned(folder: Path) -> None:
    """Check what `mpcseg plan` says of the compute node's disk, while everything is still there."""
    plan = plan_of(load_study(folder / "trial.agreement"))
    planned = needs(plan, workers=2)[1].disk
    held = sum(path.stat().st_size for path in (folder / "storage").rglob("*") if path.is_file())
    assert 0.5 * planned < held <= planned


@pytest.fixture
def run(environment: dict[str, str]) -> Callable[[str, Path], None]:
    def run(command: str, folder: Path) -> None:
        done = subprocess.run(
            ["bash", "-ec", command], cwd=folder, env=environment, check=False, timeout=120,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout

    return run


@pytest.fixture
def kits(tmp_path: Path, run: Callable[[str, Path], None]) -> dict[str, Path]:
    """Two organisations' kits: alder has the key node, birch the compute node; both bring records.

    Beside what was generated, each holds what its page asks for, and nothing else.
    """
    own = {name: save_identity(tmp_path / "own" / name, name) for name in ("alder", "birch")}
    spec = study_spec(
        compute="birch", key="alder", parties={"alder": 400, "birch": 400}, known=own,
        n_rounds=1, privacy={"epsilon": 20.0},
    )  # fmt: skip
    agreement = write_study(tmp_path / "trial.agreement", spec, own)
    address = f"127.0.0.1:{free_port()}"
    run(f"mpcseg kit {agreement.name} --output kits --address {address}", tmp_path)
    made = {name: tmp_path / "kits" / name for name in own}
    for seed, (name, folder) in enumerate(made.items()):
        shutil.copytree(tmp_path / "own" / name, folder / "identity")
        write_table(folder / "customers.csv", 300, seed)
    return made


@pytest.mark.processes
@pytest.mark.timeout(400)
def test_a_study_runs_from_its_kits_by_the_commands_of_their_pages(
    tmp_path: Path,
    kits: dict[str, Path],
    run: Callable[[str, Path], None],
    start: Callable[[str, Path, IO[str]], subprocess.Popen[bytes]],
) -> None:
    todo = {folder: commands((folder / "README.md").read_text()) for folder in kits.values()}
    running = {}

    def follow(folder: Path, *headings: str) -> None:
        for command in [one for heading in headings for one in todo[folder][heading]]:
            run(command, folder)

    def at_each(*headings: str) -> None:
        """The organisations do it at the same time, each by its own page."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda folder: follow(folder, *headings), todo))

    at_each("prepare", CHECK)
    for folder, steps in todo.items():
        for command in steps[RUN]:
            output = (tmp_path / f"output-{len(running)}").open("w+")
            running[folder, command] = (start(command, folder, output), output)
    assert len(running) == 4

    def wait_for(process: subprocess.Popen[bytes], output: IO[str]) -> None:
        status = process.wait(timeout=180)
        output.seek(0)
        assert status == 0, output.read()
        output.close()

    server = running.pop(next(one for one in running if "compute serve" in one[1]))
    for client in running.values():
        wait_for(*client)
    verify_disk_as_planned(kits["birch"])
    at_each(WATCH, RESULTS)
    assert [len(todo[kits[name]][CLOSE]) for name in ("alder", "birch")] == [0, 2]
    follow(kits["birch"], CLOSE)  # after it has replayed
    wait_for(*server)
    assert all(steps[VERIFY] for steps in todo.values())
    at_each(VERIFY)
    for folder in kits.values():
        with (folder / "results" / "labels.csv").open() as file:
            assert len(list(csv.DictReader(file))) == 300
        assert (folder / "results" / "segments.csv").exists()
        assert (folder / "results" / "report" / "report.html").exists()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert (kits["birch"] / "records" / "closing.json").exists()
    assert not (kits["alder"] / "storage").exists()
