"""The README's study by hand, run exactly as it stands there, a process for each terminal."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

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
def environment() -> dict[str, str]:
    """The installed ``mpcseg`` command first on the path, as after ``. .venv/bin/activate``."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


@pytest.fixture
def start(environment: dict[str, str]) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts shell commands; what still runs at the end is killed with all that it started."""
    started: list[subprocess.Popen[bytes]] = []

    def start(block: str, folder: Path, output: IO[str]) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            ["bash", "-ec", block], cwd=folder, env=environment, stdout=output,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


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


@pytest.mark.processes
@pytest.mark.timeout(600)
def test_the_study_by_hand_runs_as_it_stands(
    tmp_path: Path,
    environment: dict[str, str],
    start: Callable[..., subprocess.Popen[bytes]],
    port: int,
) -> None:
    commands = [block.replace(str(PORT), str(port)) for block in blocks("Running a study")]
    preparing = [block for block in commands if block.startswith("# prepare")]
    terminals = [block for block in commands if block.startswith("# terminal")]
    assert (len(preparing), len(terminals)) == (2, 5)
    for block in preparing:
        done = subprocess.run(
            ["bash", "-ec", block], cwd=tmp_path, env=environment, check=False, timeout=120,
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    running = []
    # In the worst order: the parties first, the server last.
    for number, block in enumerate(reversed(terminals)):
        output = (tmp_path / f"terminal-{number}.txt").open("w+")
        running.append((start(block, tmp_path, output), output))
    for process, output in running:
        status = process.wait(timeout=480)
        output.seek(0)
        assert status == 0, output.read()
        output.close()

    with (tmp_path / "results" / "segments.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 4
    segments = json.loads((tmp_path / "results" / "segments.json").read_text())
    assert segments["n_records"] == 3000
    assert not any((tmp_path / "hub" / "storage").rglob("*-*")), "ciphertexts stay behind"


def test_the_package_map_lists_every_room() -> None:
    rooms = {path.name for path in (ROOT / "mpcseg").iterdir() if (path / "__init__.py").exists()}
    listed = set(
        re.findall(r"^\| `mpcseg/(\w+)/`", README.read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert listed == rooms


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
