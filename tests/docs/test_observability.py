"""The tables of docs/observability.md and of the handbook's errors say what the program does."""

from __future__ import annotations

import logging
import re
from pathlib import Path

from mpcseg.cli.study_status import STILL_RUNNING
from mpcseg.errors import subclasses
from mpcseg.nodes.events import EVENTS
from mpcseg.nodes.metrics import NodeMetrics

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "observability.md").read_text()
HANDBOOK = (ROOT / "docs" / "operations.md").read_text()


def rows(text: str, heading: str) -> list[list[str]]:
    """The rows of the table with this heading."""
    lines = text[text.index(heading) :].splitlines()[2:]
    table = lines[: next(i for i, line in enumerate([*lines, ""]) if not line.startswith("|"))]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def test_every_exit_status_is_listed_with_its_code_and_its_meaning() -> None:
    wanted = [
        [str(error.exit_status), f"`{error.code}`", (error.__doc__ or "").splitlines()[0]]
        for error in sorted(subclasses().values(), key=lambda error: error.exit_status)
    ]
    listed = rows(HANDBOOK, "| status | code | meaning | what to do | a restart mends it |")
    assert [row[:3] for row in listed] == wanted
    assert all(row[3] for row in listed)


def test_no_two_errors_share_an_exit_status_and_none_takes_a_reserved_one() -> None:
    statuses = [error.exit_status for error in subclasses().values()]
    assert len(set(statuses)) == len(statuses)
    assert not {0, 1, 2, STILL_RUNNING} & set(statuses)
    assert max(statuses) < 128


def test_both_pages_say_what_the_status_of_a_study_that_goes_on_is() -> None:
    for page in (TEXT, HANDBOOK):
        assert f"{STILL_RUNNING} a study that still goes on" in page


def test_every_logged_event_is_listed_with_its_facts() -> None:
    wanted = [
        [
            f"`{name}`",
            logging.getLevelName(kind.level).lower(),
            ", ".join(f"`{fact}`" for fact in kind.facts) or "–",
            kind.says,
        ]
        for name, kind in EVENTS.items()
        if kind.is_logged
    ]
    assert rows(TEXT, "| event | level | facts | says |") == wanted


def test_every_event_that_the_program_reports_is_known() -> None:
    source = "\n".join(path.read_text() for path in (ROOT / "mpcseg").rglob("*.py"))
    reported = set(re.findall(r"\.event\(\s*\"([a-z_]+)\"", source))
    assert len(reported) > 15
    assert reported <= set(EVENTS)


def test_every_metric_is_listed(tmp_path: Path) -> None:
    metrics = NodeMetrics("hub", "compute", tmp_path).registry.collect()
    own = {metric.name for metric in metrics if metric.name.startswith("mpcseg_")}
    listed = {name.removesuffix("_total") for name in re.findall(r"`(mpcseg_[a-z_]+)`", TEXT)}
    assert {name.removesuffix("_info") for name in listed} == {
        name.removesuffix("_info") for name in own
    }
