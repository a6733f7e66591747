"""The public names: each is there, is documented, and costs nothing until it is used."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import mpcseg
from mpcseg import api

PAGE = Path(__file__).resolve().parents[3] / "docs" / "python.md"


def run(code: str, *arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout


def test_every_name_is_there_and_in_the_pages_table() -> None:
    table = PAGE.read_text(encoding="utf-8").split("## Names")[1]
    documented = set(re.findall(r"`(\w+)`", "\n".join(re.findall(r"^\| (.*?) \|", table, re.M))))
    assert documented == set(api.__all__)
    for name in api.__all__:
        assert getattr(api, name).__doc__, name
    assert set(dir(api)) == set(api.__all__)


def test_importing_mpcseg_loads_no_node_and_no_scikit_learn() -> None:
    slow = ("grpc", "sklearn", "tenseal", "pandas", "numpy")
    code = "import sys, mpcseg, mpcseg.api; print(sorted(sys.modules.keys() & set(sys.argv[1:])))"
    assert run(code, *slow).strip() == "[]"


def test_without_scikit_learn_the_estimator_says_what_to_install_and_the_clients_work() -> None:
    code = (
        "import sys\n"
        "sys.modules.update({'sklearn': None, 'joblib': None})\n"
        "from mpcseg.api import PartyClient, ComputeServer\n"
        "try:\n"
        "    from mpcseg import EncryptedKMeans\n"
        "except ImportError as error:\n"
        "    print(error)\n"
    )
    assert "pip install 'mpcseg[report]'" in run(code)


def test_unknown_names_are_attribute_errors() -> None:
    for module in (mpcseg, api):
        with pytest.raises(AttributeError, match="EncryptedMeans"):
            module.EncryptedMeans  # noqa: B018
