"""The image's locks are the lock that everything was tested with."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def locked(path: Path) -> dict[str, set[tuple[str, frozenset[str]]]]:
    """Versions with the hashes of their files, by package; a universal lock can have several."""
    text = path.read_text()
    found: dict[str, set[tuple[str, frozenset[str]]]] = {}
    for block in re.split(r"\n(?=[a-z])", text):
        pin = re.match(r"([a-z0-9-]+)==(\S+)", block)
        if pin:
            hashes = frozenset(re.findall(r"--hash=sha256:([0-9a-f]{64})", block))
            assert hashes, block
            found.setdefault(pin[1], set()).add((pin[2], hashes))
    return found


EVERYTHING = locked(ROOT / "requirements.lock")
IMAGE = locked(ROOT / "docker" / "requirements.lock")
TOOLS = locked(ROOT / "docker" / "build.lock")


def test_the_image_runs_what_the_tests_ran() -> None:
    assert len(IMAGE) > 30
    for name, pins in IMAGE.items():
        assert pins <= EVERYTHING[name], f"{name}: make docker/requirements.lock anew, as it says"


def test_the_image_is_built_with_what_the_tests_ran() -> None:
    for name, pins in TOOLS.items():
        if name != "pip":  # each environment brings its own
            assert pins <= EVERYTHING[name], f"{name}: make docker/build.lock anew, as it says"


def test_every_dependency_is_in_the_image() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["sql"]]
    names = {re.match(r"[A-Za-z0-9_.-]+", text)[0].lower() for text in wanted}  # type: ignore[index]
    assert names <= IMAGE.keys(), "make docker/requirements.lock anew, as its head says"


@pytest.mark.parametrize("tool", ["pytest", "ruff", "mypy", "hypothesis", "playwright"])
def test_no_tool_of_developers_is_in_the_image(tool: str) -> None:
    assert tool in EVERYTHING
    assert tool not in IMAGE
