"""Labels of one's own customers: the nearest released centroid, the same domain, a safe file."""

from __future__ import annotations

import csv
import dataclasses
import os
import sqlite3
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpcseg import errors
from mpcseg.customers import label_files, label_table
from mpcseg.customers.cohort import load_cohort
from mpcseg.customers.label_table import LabelTable
from mpcseg.customers.labels import LabelSummary, label_customers
from mpcseg.customers.source import TableSource
from mpcseg.study.nearest import ReleasedCentroids
from mpcseg.study.results import NO_NOISE, make_results
from mpcseg.study.spec import FeatureSpec, StudySpec
from tests import made_up
from tests.organisations import study_spec

FEATURES = (
    FeatureSpec(name="recency", lower=0, upper=100),
    FeatureSpec(name="money", transform="log1p", lower=0, upper=1000),
)
CENTROIDS: dict[str, Any] = {
    "segments": [1, 2, 4],
    "centers_scaled": [[-0.9, -0.9], [0.0, 0.1], [0.6, 0.5]],
    "feature_weights": [4.0, 9.0],
    "features": ["recency", "money"],
    "suppressed": 1,
}
RELEASED = ReleasedCentroids.of_document(CENTROIDS, [feature.name for feature in FEATURES])
CUSTOMERS = """id,recency,money,joint
007,5,0.5,yes
=1+1,50,40,yes
b,2,20,no
"c,d",90,100,yes
out,1,1,yes
 e ,500,5000,yes
007,5,0.5,yes
"""


@pytest.fixture(scope="module")
def spec() -> StudySpec:
    return study_spec(features=FEATURES, consent={"column": "joint", "value": "yes"}, radius=1.2)


@pytest.fixture
def table(tmp_path: Path) -> TableSource:
    path = tmp_path / "customers.csv"
    path.write_text(CUSTOMERS, encoding="utf-8")
    return TableSource(path, "id")


@pytest.fixture
def opt_out(tmp_path: Path) -> Path:
    path = tmp_path / "opt_out.csv"
    path.write_text("out\n", encoding="utf-8")
    return path


def read(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_every_customer_who_takes_part_gets_the_nearest_segment(
    tmp_path: Path, table: TableSource, spec: StudySpec, opt_out: Path
) -> None:
    output = tmp_path / "labels.csv"
    done = label_customers(table, spec, RELEASED, output, opt_out=opt_out)
    heading, *rows = read(output)
    assert heading == ["id", "segment", "distance", "confidence", "far"]
    assert [(row[0], row[1]) for row in rows] == [
        ("007", "1"), ("=1+1", "2"), ("c,d", "4"), (" e ", "4"),
    ]  # fmt: skip
    # Beyond the bounds and the radius: what was clustered is the clipped and shortened record.
    corner = 1.2 / np.sqrt(2)
    expected = np.sqrt(4 * (corner - 0.6) ** 2 + 9 * (corner - 0.5) ** 2)
    assert float(rows[3][2]) == pytest.approx(expected, rel=1e-5)
    assert (done.n_read, done.n_labelled, done.n_duplicates) == (7, 4, 1)
    assert (done.n_without_consent, done.n_opted_out) == (1, 1)
    assert done.sizes == {1: 1, 2: 1, 4: 2}
    assert "1 segment is too small to be shown" in done.warnings[-1]
    assert "sizes" not in repr(done)


def test_labels_are_those_of_the_cohort_s_own_records(
    tmp_path: Path, table: TableSource, spec: StudySpec
) -> None:
    cohort = load_cohort(table, FEATURES, consent=spec.consent, radius=spec.l2_radius)
    label_customers(table, spec, RELEASED, tmp_path / "labels.parquet")
    written = pq.read_table(tmp_path / "labels.parquet").to_pandas()
    centroids = ReleasedCentroids.of_document(CENTROIDS, spec.feature_names)
    segments, distances = centroids.nearest(cohort.records)
    np.testing.assert_array_equal(written["segment"], segments)
    np.testing.assert_array_equal(written["distance"], distances)


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 5))
def test_no_released_centroid_is_nearer_than_the_label_s(seed: int, k: int, d: int) -> None:
    rng = np.random.default_rng(seed)
    centers, records = rng.uniform(-1, 1, (k, d)), rng.uniform(-1, 1, (20, d))
    weights = rng.uniform(0.1, 9, d)
    released = ReleasedCentroids(np.arange(k) * 3 + 1, centers, weights)
    segments, distances = released.nearest(records)
    every = np.sqrt((((records[:, None] - centers) ** 2) * weights).sum(axis=2))
    np.testing.assert_allclose(distances, every.min(axis=1), rtol=1e-12)
    np.testing.assert_allclose(every[np.arange(20), (segments - 1) // 3], distances, rtol=1e-12)


IDENTIFIERS = {
    "large integers": pa.array([2**53 + 1, 2**53 + 2, 3]),
    "decimals": pa.array([1, 2, 3]).cast(pa.decimal128(20, 0)),
    "texts": pa.array(["007", " 8 ", "=9"]),
    "large texts": pa.array(["007", " 8 ", "=9"], pa.large_string()),
    "floats": pa.array([1.0, 2.0, 3.0]),
    "bytes": pa.array([b"a", b"b", b"c"]),
    "categories": pa.array(["a", "b", "c"]).dictionary_encode(),
}


@pytest.mark.parametrize("kind", IDENTIFIERS)
def test_identifiers_keep_type_and_value_in_parquet(
    tmp_path: Path, kind: str, spec: StudySpec
) -> None:
    path, output = tmp_path / "customers.parquet", tmp_path / "labels.parquet"
    identifiers = IDENTIFIERS[kind]
    columns = {"who": identifiers, "recency": [1, 2, 3], "money": [1, 2, 3]}
    pq.write_table(pa.table({**columns, "joint": ["yes"] * 3}), path)
    label_customers(TableSource(path, "who"), spec, RELEASED, output)
    written = pq.read_table(output)
    plain = identifiers.dictionary_decode() if kind == "categories" else identifiers
    assert written.column("who").type == plain.type
    assert written.column("who").to_pylist() == plain.to_pylist()
    assert written.column_names == ["who", "segment", "distance", "confidence", "far"]


def test_a_large_table_is_labelled_piece_by_piece_and_repetitions_are_still_found(
    tmp_path: Path, spec: StudySpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mpcseg.customers.table._BATCH_ROWS", 10)
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(
        {
            "id": np.arange(200),
            "recency": rng.uniform(0, 100, 200),
            "money": rng.uniform(0, 1000, 200),
            "joint": "yes",
        }
    )
    path, output = tmp_path / "customers.parquet", tmp_path / "labels.parquet"
    pd.concat([frame, frame[3:5]]).to_parquet(path)
    pieces: list[int] = []
    assign = ReleasedCentroids.assign

    def watched(self: ReleasedCentroids, records: np.ndarray, unclipped: np.ndarray) -> Any:
        pieces.append(len(records))
        return assign(self, records, unclipped)

    monkeypatch.setattr(ReleasedCentroids, "assign", watched)
    done = label_customers(TableSource(path, "id"), spec, RELEASED, output)
    assert (done.n_labelled, done.n_duplicates) == (200, 2)
    assert len(pieces) == 20
    assert max(pieces) == 10
    assert pq.read_table(output).column("id").to_pylist() == list(range(200))

    changed = frame[3:5].assign(money=1.0)
    pd.concat([frame, changed]).to_parquet(path)
    with pytest.raises(errors.DuplicateIdError, match="in records 4, 5, 201, 202 "):
        label_customers(TableSource(path, "id"), spec, RELEASED, tmp_path / "again.csv")
    frame.loc[150, "money"] = np.nan
    frame.to_parquet(path)
    with pytest.raises(errors.MissingValueError, match="in record 151 "):
        label_customers(TableSource(path, "id"), spec, RELEASED, tmp_path / "again.csv")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [
        "customers.parquet", "labels.parquet",
    ]  # fmt: skip


def test_identifiers_of_mixed_types_in_a_database_become_text(
    tmp_path: Path, spec: StudySpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mpcseg.customers.database._ROWS", 2)
    with sqlite3.connect(tmp_path / "shop.db") as database:
        database.execute("CREATE TABLE customers (id, recency, money, joint)")
        rows = [(1, 1, 1, "yes"), (2, 2, 2, "yes"), ("x", 3, 3, "yes"), (4, 4, 4, "yes")]
        database.executemany("INSERT INTO customers VALUES (?, ?, ?, ?)", rows)
    database.close()
    source = TableSource(f"sqlite:///{tmp_path / 'shop.db'}", "id", "customers")
    for name in ("labels.parquet", "labels.csv"):
        label_customers(source, spec, RELEASED, tmp_path / name)
    written = pq.read_table(tmp_path / "labels.parquet").column("id").to_pylist()
    assert written == ["1", "2", "x", "4"]
    assert [row[0] for row in read(tmp_path / "labels.csv")[1:]] == written


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_the_file_is_whole_for_its_owner_only_and_never_overwritten_unasked(
    tmp_path: Path, table: TableSource, spec: StudySpec, suffix: str
) -> None:
    output = tmp_path / f"labels{suffix}"

    def label(**options: Any) -> LabelSummary:
        return label_customers(table, spec, RELEASED, output, **options)

    before = os.umask(0)
    try:
        label()
    finally:
        os.umask(before)
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    content = output.read_bytes()
    output.write_bytes(b"mine")
    with pytest.raises(errors.OutputError, match="exists already"):
        label()
    assert output.read_bytes() == b"mine"
    label(overwrite=True)
    assert output.read_bytes() == content
    assert {entry.name for entry in tmp_path.iterdir()} == {"customers.csv", output.name}


def test_a_file_that_comes_while_labels_are_made_is_not_overwritten(
    tmp_path: Path, table: TableSource, spec: StudySpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "labels.csv"
    assign = ReleasedCentroids.assign

    def slow(self: ReleasedCentroids, records: np.ndarray, unclipped: np.ndarray) -> Any:
        output.write_text("somebody else's")
        return assign(self, records, unclipped)

    monkeypatch.setattr(ReleasedCentroids, "assign", slow)
    with pytest.raises(errors.OutputError, match="exists already"):
        label_customers(table, spec, RELEASED, output)
    assert output.read_text() == "somebody else's"
    assert {entry.name for entry in tmp_path.iterdir()} == {"customers.csv", "labels.csv"}


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("labels.xlsx", "neither .csv nor .parquet"),
        ("absent/labels.csv", "there is no folder"),
        ("folder.csv", "exists already"),
    ],
)
def test_an_impossible_file_is_refused_before_the_table_is_read(
    tmp_path: Path, spec: StudySpec, name: str, sentence: str
) -> None:
    (tmp_path / "folder.csv").mkdir()
    absent = TableSource(tmp_path / "absent.csv", "id")
    with pytest.raises(errors.OutputError, match=sentence):
        label_customers(absent, spec, RELEASED, tmp_path / name, overwrite=True)


def test_a_disk_that_is_full_leaves_nothing_behind(
    tmp_path: Path, table: TableSource, spec: StudySpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(label_files.os, "fsync", full)
    with pytest.raises(errors.OutputError, match="No space left"):
        label_customers(table, spec, RELEASED, tmp_path / "labels.parquet")
    assert [entry.name for entry in tmp_path.iterdir()] == ["customers.csv"]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_nobody_to_label_is_an_error_and_makes_no_file(
    tmp_path: Path, table: TableSource, spec: StudySpec, suffix: str
) -> None:
    path = Path(table.data)
    output = tmp_path / f"labels{suffix}"
    path.write_text(CUSTOMERS.replace(",yes", ",no"))
    with pytest.raises(errors.EmptyTableError, match="of 7 records none is left"):
        label_customers(table, spec, RELEASED, output)
    path.write_text("id,recency,money,joint\n")
    with pytest.raises(errors.EmptyTableError, match="has no records"):
        label_customers(table, spec, RELEASED, output)
    assert [entry.name for entry in tmp_path.iterdir()] == ["customers.csv"]


def test_labels_need_identifiers_and_a_column_name_of_their_own(
    tmp_path: Path, table: TableSource, spec: StudySpec
) -> None:
    output = tmp_path / "labels.csv"
    with pytest.raises(errors.ConfigError, match="need the customers' identifiers"):
        label_customers(TableSource(table.data), spec, RELEASED, output)
    with pytest.raises(errors.ConfigError, match="has the name of a column of the labels"):
        label_customers(TableSource(table.data, "segment"), spec, RELEASED, output)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"segments": []}, "no segment was large enough"),
        ({"segments": [], "centers_scaled": [], "feature_weights": []}, "no segment was large"),
        ({"segments": None}, "hold no centroids"),
        ({"segments": [1, 2]}, "hold no centroids"),
        ({"centers_scaled": [[0], [1], [2]]}, "hold no centroids"),
        ({"centers_scaled": [[0, 1], [1, 1], [2]]}, "hold no centroids"),
        ({"centers_scaled": [[0, 1], [1, 1], [2, float("nan")]]}, "hold no centroids"),
        ({"feature_weights": [1.0]}, "hold no centroids"),
        ({"feature_weights": [1.0, -1.0]}, "hold no centroids"),
        ({"feature_weights": [1.0, None]}, "hold no centroids"),
        ({"features": ["money", "recency"]}, "hold no centroids"),
        ({"features": None}, "hold no centroids"),
    ],
)
def test_what_are_no_centroids_of_this_study_is_refused(
    spec: StudySpec, changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(errors.ConfigError, match=sentence):
        ReleasedCentroids.of_document({**CENTROIDS, **changes}, spec.feature_names)


def test_confidence_is_the_margin_to_the_nearest_other_segment() -> None:
    records = np.array([[0.0, 0.1], [-0.9, -0.9], [0.3, 0.3]])
    assigned = RELEASED.assign(records, records)
    every = np.sqrt((((records[:, None] - RELEASED.centers) ** 2) * RELEASED.weights).sum(axis=2))
    first, second = np.sort(every, axis=1)[:, :2].T
    np.testing.assert_allclose(assigned.confidences, (second - first) / (second + first))
    assert assigned.confidences[:2].tolist() == [1.0, 1.0]
    border = (RELEASED.centers[0] + RELEASED.centers[1])[None] / 2
    assert RELEASED.assign(border, border).confidences == pytest.approx([0.0], abs=1e-12)
    alone = ReleasedCentroids(np.array([1]), np.zeros((1, 2)), np.ones(2))
    assert alone.assign(records, records).confidences.tolist() == [1.0, 1.0, 1.0]


@given(st.integers(0, 2**32 - 1), st.integers(2, 7), st.integers(1, 4))
def test_merged_segments_count_as_one_for_labels_and_confidence(seed: int, k: int, d: int) -> None:
    rng = np.random.default_rng(seed)
    centers, records = rng.uniform(-1, 1, (k, d)), rng.uniform(-1, 1, (20, d))
    released = ReleasedCentroids(np.arange(1, k + 1), centers, rng.uniform(0.1, 9, d))
    mapping = {number: int(rng.integers(1, 4)) for number in range(1, k + 1)}
    assigned = released.merge(mapping).assign(records, records)
    every = np.sqrt((((records[:, None] - centers) ** 2) * released.weights).sum(axis=2))
    for row in range(20):
        own = mapping[int(every[row].argmin()) + 1]
        others = [every[row, a] for a in range(k) if mapping[a + 1] != own]
        nearest, other = every[row].min(), min(others, default=np.inf)
        expected = 1.0 if not others else (other - nearest) / (other + nearest)
        assert assigned.segments[row] == own
        assert assigned.parts[row] == every[row].argmin() + 1
        assert assigned.confidences[row] == pytest.approx(expected)


def test_customers_unlike_anybody_are_flagged_by_their_unclipped_values(
    tmp_path: Path, spec: StudySpec
) -> None:
    study = made_up.agreed(3, noise=False, features=FEATURES, release={"centroids": ["alder"]})
    results = make_results(study, "alder", made_up.finished([500, 300, 200]), NO_NOISE)
    released = ReleasedCentroids.of_results(study, results)
    assert results.report is not None
    for row, figures in enumerate(results.report.segments):
        low, high = (
            np.array([
                feature.scale(getattr(one, side))
                for feature, one in zip(FEATURES, figures.features, strict=True)
            ])
            for side in ("low", "high")
        )  # fmt: skip
        spreads = np.maximum(high - released.centers[row], released.centers[row] - low)
        assert released.reach[row] == pytest.approx(
            3 * np.sqrt(spreads**2 @ released.weights), rel=0.35
        )
    inside = released.centers
    outside = inside + np.array([40.0, 0.0])
    assert not released.assign(inside, inside).is_far.any()
    assert released.assign(np.clip(outside, -1, 1), outside).is_far.all()
    # Without the report, the spread of all customers is all that is known.
    bare = ReleasedCentroids.of_results(study, dataclasses.replace(results, report=None))
    assert bare.reach.tolist() == pytest.approx([3 * np.sqrt(2)] * 3)

    path = tmp_path / "customers.csv"
    path.write_text("id,recency,money\nnear,10,5\nfar,90000,5\n")
    done = label_customers(
        TableSource(path, "id"), study, dataclasses.replace(released, reach=np.full(3, 20.0)),
        tmp_path / "labels.csv",
    )  # fmt: skip
    assert [row[-1] for row in read(tmp_path / "labels.csv")] == ["far", "false", "true"]
    assert done.n_far == 1
    assert "1 of 2 customers are far from anybody in the study" in done.warnings[-1]


def test_merged_labels_have_the_released_segment_beside_them(
    tmp_path: Path, table: TableSource, spec: StudySpec
) -> None:
    merged = RELEASED.merge({1: 2, 2: 1, 4: 1})
    done = label_customers(table, spec, merged, tmp_path / "labels.csv")
    heading, *rows = read(tmp_path / "labels.csv")
    assert heading == ["id", "segment", "part", "distance", "confidence", "far"]
    assert [row[1:3] for row in rows] == [
        ["2", "1"],
        ["1", "2"],
        ["1", "4"],
        ["2", "1"],
        ["1", "4"],
    ]
    assert done.sizes == {1: 3, 2: 2}
    with pytest.raises(errors.ConfigError, match="do not say where segment 4 belongs"):
        RELEASED.merge({1: 1, 2: 1})


def test_progress_tells_of_every_row(
    tmp_path: Path, table: TableSource, spec: StudySpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mpcseg.customers.table._BLOCK_BYTES", 30)
    told: list[tuple[int, int]] = []
    label_customers(
        table, spec, RELEASED, tmp_path / "labels.csv", progress=lambda *rows: told.append(rows)
    )
    assert len(told) > 1
    assert {total for _, total in told} == {7}
    assert told[-1] == (7, 7)


@pytest.mark.parametrize("column", ["id", "number"])
def test_labels_go_into_a_database_whole_or_not_at_all(
    tmp_path: Path, spec: StudySpec, column: str
) -> None:
    with sqlite3.connect(tmp_path / "shop.db") as database:
        database.execute("CREATE TABLE customers (id TEXT, number INT, recency, money, joint)")
        rows = [(f"c{n}", n, n, 10 * n, "yes") for n in range(1, 40)]
        database.executemany("INSERT INTO customers VALUES (?, ?, ?, ?, ?)", rows)
    database.close()
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    source = TableSource(url, column, "customers")

    def label(target: LabelTable) -> LabelSummary:
        target.verify()
        return target.write(lambda file: label_customers(source, spec, RELEASED, file))

    assert label(LabelTable(url, "labels")).n_labelled == 39
    label_customers(source, spec, RELEASED, tmp_path / "labels.csv")

    def stored() -> list[tuple[Any, ...]]:
        with sqlite3.connect(tmp_path / "shop.db") as database:
            statement = f"SELECT {column}, segment, distance, far FROM labels"  # noqa: S608
            return database.execute(statement).fetchall()

    expected = [
        (
            name if column == "id" else int(name),
            int(segment),
            pytest.approx(float(far), rel=1e-5),
            0,
        )
        for name, segment, far, *_ in read(tmp_path / "labels.csv")[1:]
    ]
    assert stored() == expected
    with pytest.raises(errors.OutputError, match="table 'labels' of the sqlite database exists"):
        label(LabelTable(url, "labels"))

    def fail(_: Any) -> Any:
        raise RuntimeError("in the middle")

    broken = LabelTable(url, "labels", overwrite=True)
    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(label_table, "_rows", fail)
        with pytest.raises(errors.DatabaseError, match=r"cannot be written \(RuntimeError\)"):
            label(broken)
    assert stored() == expected
    assert label(broken).n_labelled == 39
    assert stored() == expected


def test_a_database_s_password_is_in_no_message(tmp_path: Path) -> None:
    target = LabelTable("postgresql+nodriver://user:s3cret@localhost/shop", "labels")
    assert "s3cret" not in repr(target)
    with pytest.raises(errors.DatabaseError) as caught:
        target.verify()
    assert "s3cret" not in str(caught.value) + caught.value.hint
