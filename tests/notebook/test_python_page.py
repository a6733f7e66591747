"""The code of docs/python.md, run as it stands, a process for each node."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.docs.test_kits import free_port

PAGE = Path(__file__).resolve().parents[2] / "docs" / "python.md"


@pytest.fixture(scope="module")
def blocks() -> dict[str, str]:
    """The page's Python by the name in its first line, and its shell commands as ``prepare``."""
    text = PAGE.read_text(encoding="utf-8").replace("127.0.0.1:7443", f"127.0.0.1:{free_port()}")
    python = re.findall(r"```python\n# (\w+\.py)\n(.*?)```", text, re.DOTALL)
    (prepare,) = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    assert len(python) == text.count("```python")
    return {"prepare": prepare, **dict(python)}


@pytest.fixture
def folder(tmp_path: Path, blocks: dict[str, str], environment: dict[str, str]) -> Path:
    subprocess.run(["bash", "-ec", blocks["prepare"]], cwd=tmp_path, env=environment, check=True)
    for name, code in blocks.items():
        if name.endswith(".py"):
            (tmp_path / name).write_text(code)
    return tmp_path


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, check=False, timeout=600, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.timeout(900)
def test_the_local_trial_runs(folder: Path) -> None:
    said = run(folder, "trial.py").splitlines()
    counts = [sum(map(int, re.findall(r": (\d+)", line))) for line in said[-2:]]
    assert counts == [3900, 1900]


def test_the_lines_for_a_screen_are_python(folder: Path) -> None:
    run(folder, "screen.py")


@pytest.mark.timeout(900)
def test_a_study_runs_by_the_pages_programs(
    folder: Path, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    run(folder, "agree.py")

    def begin(*command: str) -> subprocess.Popen[bytes]:
        with (folder / f"{'-'.join(command)}.txt").open("w") as output:
            return start(" ".join([sys.executable, *command]), folder, output)

    # The parties first: nodes wait for each other.
    parties = [begin("party.py", name) for name in ("bookshop", "grocer")]
    key, compute = begin("key.py"), begin("compute.py")
    for node in (key, *parties):
        assert node.wait(timeout=600) == 0, [p.read_text() for p in folder.glob("*.txt")]
    assert "results" in run(folder, "afterwards.py")
    assert compute.wait(timeout=60) == 0
    assert "ending='closed'" in (folder / "compute.py.txt").read_text()
    assert json.loads((folder / "closing.json").read_text())
    for name, n_customers in (("bookshop", 3900), ("grocer", 1900)):
        with (folder / name / "labels.csv").open() as file:
            assert len(list(csv.DictReader(file))) == n_customers
        said = (folder / f"party.py-{name}.txt").read_text()
        assert f"{n_customers:,} kept" in said
