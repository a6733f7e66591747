"""The cohort on the party's own screen."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from mpcseg.customers.cohort import load_cohort
from mpcseg.customers.source import TableSource
from mpcseg.report.cohort import CohortView
from mpcseg.study.profile_columns import CategoryColumn, NumericColumn
from mpcseg.study.spec import Consent, FeatureSpec

FEATURES = (
    FeatureSpec(name="recency [days]", lower=0, upper=100),
    FeatureSpec(name="money", transform="log1p", lower=0, upper=1000),
)
CUSTOMERS = """id,recency [days],money,joint
anna,10,1,yes
bert,150,3,yes
carl,20,5,yes
carl,20,5,yes
dora,1,1,no
emil,1,1,
fred,1,1,yes
"""


def shown(tmp_path: Path, width: int = 100, radius: float | None = None) -> str:
    path = tmp_path / "customers.csv"
    path.write_text(CUSTOMERS)
    opt_out = tmp_path / "opt_out.csv"
    opt_out.write_text("fred\n")
    cohort = load_cohort(
        TableSource(path, "id"),
        FEATURES,
        consent=Consent(column="joint", value="yes"),
        opt_out=opt_out,
        radius=radius,
    )
    console = Console(file=io.StringIO(), width=width)
    console.print(CohortView("alder", cohort, FEATURES))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def row(text: str, word: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if word in line]
    return [cell.strip() for cell in line.strip("│ ").split("│")]


def test_who_is_left_out_is_counted_by_reason(tmp_path: Path) -> None:
    text = shown(tmp_path)
    assert "Records of alder" in text
    assert row(text, "read")[-1] == "7"
    assert row(text, "repeated")[-1] == "1"
    assert row(text, "without consent")[-1] == "2"
    assert row(text, "opted out")[-1] == "1"
    assert row(text, "│ kept")[-1] == "3"
    assert "shortened" not in text
    assert row(shown(tmp_path, radius=0.5), "shortened")[-1] == "3"


def test_features_are_spread_in_original_units_before_clipping(tmp_path: Path) -> None:
    text = shown(tmp_path)
    assert row(text, "recency [days]") == ["recency [days]", "10", "60", "150", "0 – 100", "1"]
    assert row(text, "money") == ["money", "1", "3", "5", "0 – 1,000", "0"]


def test_nobody_is_named_and_it_says_that_nothing_was_sent(tmp_path: Path) -> None:
    text = shown(tmp_path, width=60)
    assert "nothing was sent" in " ".join(text.split())
    assert not [name for name in ("anna", "bert", "carl", "fred") if name in text]


def test_profile_columns_are_shown_as_they_are_encrypted(tmp_path: Path) -> None:
    path = tmp_path / "customers.csv"
    path.write_text("id,recency [days],money,band,visits\na,1,1,young,2\nb,2,1,old,4\nc,3,1,,6\n")
    profile = (
        CategoryColumn(name="band", kind="category", values=("young", "old"), unknown="no word"),
        NumericColumn(name="visits", kind="numeric", lower=0, upper=5),
    )
    cohort = load_cohort(
        TableSource(path, "id"), FEATURES, consent=None, radius=None, profile=profile
    )
    console = Console(file=io.StringIO(), width=100)
    console.print(CohortView("alder", cohort, FEATURES, profile))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert row(text, "visits") == ["visits", "number", "3.67"]
    assert row(text, "young") == ["band", "young", "1"]
    assert row(text, "no word") == ["band", "no word", "1"]
