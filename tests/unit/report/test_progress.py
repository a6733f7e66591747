"""Progress for a person and for a program."""

from __future__ import annotations

import io
import json
import math
import threading
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from mpcseg.report.files import jsonable
from mpcseg.report.progress import JsonLinesProgress, RichProgress, event_line


def test_json_lines_carry_every_report_whole() -> None:
    stream = io.StringIO()
    progress = JsonLinesProgress(stream)
    progress.message("a [sentence] äöü")
    progress.start("encrypt", 7, "ciphertexts")
    progress.advance("encrypt", 2)
    progress.finish("encrypt")
    progress.event("round", index=np.int64(3), sizes=np.array([1.5, math.nan]), sign=(7, 15))
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert lines == [
        {"report": "message", "text": "a [sentence] äöü"},
        {"report": "start", "task": "encrypt", "total": 7, "unit": "ciphertexts"},
        {"report": "advance", "task": "encrypt", "amount": 2},
        {"report": "finish", "task": "encrypt"},
        {
            "report": "event",
            "kind": "round",
            "facts": {"index": 3, "sizes": [1.5, None], "sign": [7, 15]},
        },
    ]


def test_json_lines_from_several_threads_stay_lines() -> None:
    stream = io.StringIO()
    progress = JsonLinesProgress(stream)
    threads = [
        threading.Thread(target=lambda: [progress.advance("x" * 200) for _ in range(100)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 400
    assert all(json.loads(line)["amount"] == 1 for line in lines)


STEERING = "\x1b[2J\x9b31m\x07\u202eevil\nnext\x7f"


def test_json_lines_carry_no_control_characters_and_no_endless_text() -> None:
    stream = io.StringIO()
    progress = JsonLinesProgress(stream)
    progress.message(STEERING)
    progress.start(STEERING, 1, STEERING)
    progress.event(STEERING, node=STEERING, notes=(STEERING, "x" * 100_000))
    reports = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert reports[0]["text"] == " [2J 31m  evil next "
    assert reports[1]["task"] == reports[1]["unit"] == reports[2]["kind"] == reports[0]["text"]
    assert reports[2]["facts"]["node"] == reports[2]["facts"]["notes"][0] == reports[0]["text"]
    assert len(reports[2]["facts"]["notes"][1]) == 2000


def plain_progress() -> tuple[RichProgress, io.StringIO]:
    stream = io.StringIO()
    return RichProgress(Console(file=stream, width=60, force_terminal=False)), stream


def test_off_a_terminal_a_task_is_two_plain_lines() -> None:
    progress, stream = plain_progress()
    with progress:
        progress.start("upload", 3, "ciphertexts")
        for _ in range(3):
            progress.advance("upload")
        progress.finish("upload")
        progress.message("[bold] is not markup, and a long line is not wrapped " + "x" * 80)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "upload: 0 of 3 ciphertexts"
    assert lines[1].startswith("upload: 3 of 3 ciphertexts, ")
    assert lines[2].startswith("[bold] is not markup")
    assert len(lines) == 3
    assert "\x1b" not in stream.getvalue()


def test_what_is_shown_cannot_steer_a_terminal_or_fill_it() -> None:
    progress, stream = plain_progress()
    with progress:
        progress.message(STEERING)
        progress.event("done", node=STEERING)
        progress.start(STEERING, 3, STEERING)
        progress.finish(STEERING)
        progress.message("x" * 100_000)
    lines = stream.getvalue().split("\n")
    assert lines[0].rstrip() == " [2J 31m  evil next"
    assert len(lines) == 6
    assert all(line.isprintable() for line in lines)
    assert len(lines[4]) == 2000


def test_a_bar_cannot_steer_a_terminal() -> None:
    stream = io.StringIO()
    with RichProgress(Console(file=stream, width=200, force_terminal=True)) as progress:
        progress.start(STEERING, 4, STEERING)
        progress.advance(STEERING, 4)
        progress.finish(STEERING)
    assert "evil" in stream.getvalue()
    assert not {"\x1b[2J\x9b", "\x9b", "\x07", "\u202e", "\x7f"} & set(stream.getvalue())
    assert "\x1b[2J" not in stream.getvalue()


def test_a_task_may_start_again_and_may_be_discarded() -> None:
    progress, stream = plain_progress()
    with progress:
        progress.start("upload", 3, "ciphertexts")
        progress.advance("upload")
        progress.start("upload", 2, "ciphertexts")
        progress.advance("upload", 2)
        progress.finish("upload")
        progress.start("round 1", 9, "tasks")
        progress.discard("round 1")
    assert "upload: 2 of 2 ciphertexts" in stream.getvalue()
    assert "round 1: 9" not in stream.getvalue()


def test_on_a_terminal_bars_are_drawn() -> None:
    stream = io.StringIO()
    with RichProgress(Console(file=stream, width=100, force_terminal=True)) as progress:
        progress.start("round 2", 4, "tasks")
        progress.advance("round 2", 4)
        progress.finish("round 2")
    assert "round 2" in stream.getvalue()
    assert "4/4" in stream.getvalue()
    assert "━" in stream.getvalue()


@pytest.mark.parametrize(
    ("kind", "facts", "line"),
    [
        ("listening", {"address": "127.0.0.1:7"}, "listening on 127.0.0.1:7"),
        (
            "listening",
            {"study": "trial (0a1b2c3d)", "address": "127.0.0.1:7"},
            "trial (0a1b2c3d): listening on 127.0.0.1:7",
        ),
        ("other", {"study": "trial (0a1b2c3d)"}, "trial (0a1b2c3d): other"),
        (
            "joined",
            {"node": "alder", "role": "party", "compute": "hub:7443"},
            "joined the study at hub:7443 as party node alder",
        ),
        (
            "joined",
            {"node": "alder", "role": "party", "anew": False},
            "party node alder has joined",
        ),
        (
            "round",
            {
                "index": 2, "round_kind": "lloyd", "sign": (7, 15), "shift": 0.12345,
                "n_records": 3000, "sizes": [1999.7, 1000.2], "notes": ("a note",), "seconds": 3.21,
            },
            "round 2 (lloyd, sign 7,15): customers per segment 2,000  1,000; "
            "largest move 0.123 sd; 3.2 s; a note",
        ),
        (
            "round",
            {
                "index": 0, "round_kind": "moments", "sign": (), "shift": None,
                "n_records": 3000, "sizes": None, "notes": (), "seconds": 3.21,
            },
            "round 0 (moments): 3,000 customers in all; 3.2 s",
        ),
        (
            "round",
            {"index": 1, "round_kind": "lloyd", "releases": 12, "seconds": 2.0},
            "round 1 (lloyd): 12 masked sums released; 2.0 s",
        ),
        ("some_news", {"n_things": 0.123456, "list": np.array([1.0])}, None),
        ("done", {}, "done"),
    ],
)  # fmt: skip
def test_events_are_lines_for_people(kind: str, facts: dict[str, object], line: str | None) -> None:
    assert event_line(kind, facts) == (line or "some_news: n things 0.1235, list 1")


def test_what_has_no_form_in_json_is_refused() -> None:
    with pytest.raises(TypeError, match="a PosixPath has no form"):
        jsonable({"path": Path("x")})
