"""Shell commands of documents, run as they stand there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest


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
