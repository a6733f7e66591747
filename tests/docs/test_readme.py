"""The README's studies, run exactly as they stand there, a process for each terminal."""

from __future__ import annotations

import contextlib
import csv
import json
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pandas as pd
import pytest

README = Path(__file__).resolve().parents[2] / "README.md"
ROOT = README.parent
PORT = 7443


def blocks(section: str) -> list[str]:
    """The shell commands of a section."""
    text = README.read_text(encoding="utf-8")
    body = text.split(f"\n## {section}\n")[1].split("\n## ")[0]
    return re.findall(r"```sh\n(.*?)```", body, re.DOTALL)


@pytest.fixture
def port(capsys: pytest.CaptureFixture[str]) -> int:
    """The README's port; another one where that is taken, which is then said on the terminal."""
    with contextlib.closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", PORT))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        found: int = probe.getsockname()[1]
    if found != PORT:
        with capsys.disabled():
            sys.stdout.write(f"\nport {PORT} is taken: the README's commands run with {found}\n")
    return found


STUDIES = {
    "Running a study: two organisations, no third": {
        "agreement": "books-and-food.agreement",
        "n_records": 3900 + 1900,
        "n_clusters": 3,
        "labels": ["bookshop/labels.csv", "grocer/labels.parquet"],
        "storage": "grocer/storage",
    },
    "Running a study: four organisations": {
        "agreement": "spring.agreement",
        "n_records": 3900 + 2000 + 1900,
        "n_clusters": 4,
        "labels": ["bookshop/labels.csv", "outdoor/labels.csv", "grocer/labels.csv"],
        "storage": "hub/storage",
    },
}


@pytest.mark.processes
@pytest.mark.timeout(600)
@pytest.mark.parametrize("section", STUDIES)
def test_the_study_by_hand_runs_as_it_stands(
    section: str,
    tmp_path: Path,
    environment: dict[str, str],
    start: Callable[..., subprocess.Popen[bytes]],
    port: int,
) -> None:
    expected: dict[str, Any] = STUDIES[section]
    commands = [block.replace(str(PORT), str(port)) for block in blocks(section)]
    preparing = [block for block in commands if block.startswith("# prepare")]
    terminals = [block for block in commands if block.startswith("# terminal")]
    afterwards = [block for block in commands if block.startswith("# afterwards")]
    assert preparing
    assert terminals
    assert len(afterwards) == 1
    assert len(preparing) + len(terminals) + 1 == len(commands)

    def run(block: str) -> str:
        done = subprocess.run(
            ["bash", "-ec", block], cwd=tmp_path, env=environment, check=False, timeout=180,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        return done.stdout

    for block in preparing:
        run(block)
    # In the worst order: the parties first, the server last.
    running = []
    for number, block in enumerate(reversed(terminals)):
        output = (tmp_path / f"terminal-{number}.txt").open("w+")
        running.append((start(block, tmp_path, output), output))
    *clients, server = running

    def wait_for(process: subprocess.Popen[bytes], output: IO[str]) -> None:
        status = process.wait(timeout=480)
        output.seek(0)
        assert status == 0, output.read()
        output.close()

    for process, output in clients:
        wait_for(process, output)
    said = run(afterwards[0])
    wait_for(*server)
    assert "closed" in said

    organisations = [Path(path).parent for path in expected["labels"]]
    shown = set()
    for organisation in organisations:
        with (tmp_path / organisation / "results" / "segments.csv").open() as file:
            assert len(list(csv.DictReader(file))) == expected["n_clusters"]
        segments = json.loads((tmp_path / organisation / "results" / "segments.json").read_text())
        # Noise of both nodes has a standard deviation of 48; six of them come once in 10⁸ runs.
        # Rounding to three digits adds 5.
        assert segments["n_records"] == pytest.approx(expected["n_records"], abs=6 * 48 + 5)
        shown.add(segments["n_records"])
    assert len(shown) == 1, "recipients got different results"
    for path, organisation in zip(expected["labels"], organisations, strict=True):
        table = tmp_path / path
        labels = (
            pd.read_parquet(table) if table.suffix == ".parquet" else pd.read_csv(table)
        ).set_index("customer_id")
        own = pd.read_csv(tmp_path / "tables" / f"{organisation}.csv")["customer_id"]
        assert set(labels.index) == set(own)
        assert labels["segment"].nunique() > 1
    left = [path for path in (tmp_path / expected["storage"]).rglob("*") if path.is_file()]
    kept = {path.name.partition("-")[0] for path in left}
    assert kept == {"lock", "ledger", "closing", "audit"}, "ciphertexts stay behind"


def test_the_package_map_lists_every_room() -> None:
    rooms = {path.name for path in (ROOT / "mpcseg").iterdir() if (path / "__init__.py").exists()}
    listed = set(
        re.findall(r"^\| `mpcseg/(\w+)/`", README.read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert listed == rooms


def test_tests_that_documents_name_exist() -> None:
    written = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("*.py"))
    there = set(re.findall(r"def (test_\w+)", written))
    for page in ROOT.glob("docs/**/*.md"):
        # Names of tests; those of files end with .py or stand behind a slash.
        named = re.findall(r"`(test_\w+)`", page.read_text(encoding="utf-8"))
        assert not set(named) - there, page.name


def test_nothing_is_left_to_fill_in() -> None:
    for page in [README, *ROOT.glob("docs/**/*.md")]:
        assert "<!--" not in page.read_text(encoding="utf-8"), page.name


def test_links_lead_somewhere() -> None:
    for page in [
        README,
        *ROOT.glob("docs/**/*.md"),
        ROOT / "CONTRIBUTING.md",
        ROOT / "SECURITY.md",
    ]:
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
            if not target.startswith(("http", "mailto:")):
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_commands_of_other_sections_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    readme = README.read_text(encoding="utf-8")
    for target in re.findall(r"^(?:\$ )?make (\w+)", readme, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for path in re.findall(r"pytest (tests/\S+)", readme):
        assert (ROOT / path).exists(), path
