"""The segment table: made of released sums alone, right in original units, and never raw."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from mpcseg.errors import ConfigError, OutputError
from mpcseg.reference.lloyd import profile_sums, soft_weights, weighted_sums
from mpcseg.reference.sign import sign_for
from mpcseg.report.export import result_document, write_segments_csv, write_segments_json
from mpcseg.report.files import (
    rounded,
    verify_output_file,
    verify_output_folder,
    write_json,
    write_text,
)
from mpcseg.report.model import SegmentTable, segment_table
from mpcseg.report.table import SegmentsView, plain
from mpcseg.study.identity import new_identity
from mpcseg.study.schedule import Schedule, StudyResult
from mpcseg.study.spec import FeatureSpec, NodeCard, PartyCard, StudySpec

DEGREES = (7, 15)
FEATURES = (
    FeatureSpec(name="recency", lower=0, upper=400),
    FeatureSpec(name="money", transform="log1p", lower=0, upper=10_000),
)


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> StudySpec:
    folder = tmp_path_factory.mktemp("identities")
    pems = {
        name: new_identity(name, folder / name).certificate_pem
        for name in ("hub", "notary", "alder")
    }
    return StudySpec(
        name="spring", n_clusters=3, n_rounds=6, epsilon="none", features=FEATURES, seed=1,
        compute=NodeCard(name="hub", certificate_pem=pems["hub"]),
        key=NodeCard(name="notary", certificate_pem=pems["notary"]),
        parties=(PartyCard(name="alder", certificate_pem=pems["alder"]),),
    )  # fmt: skip


@pytest.fixture(scope="module")
def customers() -> np.ndarray:
    """Three groups far apart, in original units: 100 loyal, 300 lapsed, 200 new."""
    rng = np.random.default_rng(5)
    recency = np.concatenate(
        [rng.normal(70, 25, 100), rng.normal(330, 25, 300), rng.normal(80, 25, 200)]
    )
    money = np.concatenate(
        [rng.lognormal(7.8, 0.5, 100), rng.lognormal(3, 0.5, 300), rng.lognormal(3.2, 0.5, 200)]
    )
    return np.clip(np.column_stack([recency, money]), 0, [400, 10_000])


@pytest.fixture(scope="module")
def result(spec: StudySpec, customers: np.ndarray) -> StudyResult:
    """What the schedule makes of sums over these customers, computed in the clear."""
    records = np.column_stack(
        [feature.scale(customers[:, j]) for j, feature in enumerate(spec.features)]
    )
    schedule = Schedule(
        n_clusters=3, n_rounds=6, feature_names=spec.feature_names,
        blunt=DEGREES, sharp=DEGREES, seed=spec.seed,
    )  # fmt: skip
    while (request := schedule.request()) is not None:
        if request.hyperplanes is None:
            products = records[:, :, None] * records[:, None, :]
            triangle = products[:, *np.triu_indices(2)].sum(axis=0)
            schedule.receive(np.concatenate([[len(records)], records.sum(axis=0), triangle]))
            continue
        weights = soft_weights(records, request.hyperplanes, sign_for(request.sign), 3)
        sums = profile_sums if request.kind == "profile" else weighted_sums
        schedule.receive(sums(records, weights))
    return schedule.result()


@pytest.fixture(scope="module")
def table(spec: StudySpec, result: StudyResult) -> SegmentTable:
    return segment_table(spec, result)


def test_segments_come_by_size_with_the_right_sizes(table: SegmentTable) -> None:
    assert [segment.number for segment in table.segments] == [1, 2, 3]
    sizes = [segment.size for segment in table.segments]
    np.testing.assert_allclose(sizes, [300, 200, 100], rtol=0.01)
    assert sum(segment.share for segment in table.segments) == pytest.approx(1, abs=0.01)
    assert table.n_records == 600


def test_centres_and_spreads_are_those_of_the_customers_in_original_units(
    table: SegmentTable, customers: np.ndarray
) -> None:
    for segment, rows in zip(
        table.segments, (slice(100, 400), slice(400, 600), slice(0, 100)), strict=True
    ):
        # The polynomial leaves a little of every record in the other segments.
        recency, money = segment.features
        mean, spread = customers[rows, 0].mean(), customers[rows, 0].std()
        assert recency.centre == pytest.approx(mean, abs=2)
        assert recency.low == pytest.approx(mean - spread, abs=4)
        assert recency.high == pytest.approx(mean + spread, abs=4)
        logs = np.log1p(customers[rows, 1])
        assert money.centre == pytest.approx(np.expm1(logs.mean()), rel=0.05)
        assert money.low == pytest.approx(np.expm1(logs.mean() - logs.std()), rel=0.1)
        assert money.high == pytest.approx(np.expm1(logs.mean() + logs.std()), rel=0.1)


def test_what_distinguishes_a_segment_is_what_is_far_from_the_average(table: SegmentTable) -> None:
    remarks = [
        [f"{summary.feature} {summary.remark}" for summary in segment.distinguishing]
        for segment in table.segments
    ]
    assert remarks[0][0] == "recency high"
    assert remarks[1][0] == "recency low"
    assert remarks[2] == ["money very high", "recency low"]


def test_spreads_stay_within_the_bounds(spec: StudySpec, result: StudyResult) -> None:
    wide = replace(result, segment_spreads=np.full((3, 2), 3.0))
    for segment in segment_table(spec, wide).segments:
        for summary, feature in zip(segment.features, FEATURES, strict=True):
            assert (summary.low, summary.high) == (feature.lower, feature.upper)


def _with_empty_segment(result: StudyResult) -> StudyResult:
    sizes, means, spreads = (
        result.segment_sizes.copy(), result.segment_means.copy(), result.segment_spreads.copy(),
    )  # fmt: skip
    sizes[1], means[1], spreads[1] = -0.01, result.cluster_centers[1], 0.0
    return replace(result, segment_sizes=sizes, segment_means=means, segment_spreads=spreads)


def test_an_empty_segment_has_no_spread_and_nothing_stands_out(
    spec: StudySpec, result: StudyResult, tmp_path: Path
) -> None:
    table = segment_table(spec, _with_empty_segment(result))
    last = table.segments[-1]
    assert (last.cluster, last.is_empty, last.size, last.distinguishing) == (1, True, 0.0, ())
    assert math.isnan(last.features[0].low)
    write_segments_json(table, tmp_path / "segments.json")
    document = json.loads((tmp_path / "segments.json").read_text())
    assert document["segments"][-1]["features"]["recency"]["low"] is None
    write_segments_csv(table, tmp_path / "segments.csv")
    with (tmp_path / "segments.csv").open() as file:
        assert list(csv.DictReader(file))[-1]["recency low"] == ""
    assert "no customers" in _shown(table)


def _shown(table: SegmentTable, width: int = 120) -> str:
    shown = io.StringIO()
    Console(width=width, file=shown).print(SegmentsView(table))
    return shown.getvalue()


def test_the_screen_shows_sizes_centres_ranges_and_remarks(table: SegmentTable) -> None:
    shown = _shown(table)
    assert "600 customers" in shown
    assert "segment 3" in shown
    assert "money very high" in shown
    assert plain(table.segments[0].features[0].centre) in shown


@pytest.mark.parametrize("width", [36, 50, 80, 200])
def test_a_narrow_screen_cuts_nothing_off(table: SegmentTable, width: int) -> None:
    shown = _shown(table, width=width)
    assert "…" not in shown
    n_tables = shown.count("┏")
    assert n_tables == {36: 3, 50: 2, 80: 1, 200: 1}[width]
    assert shown.count("recency ") >= n_tables
    for number in (1, 2, 3):
        assert f"segment {number}" in shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"), (1234567.8, "1,234,568"), (123.4, "123"), (12.34, "12.3"), (1.0, "1"),
        (-0.01234, "-0.0123"), (10.0, "10"), (99.99, "100"), (math.nan, "–"), (1e-12, "0"),
    ],
)  # fmt: skip
def test_numbers_are_written_for_people(value: float, text: str) -> None:
    assert plain(value) == text


def test_csv_and_json_say_the_same(table: SegmentTable, tmp_path: Path) -> None:
    write_segments_csv(table, tmp_path / "segments.csv")
    write_segments_json(table, tmp_path / "segments.json")
    document = json.loads((tmp_path / "segments.json").read_text())
    with (tmp_path / "segments.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(document["segments"]) == 3
    for row, segment in zip(rows, document["segments"], strict=True):
        assert float(row["size"]) == segment["size"]
        assert float(row["money high"]) == segment["features"]["money"]["high"]
        assert row["distinguishing"] == "; ".join(segment["distinguishing"])


def _numbers(value: object) -> list[float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for entry in value for number in _numbers(entry)]
    return [value] if isinstance(value, float) else []


def test_no_result_leaves_raw(
    spec: StudySpec, result: StudyResult, table: SegmentTable, tmp_path: Path
) -> None:
    document = result_document(spec, result)
    write_segments_json(table, tmp_path / "segments.json")
    numbers = _numbers(document) + _numbers(json.loads((tmp_path / "segments.json").read_text()))
    assert len(numbers) > 50
    for number in numbers:
        assert number == float(f"{number:.5g}")
    raw = {float(value) for value in result.cluster_centers.ravel()}
    assert not raw & set(numbers)


def test_the_result_document_has_centres_in_both_units(
    spec: StudySpec, result: StudyResult
) -> None:
    document = json.loads(json.dumps(result_document(spec, result), allow_nan=False))
    scaled = np.array(document["cluster_centers_scaled"])
    np.testing.assert_allclose(scaled, result.cluster_centers, rtol=1e-4)
    original = np.column_stack([f.unscale(scaled[:, j]) for j, f in enumerate(FEATURES)])
    np.testing.assert_allclose(document["cluster_centers"], original, rtol=2e-3)
    assert document["n_rounds"] == result.n_iter
    assert len(document["rounds"]) == len(result.history)
    assert document["study_digest"] == spec.digest


def test_rounding_keeps_size_and_sign() -> None:
    assert rounded(123456.7) == 123460.0
    assert rounded(-0.000123456) == -0.00012346
    assert rounded(math.inf) is None
    assert str(rounded(-0.0)) == "0.0"


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "new" / "result.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"a": math.nan})
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "half \ud800")
    assert json.loads(path.read_text()) == {"a": 1}
    assert [entry.name for entry in path.parent.iterdir()] == ["result.json"]


def test_a_place_that_cannot_be_written_is_a_plain_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be written"):
        write_text(tmp_path / "file" / "result.json", "")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="cannot be written"):
        write_text(tmp_path / "folder", "")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "folder"]


def test_a_place_is_checked_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    verify_output_file(tmp_path / "file")
    verify_output_file(tmp_path / "new.json")
    verify_output_file(tmp_path / "demo" / "new.json", made=tmp_path / "demo")
    verify_output_folder(tmp_path)
    verify_output_folder(tmp_path / "results")
    for path in (tmp_path, tmp_path / "absent" / "x.json", tmp_path / "file" / "x.json"):
        with pytest.raises(OutputError, match="cannot be written"):
            verify_output_file(path)
    for path in (tmp_path / "file", tmp_path / "absent" / "results", tmp_path / "file" / "results"):
        with pytest.raises(OutputError, match="cannot be written"):
            verify_output_folder(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_that_may_not_be_written_to_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="permission denied"):
            verify_output_file(tmp_path / "x.json")
        with pytest.raises(OutputError, match="permission denied"):
            verify_output_folder(tmp_path / "results")
    finally:
        tmp_path.chmod(0o700)
