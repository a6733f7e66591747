"""The list of parts that is in the image: valid, and nothing is missing from it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.cluster.engine import in_image

pytestmark = pytest.mark.timeout(120)

LOCK = Path(__file__).resolve().parents[2] / "docker" / "requirements.lock"


@pytest.fixture(scope="module")
def text() -> str:
    program = "import json; print(json.dumps(open('/usr/share/doc/mpcseg/sbom.json').read()))"
    found = in_image(program)
    assert isinstance(found, str)
    return found


@pytest.fixture(scope="module")
def parts(text: str) -> dict[str, dict[str, Any]]:
    document = json.loads(text)
    everything = [document["metadata"]["component"], *document["components"]]
    return {part["purl"]: part for part in everything}


def test_it_is_valid_cyclonedx(text: str) -> None:
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(text) is None
    broken = text.replace('"library"', '"something"')
    assert validator.validate_str(broken) is not None


def test_every_python_package_of_the_image_is_in_it(parts: dict[str, dict[str, Any]]) -> None:
    installed = in_image(
        """
import json
from importlib.metadata import distributions
print(json.dumps([[d.name, d.version] for d in distributions()]))
"""
    )
    assert len(installed) > 30
    expected = {
        f"pkg:pypi/{re.sub('[-_.]+', '-', name).lower()}@{version}" for name, version in installed
    }
    assert {purl for purl in parts if purl.startswith("pkg:pypi/")} == expected


def test_every_python_package_is_the_file_that_was_locked(
    parts: dict[str, dict[str, Any]],
) -> None:
    locked = set(re.findall(r"--hash=sha256:([0-9a-f]{64})", LOCK.read_text()))
    for purl, part in parts.items():
        if purl.startswith("pkg:pypi/") and part["name"] != "mpcseg":
            (found,) = part["hashes"]
            assert found["content"] in locked, purl


def test_every_library_of_debian_is_of_a_package_in_it(parts: dict[str, dict[str, Any]]) -> None:
    known = {part["name"] for purl, part in parts.items() if purl.startswith("pkg:deb/debian/")}
    listed, licences = in_image(
        """
import json, os
doc = "/usr/share/doc"
print(json.dumps([os.listdir("/var/lib/dpkg/status.d"),
                  [n for n in os.listdir(doc) if os.path.exists(f"{doc}/{n}/copyright")]]))
"""
    )
    assert {"libc6", "libssl3", "libpython3.11-minimal", "libsqlite3-0"} <= known == set(listed)
    assert known == set(licences)


def test_nothing_of_the_tools_is_in_it(parts: dict[str, dict[str, Any]]) -> None:
    names = {part["name"] for part in parts.values()}
    assert not names & {
        "pip",
        "setuptools",
        "hatchling",
        "pytest",
        "ruff",
        "binutils",
        "bash",
        "dash",
    }
