"""The stub check notices stale stubs, and says what to do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "tools"))

import generate_stubs  # noqa: E402


@pytest.fixture(scope="module")
def generated() -> dict[str, str]:
    return generate_stubs.generate()


def test_the_committed_stubs_are_fresh() -> None:
    run = subprocess.run(
        [sys.executable, "tools/generate_stubs.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr


def test_changed_missing_and_left_over_stubs_are_named(generated: dict[str, str]) -> None:
    texts = dict(generated)
    texts["blob_pb2.py"] += "# changed"
    texts["new_pb2.py"] = ""
    del texts["round_pb2.py"]
    assert generate_stubs.stale(texts) == [
        "round_pb2.py: left over, no .proto makes it",
        "blob_pb2.py: not what its .proto says",
        "new_pb2.py: missing",
    ]


def test_stubs_hold_nothing_of_the_machine_that_made_them(generated: dict[str, str]) -> None:
    assert not any(str(ROOT) in text or "/tmp" in text for text in generated.values())  # noqa: S108
