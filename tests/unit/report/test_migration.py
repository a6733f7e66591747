"""Own customers before and now: counted from two files of labels, at the organisation alone."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mpcseg.errors import UnreadableTableError
from mpcseg.report.drift_section import migration_section
from mpcseg.report.migration import Migration, migration
from mpcseg.report.pictures import svg

BEFORE = [("007", 1), ("7", 1), ("c,d", 2), ("=1+1", 2), (" e ", 3), ("gone", 3)]
NOW = [("007", 1), ("7", 2), ("c,d", 2), ("=1+1", 1), (" e ", 3), ("new", 2)]


def csv_labels(path: Path, rows: list[tuple[str, int]], id_column: str = "id") -> Path:
    lines = [f'"{name}",{segment},0.25' for name, segment in rows]
    path.write_text("\n".join([f"{id_column},segment,distance", *lines]) + "\n")
    return path


def parquet_labels(path: Path, rows: list[tuple[object, int]]) -> Path:
    names, segments = zip(*rows, strict=True)
    pq.write_table(
        pa.table({"id": names, "segment": segments, "distance": [0.5] * len(rows)}), path
    )
    return path


def test_customers_are_counted_by_where_they_were_and_are(tmp_path: Path) -> None:
    """Identifiers that only look alike are two customers."""
    moved = migration(csv_labels(tmp_path / "a.csv", BEFORE), csv_labels(tmp_path / "b.csv", NOW))
    assert moved == Migration(
        {(1, 1): 1, (1, 2): 1, (2, 2): 1, (2, 1): 1, (3, 3): 1}, {2: 1}, {3: 1}
    )
    assert moved.n_both == 5
    assert moved.former_segments == moved.segments == (1, 2, 3)


def test_labels_may_be_of_either_kind(tmp_path: Path) -> None:
    before = parquet_labels(tmp_path / "a.parquet", [(7, 1), (8, 2)])
    now = csv_labels(tmp_path / "b.csv", [("7", 2), ("9", 2)])
    assert migration(before, now) == Migration({(1, 2): 1}, {2: 1}, {2: 1})


def test_the_section_has_every_customer_once(tmp_path: Path) -> None:
    moved = migration(csv_labels(tmp_path / "a.csv", BEFORE), csv_labels(tmp_path / "b.csv", NOW))
    section = migration_section(moved, "alder")
    assert section is not None
    (table,) = section.tables
    assert sum(int(str(row[2])) for row in table.rows) == len({name for name, _ in BEFORE + NOW})
    assert "5 customers of alder have a label in both studies; 60.0%" in section.paragraphs[0]
    assert svg(section.figures[0]).startswith("<svg")
    assert migration_section(Migration({}, {1: 3}, {}), "alder") is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "id,segment,distance\n",
        "id,cluster\n1,2\n",
        "id,segment,distance\n1,two,0.5\n",
        "id,segment,distance\n1,,0.5\n",
        "id,segment,distance\n1,2,0.5\n1,2,0.5\n",
    ],
)
def test_what_is_no_file_of_labels_is_refused(tmp_path: Path, text: str) -> None:
    good, bad = csv_labels(tmp_path / "good.csv", NOW), tmp_path / "bad.csv"
    bad.write_text(text)
    for pair in ((good, bad), (bad, good)):
        if text.count("\n") == 1:  # no customer is not a fault
            migration(*pair)
            continue
        with pytest.raises(UnreadableTableError, match=r"bad\.csv"):
            migration(*pair)


def test_labels_of_other_identifiers_are_refused(tmp_path: Path) -> None:
    one, other = (csv_labels(tmp_path / f"{name}.csv", NOW, name) for name in ("id", "number"))
    with pytest.raises(UnreadableTableError, match="different columns"):
        migration(one, other)
    with pytest.raises(UnreadableTableError, match=r"absent\.csv"):
        migration(one, tmp_path / "absent.csv")
