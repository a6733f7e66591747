"""Who may read what the key node writes."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from mpcseg.report.files import SEGMENTS_JSON, write_json, write_text


@pytest.fixture(autouse=True)
def _no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_results_and_their_folder_are_for_their_owner_only(tmp_path: Path) -> None:
    write_json(tmp_path / "results" / SEGMENTS_JSON, {"a": 1})
    write_text(tmp_path / "results" / "segments.csv", "a\n")
    assert mode(tmp_path / "results") == 0o700
    assert {mode(path) for path in (tmp_path / "results").iterdir()} == {0o600}


def test_a_result_that_others_could_read_is_replaced_by_one_that_they_cannot(
    tmp_path: Path,
) -> None:
    (tmp_path / SEGMENTS_JSON).write_text("{}")
    assert mode(tmp_path / SEGMENTS_JSON) == 0o666
    write_json(tmp_path / SEGMENTS_JSON, {})
    assert mode(tmp_path / SEGMENTS_JSON) == 0o600
