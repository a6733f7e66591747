"""What a demonstration shows of its rounds, and that README's transcript shows the same."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from mpcseg.demo.screen import Screen
from mpcseg.demo.workspace import NodeFolder
from mpcseg.report.progress import RichProgress

README = Path(__file__).parents[3] / "README.md"


def test_admission_says_that_bounds_hold_after_clipping(tmp_path: Path) -> None:
    """Before it, warnings tell how many values lay outside."""
    console = Console(file=io.StringIO(), width=200)
    screen = Screen(console, RichProgress(console))
    facts = {"index": 0, "round_kind": "admission", "sign": [], "shift": None, "seconds": 7.6}
    round_ = {"report": "event", "kind": "round", "facts": {**facts, "sizes": None, "notes": []}}
    screen.show(NodeFolder("notary", "key", tmp_path), round_)
    assert isinstance(console.file, io.StringIO)
    (_, line) = console.file.getvalue().splitlines()
    said = "all data within the agreed bounds after clipping"
    assert line.endswith(said)
    assert said in README.read_text(encoding="utf-8")
