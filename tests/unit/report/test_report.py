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

from mpcseg.errors import AgreementError, ConfigError, OutputError
from mpcseg.report.export import (
    read_segments_json,
    result_document,
    write_segments_csv,
    write_segments_json,
)
from mpcseg.report.files import (
    rounded,
    verify_output_file,
    verify_output_folder,
    write_json,
    write_text,
)
from mpcseg.report.model import SegmentTable, segment_table
from mpcseg.report.table import SegmentsView, plain
from mpcseg.study.outcome import RoundRecord, StudyResult
from mpcseg.study.results import NO_NOISE, PrivacySpent, Results, make_results
from mpcseg.study.spec import FeatureSpec, StudySpec
from tests.organisations import no_noise, study_spec

FEATURES = (
    FeatureSpec(name="recency", lower=0, upper=400),
    FeatureSpec(name="money", transform="log1p", lower=0, upper=10_000),
)


def spec_of(**release: object) -> StudySpec:
    return study_spec(
        name="spring", n_clusters=3, features=FEATURES, privacy=no_noise(),
        release={
            "report": ["alder"], "centroids": ["birch"], "significant_digits": 5, **release,
        },
    )  # fmt: skip


@pytest.fixture(scope="module")
def spec() -> StudySpec:
    return spec_of()


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
    """What a study finds that tells the three groups apart without an error."""
    records = np.column_stack(
        [feature.scale(customers[:, j]) for j, feature in enumerate(spec.features)]
    )
    groups = [records[:100], records[100:400], records[400:]]
    means = np.array([group.mean(axis=0) for group in groups])
    variances = records.var(axis=0)
    return StudyResult(
        cluster_centers=means + 1e-4,
        segment_sizes=np.array([float(len(group)) for group in groups]) + 0.1,
        segment_means=means,
        segment_spreads=np.array([group.std(axis=0) for group in groups]),
        size_stds=np.array([3.0, 12.5, 4.0]),
        mean_stds=np.full((3, 2), 0.01),
        inertia=123.456789,
        n_records=600,
        feature_means=records.mean(axis=0),
        feature_covariance=np.cov(records.T, bias=True),
        feature_weights=1 / variances,
        starting_centers=means + 0.1,
        n_iter=6,
        converged=False,
        history=(
            RoundRecord(1, "moments", (), None, 600, None, ("a feature is \x1b[31mnarrow",)),
            RoundRecord(2, "lloyd", (7, 15), 0.123456789, 600, np.array([1.234567] * 3), ()),
        ),
    )


def results_of(spec: StudySpec, result: StudyResult, spent: PrivacySpent = NO_NOISE) -> Results:
    return make_results(spec, "alder", result, spent)


@pytest.fixture(scope="module")
def table(spec: StudySpec, result: StudyResult) -> SegmentTable:
    return segment_table(results_of(spec, result))


@pytest.fixture
def hiding(result: StudyResult) -> SegmentTable:
    """A table in which the smallest segment is too small, and another one hides it."""
    larger = replace(result, segment_sizes=np.array([100.0, 400.0, 200.0]), n_records=700)
    return segment_table(results_of(spec_of(smallest_segment=101), larger))


NOISED = PrivacySpent(0.99995, 1e-6, {"moments": 0.1, "lloyd": 0.8, "profile": 0.1})


@pytest.fixture
def noised(result: StudyResult) -> SegmentTable:
    spec = study_spec(name="spring", n_clusters=3, features=FEATURES, release={"report": ["alder"]})
    return segment_table(results_of(spec, result, NOISED))


def test_segments_come_by_size_with_the_right_sizes(table: SegmentTable) -> None:
    assert [segment.number for segment in table.segments] == [1, 2, 3]
    sizes = [segment.size for segment in table.segments]
    assert sizes == [300, 200, 100]
    assert sum(segment.share for segment in table.segments) == pytest.approx(1, abs=0.01)
    assert table.n_records == 600


def test_centres_and_spreads_are_those_of_the_customers_in_original_units(
    table: SegmentTable, customers: np.ndarray
) -> None:
    for segment, rows in zip(
        table.segments, (slice(100, 400), slice(400, 600), slice(0, 100)), strict=True
    ):
        recency, money = segment.features
        mean, spread = customers[rows, 0].mean(), customers[rows, 0].std()
        assert recency.centre == pytest.approx(mean, rel=1e-4)
        assert recency.low == pytest.approx(max(mean - spread, 0), rel=1e-4)
        assert recency.high == pytest.approx(min(mean + spread, 400), rel=1e-4)
        logs = np.log1p(customers[rows, 1])
        assert money.centre == pytest.approx(np.expm1(logs.mean()), rel=1e-4)
        assert money.low == pytest.approx(np.expm1(logs.mean() - logs.std()), rel=1e-4)
        assert money.high == pytest.approx(np.expm1(logs.mean() + logs.std()), rel=1e-4)


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
    for segment in segment_table(results_of(spec, wide)).segments:
        for summary, feature in zip(segment.features, FEATURES, strict=True):
            assert (summary.low, summary.high) == (feature.lower, feature.upper)


def _with_empty_segment(result: StudyResult) -> StudyResult:
    sizes, means, spreads = (
        result.segment_sizes.copy(), result.segment_means.copy(), result.segment_spreads.copy(),
    )  # fmt: skip
    sizes[1], means[1], spreads[1] = -0.01, result.cluster_centers[1], 0.0
    return replace(result, segment_sizes=sizes, segment_means=means, segment_spreads=spreads)


def test_where_nothing_is_hidden_an_empty_segment_has_no_spread_and_nothing_stands_out(
    result: StudyResult, tmp_path: Path
) -> None:
    table = segment_table(results_of(spec_of(smallest_segment=1), _with_empty_segment(result)))
    last = table.segments[-1]
    assert (last.cluster, last.is_empty, last.size, last.distinguishing) == (1, True, 0, ())
    assert math.isnan(last.features[0].low)
    write_segments_json(table, tmp_path / "segments.json")
    document = json.loads((tmp_path / "segments.json").read_text())
    assert document["segments"][-1]["features"]["recency"]["low"] is None
    write_segments_csv(table, tmp_path / "segments.csv")
    with (tmp_path / "segments.csv").open() as file:
        assert list(csv.DictReader(file))[-1]["recency low"] == ""
    assert "no customers" in _shown(table)


def test_hidden_segments_are_one_row_that_says_why(hiding: SegmentTable, tmp_path: Path) -> None:
    said = "hidden (2 segments, under 101 customers or needed to hide one"
    assert [segment.size for segment in hiding.segments] == [400]
    shown = _shown(hiding, width=200)
    assert said.capitalize() in shown
    assert "segment 2" not in shown
    write_segments_csv(hiding, tmp_path / "segments.csv")
    with (tmp_path / "segments.csv").open() as file:
        heading, first, last = csv.reader(file)
    assert first[:2] == ["1", "400"]
    assert last[0].startswith(said)
    assert set(last[1:]) == {""}
    assert len(heading) == len(first) == len(last)
    write_segments_json(hiding, tmp_path / "segments.json")
    document = json.loads((tmp_path / "segments.json").read_text())
    assert document["hidden"]["n_segments"] == 2
    assert len(document["segments"]) == 1


def test_where_everything_is_hidden_the_table_says_so_and_no_number(
    result: StudyResult, tmp_path: Path
) -> None:
    table = segment_table(results_of(spec_of(smallest_segment=5000), result))
    shown = _shown(table, width=200)
    assert shown.startswith("Segments of spring\n")
    assert "Hidden (3 segments, under 5000 customers" in shown
    assert "600" not in shown
    assert "┏" not in shown
    write_segments_json(table, tmp_path / "segments.json")
    assert read_segments_json(tmp_path / "segments.json") == table


def test_noise_stands_beside_what_it_is_in(noised: SegmentTable, tmp_path: Path) -> None:
    shown = _shown(noised)
    assert "300 ± 12.5 (50.0%)" in shown
    assert "standard deviation of the noise" in shown
    assert "epsilon 1, delta 1e-06" in shown
    recency = noised.segments[0].features[0]
    assert recency.noise == 2.0  # a hundredth of a scaled unit, of which there are two in 400
    assert f"{plain(recency.centre)} ± 2" in shown
    write_segments_csv(noised, tmp_path / "segments.csv")
    with (tmp_path / "segments.csv").open() as file:
        first = next(csv.DictReader(file))
    assert (first["size noise"], first["recency noise"]) == ("12.5", "2")
    assert float(first["money noise"]) == noised.segments[0].features[1].noise


def test_without_noise_none_is_shown(table: SegmentTable, tmp_path: Path) -> None:
    shown = _shown(table)
    assert "noise in it" not in shown
    assert "No noise was added" in shown
    assert "300 (50.0%)" in shown
    write_segments_csv(table, tmp_path / "segments.csv")
    assert "noise" not in (tmp_path / "segments.csv").read_text()


def test_notes_cannot_steer_a_terminal(table: SegmentTable) -> None:
    assert "Note: a feature is  [31mnarrow" in _shown(table)


def test_who_gets_no_report_has_no_table(spec: StudySpec, result: StudyResult) -> None:
    with pytest.raises(AgreementError, match="'birch' receives the centroids of 'spring' only"):
        segment_table(make_results(spec, "birch", result, NO_NOISE))


@pytest.mark.parametrize("which", ["table", "hiding", "noised"])
def test_what_was_written_as_json_reads_as_it_was(
    which: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    table = request.getfixturevalue(which)
    write_segments_json(table, tmp_path / "segments.json")
    assert read_segments_json(tmp_path / "segments.json") == table


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"segments": [{}]}', "{"])
def test_what_is_no_segment_table_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "segments.json").write_text(text)
    with pytest.raises(ConfigError, match="not a segment table"):
        read_segments_json(tmp_path / "segments.json")


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
    assert len(numbers) > 40
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
