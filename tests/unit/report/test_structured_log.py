"""The structured log: what is written, and what is not."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from mpcseg.errors import MissingValueError, OutputError, ProtocolError, SuspendedError
from mpcseg.report.structured_log import LogFile, ending
from tests.organisations import study_spec


def written(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_facts_that_are_not_listed_and_events_that_are_not_known_are_not_written(
    tmp_path: Path,
) -> None:
    path = tmp_path / "node.log"
    with LogFile(path) as file:
        log = file.of(study_spec(), "keeper", "key")
        log.event("round", index=3, round_kind="lloyd", seconds=1.5, sizes=[1234.5], shift=0.7)
        log.event("centroids", values=[0.123])
        log.event("blob", link="party_to_compute", blob_kind="feature", n_bytes=9)
    (line,) = written(path)
    assert line["round"] == 3
    assert line["facts"] == {"index": 3, "round_kind": "lloyd", "seconds": 1.5}


def test_a_task_is_two_lines_however_many_units_it_has(tmp_path: Path) -> None:
    path = tmp_path / "node.log"
    with LogFile(path) as file:
        log = file.of(study_spec(), "hub", "compute")
        log.start("round 2", 50, "tasks")
        for _ in range(50):
            log.advance("round 2")
        log.finish("round 2")
        log.finish("round 2")
    first, last = written(path)
    assert (first["event"], first["round"], last["round"]) == ("task_started", 2, 2)
    assert (last["facts"]["done"], last["facts"]["total"]) == (50, 50)


def test_text_from_elsewhere_stays_on_its_line(tmp_path: Path) -> None:
    path = tmp_path / "node.log"
    with LogFile(path) as file:
        file.of(study_spec(), "hub", "compute").message('evil\n{"event": "forged"}\x1b[2J')
    (line,) = written(path)
    assert line["event"] == "message"
    assert line["facts"]["text"] == 'evil {"event": "forged"} [2J'


def test_lines_of_several_threads_stay_whole(tmp_path: Path) -> None:
    path = tmp_path / "node.log"
    with LogFile(path) as file:
        log = file.of(study_spec(), "hub", "compute")
        threads = [
            threading.Thread(target=lambda: [log.message("x" * 300) for _ in range(50)])
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(written(path)) == 200


def test_the_file_is_private_appended_to_and_made_anew_after_rotation(tmp_path: Path) -> None:
    path = tmp_path / "node.log"
    for number in range(2):
        with LogFile(path) as file:
            file.of(study_spec(), "hub", "compute").message(str(number))
    assert path.stat().st_mode & 0o777 == 0o600
    with LogFile(path) as file:
        log = file.of(study_spec(), "hub", "compute")
        path.rename(tmp_path / "node.log.1")
        log.message("2")
    assert [len(written(p)) for p in (tmp_path / "node.log.1", path)] == [2, 1]


def test_a_link_or_a_missing_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "target").touch()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    for path in (tmp_path / "link", tmp_path / "absent" / "node.log"):
        with pytest.raises(OutputError, match="cannot be written"):
            LogFile(path)


def test_the_end_is_told_by_its_code_without_words_about_data() -> None:
    kind, facts = ending(MissingValueError("row 17 of customers.csv has an empty cell in income"))
    assert (kind, facts["exit_status"]) == ("failed", MissingValueError.exit_status)
    assert "17" not in str(facts["text"]) + str(facts["hint"])
    assert "income" not in str(facts["text"])
    assert ending(SuspendedError("stopped"))[0] == "suspended"
    assert ending(ProtocolError("out of place"))[1]["text"] == "out of place"
    assert ending(ValueError("3.14159"))[1] == {"code": "internal", "text": "ended by ValueError"}
