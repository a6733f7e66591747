"""A party's table: every defect has its own error, and no error shows a cell."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mpcseg import errors
from mpcseg.study.cohort import Cohort, load_cohort
from mpcseg.study.spec import FeatureSpec
from mpcseg.study.table import read_table, rows_text

FEATURES = (
    FeatureSpec(name="recency", lower=0, upper=100),
    FeatureSpec(name="money", transform="log1p", lower=0, upper=1000),
)


def write(folder: Path, text: str, name: str = "customers.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def load(folder: Path, text: str) -> Cohort:
    return load_cohort(write(folder, text), "id", FEATURES)


def test_values_are_transformed_and_scaled_by_the_agreed_bounds(tmp_path: Path) -> None:
    cohort = load(tmp_path, "id,other,money,recency\na,x,0,0\nb,y,1000,100\nc,z,9,25\n")
    expected = [[-1, -1], [1, 1], [-0.5, 2 * np.log(10) / np.log(1001) - 1]]
    np.testing.assert_allclose(cohort.records, expected, atol=1e-12)
    assert cohort.n_clipped == (0, 0)
    assert cohort.warnings == ()
    assert cohort.n_records == 3


def test_numbers_may_be_written_in_any_plain_way(tmp_path: Path) -> None:
    path = write(tmp_path, 'id,v\na,+1\nb, 2.5 \nc,.5\nd,1e2\ne,"3"\nf,-4.\ng,1E-1\n')
    table = read_table(path, "id", ["v"])
    np.testing.assert_array_equal(table.values[:, 0], [1, 2.5, 0.5, 100, 3, -4, 0.1])
    assert table.identifiers == list("abcdefg")


def test_a_byte_order_mark_windows_lines_blank_lines_and_quoted_newlines_are_fine(
    tmp_path: Path,
) -> None:
    path = tmp_path / "customers.csv"
    path.write_bytes(b'\xef\xbb\xbfid,note,v\r\na,"two\r\nlines",1\r\n\r\nb,x,2\r\n\r\n')
    np.testing.assert_array_equal(read_table(path, "id", ["v"]).values, [[1], [2]])


def test_values_outside_the_bounds_are_clipped_counted_and_warned_about(tmp_path: Path) -> None:
    cohort = load(tmp_path, "id,recency,money\na,-5,1\nb,101,2\nc,100,1000.5\nd,0,1000\n")
    assert cohort.n_clipped == (2, 1)
    assert np.abs(cohort.records).max() == 1.0
    assert "2 of 4 values in column 'recency'" in cohort.warnings[0]
    assert "1 of 4 values in column 'money'" in cohort.warnings[1]
    assert "101" not in "".join(cohort.warnings)


def test_a_column_that_is_constant_here_is_a_warning(tmp_path: Path) -> None:
    cohort = load(tmp_path, "id,recency,money\na,5,1\nb,5,2\n")
    assert len(cohort.warnings) == 1
    assert "'recency'" in cohort.warnings[0]


def test_a_party_may_have_its_own_column_names_and_no_identifiers(tmp_path: Path) -> None:
    path = write(tmp_path, "days,money\n5,1\n5,1\n7,2\n")
    cohort = load_cohort(path, None, FEATURES, {"recency": "days"})
    assert cohort.n_records == 3
    assert "count twice" in cohort.warnings[0]


def test_parquet_of_integers_decimals_and_floats(tmp_path: Path) -> None:
    path = tmp_path / "customers.parquet"
    decimals = pa.array([1, 2], pa.int64()).cast(pa.decimal128(25, 2))
    pq.write_table(pa.table({"id": [7, 8], "recency": decimals, "money": [0.5, 3.0]}), path)
    csv = load(tmp_path, "id,recency,money\n7,1,0.5\n8,2,3\n")
    np.testing.assert_array_equal(load_cohort(path, "id", FEATURES).records, csv.records)


def test_the_cohort_keeps_and_shows_no_identifier_and_no_record(tmp_path: Path) -> None:
    cohort = load(tmp_path, "id,recency,money\nanna-k,17.25,1\nbert-m,5,2\n")
    assert set(vars(cohort)) == {"records", "n_clipped", "warnings"}
    assert "anna" not in str(vars(cohort))
    assert "array" not in repr(cohort)


DEFECTS = {
    "no such column": (
        "id,recency,amount\na,1,1\n",
        errors.MissingColumnError,
        "has no column 'money'",
    ),
    "no identifier column": (
        "recency,money\n1,1\n",
        errors.MissingColumnError,
        "has no column 'id'",
    ),
    "column twice": (
        "id,recency,recency,money\na,1,1,1\n",
        errors.UnreadableTableError,
        "column 'recency' stands 2 times",
    ),
    "empty file": ("", errors.EmptyTableError, "is empty"),
    "heading only": ("id,recency,money\n", errors.EmptyTableError, "has no records"),
    "empty cell": (
        "id,recency,money\na,1,1\nb,,734.25\n",
        errors.MissingValueError,
        "'recency' has an empty cell, a NaN or an infinity in record 2 (not counting the heading)",
    ),
    "nan": (
        "id,recency,money\na,NaN,734.25\nb,2,2\nc,nan,3\n",
        errors.MissingValueError,
        "in records 1, 3 (not counting the heading)",
    ),
    "infinity": ("id,recency,money\na,1,-inf\n", errors.MissingValueError, "'money'"),
    "overflow": ("id,recency,money\na,1,1e999\n", errors.MissingValueError, "'money'"),
    "text": (
        "id,recency,money\na,1,1\nb,secret734.25,1\n",
        errors.NotANumberError,
        "'recency' holds text where a number must stand, in record 2 (not counting the heading)",
    ),
    "identifier twice": (
        "id,recency,money\n734.25,1,1\nb,2,2\n734.25,3,3\n",
        errors.DuplicateIdError,
        "in records 1, 3 (not counting the heading)",
    ),
    "identifier twice but for blanks": (
        "id,recency,money\n734.25,1,1\n 734.25 ,3,3\n",
        errors.DuplicateIdError,
        "in records 1, 2 (not counting the heading)",
    ),
    "no identifier": (
        "id,recency,money\na,1,1\n ,734.25,1\n",
        errors.MissingValueError,
        "column 'id' has no identifier in record 2 (not counting the heading)",
    ),
    "outside the transform": (
        "id,recency,money\na,1,-1\nb,1,-734.25\n",
        errors.TransformDomainError,
        "column 'money' is -1 or less in records 1, 2 (not counting the heading)",
    ),
    "a row too long": (
        "id,recency,money\na,1,1\nb,734,25,2\n",
        errors.UnreadableTableError,
        "record 2 (not counting the heading) has more or fewer cells",
    ),
    "a row too short": (
        "id,recency,money\na,1,1\nb,734.25\nc,1\n",
        errors.UnreadableTableError,
        "(not counting the heading) has more or fewer cells than the heading (2 such records)",
    ),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_has_its_own_error_which_names_file_and_place_and_no_value(
    tmp_path: Path, defect: str
) -> None:
    text, expected, sentence = DEFECTS[defect]
    with pytest.raises(errors.DataError) as caught:
        load(tmp_path, text)
    assert type(caught.value) is expected
    assert "customers.csv" in caught.value.message
    assert sentence in caught.value.message
    assert caught.value.hint
    shown = caught.value.message.replace(str(tmp_path), "") + caught.value.hint
    assert "734" not in shown
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    ("cell", "hint"),
    [
        ('"1,234"', "thousands"),
        ('"1,234,567.8"', "thousands"),
        ('"0,5"', "decimal comma"),
        ("True", "yes-or-no"),
        ("N/A", "not known"),
        ("null", "not known"),
        ("-", "not known"),
        ("12 EUR", "plain numbers"),
        ("1_000", "plain numbers"),
        ("0x1F", "plain numbers"),
        ("1e", "plain numbers"),
        ("٣", "plain numbers"),
    ],
)
def test_text_in_a_numeric_column_is_caught_whatever_it_looks_like(
    tmp_path: Path, cell: str, hint: str
) -> None:
    with pytest.raises(errors.NotANumberError) as caught:
        load(tmp_path, f"id,recency,money\na,1,1\nb,{cell},1\n")
    assert "record 2 " in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    "column",
    [
        pa.array([True, False]),
        pa.array(["1", "x"]),
        pa.array([datetime.date(2020, 1, 1), datetime.date(2020, 1, 2)]),
    ],
    ids=["booleans", "text", "dates"],
)
def test_a_parquet_column_of_another_type_is_refused(tmp_path: Path, column: pa.Array) -> None:
    path = tmp_path / "customers.parquet"
    pq.write_table(pa.table({"id": ["a", "b"], "recency": column, "money": [1, 2]}), path)
    with pytest.raises(errors.NotANumberError, match="'recency'"):
        load_cohort(path, "id", FEATURES)


def test_a_parquet_null_is_a_missing_value(tmp_path: Path) -> None:
    path = tmp_path / "customers.parquet"
    pq.write_table(pa.table({"id": ["a", "b"], "recency": [1, None], "money": [1, 2]}), path)
    with pytest.raises(errors.MissingValueError, match="record 2 "):
        load_cohort(path, "id", FEATURES)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("absent.csv", None),
        ("customers.xlsx", b"PK"),
        ("customers.parquet", b"not parquet at all"),
        ("customers.csv", b"id,recency,money\n\xff\xfe,1,2\n"),
        ("customers.csv", b"\xff\xfei\x00d\x00"),
    ],
    ids=["absent", "spreadsheet", "broken parquet", "latin-1 cells", "utf-16"],
)
def test_what_is_no_table_is_refused(tmp_path: Path, name: str, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(errors.UnreadableTableError, match=name):
        load_cohort(tmp_path / name, "id", FEATURES)


def test_a_folder_is_no_table(tmp_path: Path) -> None:
    for name in ("a.csv", "a.parquet"):
        (tmp_path / name).mkdir()
        with pytest.raises(errors.UnreadableTableError, match=name):
            load_cohort(tmp_path / name, "id", FEATURES)


def test_a_missing_column_suggests_a_heading_that_looks_alike(tmp_path: Path) -> None:
    with pytest.raises(errors.MissingColumnError) as caught:
        load(tmp_path, "id,recency, Money \na,1,1\n")
    assert "' Money '" in caught.value.hint


def test_a_file_without_a_heading_does_not_give_its_first_record_away(tmp_path: Path) -> None:
    with pytest.raises(errors.MissingColumnError) as caught:
        load(tmp_path, "anna,17,3.5\nbert,18,4.5\n")
    assert "anna" not in caught.value.message + caught.value.hint
    assert "3.5" not in caught.value.message + caught.value.hint


def test_a_table_separated_by_semicolons_gets_a_hint(tmp_path: Path) -> None:
    with pytest.raises(errors.MissingColumnError) as caught:
        load(tmp_path, "id;recency;money\na;1;2\n")
    assert "but commas" in caught.value.hint


def test_column_maps_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "id,recency,money\na,1,1\n")
    with pytest.raises(errors.ConfigError, match="'mony'"):
        load_cohort(path, "id", FEATURES, {"mony": "money"})
    with pytest.raises(errors.ConfigError, match="used twice"):
        load_cohort(path, "id", FEATURES, {"money": "recency"})
    with pytest.raises(errors.ConfigError, match="used twice"):
        load_cohort(path, "recency", FEATURES)


@given(hnp.arrays(bool, st.integers(1, 40)).filter(lambda mask: bool(mask.any())))
def test_rows_are_counted_from_one_and_never_lost(mask: np.ndarray) -> None:
    text = rows_text(mask)
    numbers = [int(word) for word in text.replace(",", " ").split() if word.isdigit()]
    if "more" in text:
        assert numbers[-1] + 5 == mask.sum()
        numbers = numbers[:-1]
    assert numbers == (np.flatnonzero(mask) + 1).tolist()[: len(numbers)]
    assert len(numbers) == min(5, mask.sum())


@given(st.floats(-0.99, 1e6), st.floats(1, 1e12), st.sampled_from(["identity", "log1p"]))
def test_no_record_is_longer_than_the_radius(lower: float, width: float, transform: str) -> None:
    feature = FeatureSpec.model_validate(
        {"name": "f", "transform": transform, "lower": lower, "upper": lower + width}
    )
    values = np.linspace(lower, lower + width, 97)
    scaled = feature.scale(values)
    assert np.abs(scaled).max() <= 1 + 1e-9
    assert scaled[0] == -1
    np.testing.assert_allclose(feature.unscale(scaled), values, rtol=1e-5, atol=1e-6 * width)
