"""A party's table: every defect has its own error, and no error shows a cell."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mpcseg import errors
from mpcseg.customers.cells import Place
from mpcseg.customers.cohort import Cohort, load_cohort, scale_records
from mpcseg.customers.selection import load_opt_out
from mpcseg.customers.source import TableSource
from mpcseg.customers.table import read_table
from mpcseg.study.spec import Consent, FeatureSpec

FEATURES = (
    FeatureSpec(name="recency", lower=0, upper=100),
    FeatureSpec(name="money", transform="log1p", lower=0, upper=1000),
)


def write(folder: Path, text: str, name: str = "customers.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def load_file(path: Path, id_column: str | None = "id", **options: Any) -> Cohort:
    terms = {"consent": None, "radius": None, **options}
    return load_cohort(TableSource(path, id_column), FEATURES, **terms)


def load(folder: Path, text: str, **options: Any) -> Cohort:
    return load_file(write(folder, text), **options)


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
    cohort = load_file(path, None, columns={"recency": "days"})
    assert cohort.n_records == 3
    assert "count twice" in cohort.warnings[0]


def test_parquet_of_integers_decimals_and_floats(tmp_path: Path) -> None:
    path = tmp_path / "customers.parquet"
    decimals = pa.array([1, 2], pa.int64()).cast(pa.decimal128(25, 2))
    pq.write_table(pa.table({"id": [7, 8], "recency": decimals, "money": [0.5, 3.0]}), path)
    csv = load(tmp_path, "id,recency,money\n7,1,0.5\n8,2,3\n")
    np.testing.assert_array_equal(load_file(path).records, csv.records)


def test_the_cohort_keeps_and_shows_no_identifier_and_no_record(tmp_path: Path) -> None:
    cohort = load(tmp_path, "id,recency,money\nanna-k,17.25,1\nbert-m,5,2\n")
    assert "anna" not in str(vars(cohort))
    shown = repr(cohort) + "".join(cohort.warnings) + cohort.account
    assert "array" not in shown
    assert "17" not in shown


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
        load_file(path)


def test_a_parquet_null_is_a_missing_value(tmp_path: Path) -> None:
    path = tmp_path / "customers.parquet"
    pq.write_table(pa.table({"id": ["a", "b"], "recency": [1, None], "money": [1, 2]}), path)
    with pytest.raises(errors.MissingValueError, match="record 2 "):
        load_file(path)


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
        load_file(tmp_path / name)


def test_a_folder_is_no_table(tmp_path: Path) -> None:
    for name in ("a.csv", "a.parquet"):
        (tmp_path / name).mkdir()
        with pytest.raises(errors.UnreadableTableError, match=name):
            load_file(tmp_path / name)


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
        load_file(path, columns={"mony": "money"})
    with pytest.raises(errors.ConfigError, match="used twice"):
        load_file(path, columns={"money": "recency"})
    with pytest.raises(errors.ConfigError, match="used twice"):
        load_file(path, "recency")


@given(hnp.arrays(bool, st.integers(1, 40)).filter(lambda mask: bool(mask.any())))
def test_rows_are_counted_from_one_and_never_lost(mask: np.ndarray) -> None:
    text = Place("t", np.arange(1, len(mask) + 1)).where(mask).text()
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


# --- who takes part ------------------------------------------------------------------------

YES = Consent(column="joint", value="yes")
CUSTOMERS = """id,recency,money,joint
a,1,10,yes
b,2,20,no
c,3,30,
d,4,40, yes
e,5,50,Yes
a,1.0,10,yes
f,6,60,yes
"""


def recencies(cohort: Cohort) -> list[float]:
    found = FEATURES[0].unscale(cohort.records[:, 0])
    return sorted(np.round(found, 9).tolist())


def test_only_rows_with_exactly_the_agreed_consent_take_part(tmp_path: Path) -> None:
    cohort = load(tmp_path, CUSTOMERS, consent=YES)
    assert recencies(cohort) == [1, 4, 6]
    assert (cohort.n_read, cohort.n_duplicates, cohort.n_without_consent) == (7, 1, 3)
    assert cohort.n_opted_out == 0
    assert "7 records read: 1 repeated, 3 without consent and 0 opted out" in cohort.account


def test_without_an_agreed_consent_nobody_is_asked_and_the_column_is_not_read(
    tmp_path: Path,
) -> None:
    cohort = load(tmp_path, CUSTOMERS.replace(",joint", ",other"))
    assert cohort.n_records == 6
    assert cohort.n_without_consent == 0


def test_the_consent_column_may_have_another_name_and_must_be_there(tmp_path: Path) -> None:
    own = CUSTOMERS.replace(",joint", ",agrees")
    assert load(tmp_path, own, consent=YES, columns={"joint": "agrees"}).n_records == 3
    with pytest.raises(errors.MissingColumnError, match="'joint'"):
        load(tmp_path, own, consent=YES)
    with pytest.raises(errors.ConfigError, match="used twice"):
        load(tmp_path, own, consent=YES, columns={"joint": "money"})


# What stands in the cell, what was agreed, and whether that is consent.
CONSENTS = [
    (["1"], "1", True),
    ([" 1 "], "1", True),
    (["1.0"], "1", False),
    (["1"], "true", False),
    (["true"], "true", True),
    (["True"], "true", False),
    ([""], "1", False),
    ([None], "1", False),
    ([1], "1", True),
    ([1], "1.0", True),
    ([1.0], "1", True),
    ([1.5], "1", False),
    ([float("nan")], "nan", False),
    ([1], "yes", False),
    ([1], "true", False),
    ([True], "true", True),
    ([True], "TRUE", True),
    ([True], "1", False),
    ([True], "yes", False),
    ([False], "false", True),
    ([False], "true", False),
]


@pytest.mark.parametrize(("cells", "agreed", "expected"), CONSENTS)
def test_consent_in_every_kind_of_cell(
    tmp_path: Path, cells: list[object], agreed: str, expected: bool
) -> None:
    path = tmp_path / "customers.parquet"
    column = pa.array([*cells, None], pa.array(cells).type)
    table = {"id": [1, 2], "recency": [1, 2], "money": [1, 2], "joint": column}
    pq.write_table(pa.table(table), path)
    consent = Consent(column="joint", value=agreed)
    if expected:
        assert load_file(path, consent=consent).n_records == 1
    else:
        with pytest.raises(errors.EmptyTableError, match="2 without consent"):
            load_file(path, consent=consent)


def test_consent_of_a_category_counts_and_that_of_a_date_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "customers.parquet"
    table = {"id": ["a", "b"], "recency": [1, 2], "money": [1, 2]}
    joint = pa.array(["yes", "no"]).dictionary_encode()
    pq.write_table(pa.table({**table, "joint": joint}), path)
    assert load_file(path, consent=YES).n_records == 1
    pq.write_table(pa.table({**table, "joint": [datetime.date(2020, 1, 1)] * 2}), path)
    with pytest.raises(errors.UnreadableTableError, match="says no consent"):
        load_file(path, consent=YES)


def test_who_takes_no_part_stops_nothing_and_who_does_still_can(tmp_path: Path) -> None:
    opt_out = write(tmp_path, "c\n", "opt_out.csv")
    head = "id,recency,money,joint\na,1,1,yes\n"
    cohort = load(tmp_path, head + "b,,x,no\n,nan,,\nc,,-5,yes\n", consent=YES, opt_out=opt_out)
    assert cohort.n_records == 1
    with pytest.raises(errors.MissingValueError, match=r"'recency' .* in record 3 "):
        load(tmp_path, head + "b,,x,no\nd,,1,yes\n", consent=YES, opt_out=opt_out)
    with pytest.raises(errors.MissingValueError, match="no identifier in record 3 "):
        load(tmp_path, head + "b,,x,no\n,1,1,yes\n", consent=YES, opt_out=opt_out)
    with pytest.raises(errors.TransformDomainError, match="record 3 "):
        load(tmp_path, head + "b,,x,no\nd,1,-5,yes\n", consent=YES, opt_out=opt_out)


@pytest.mark.parametrize("heading", ["", "id\n", "\ufeffid\r\n\r\n"])
def test_customers_on_the_opt_out_list_are_left_out_and_counted(
    tmp_path: Path, heading: str
) -> None:
    opt_out = write(tmp_path, heading + ' a \n"f"\n\nzoe\nb', "opt_out.csv")
    cohort = load(tmp_path, CUSTOMERS, opt_out=opt_out)
    assert recencies(cohort) == [3, 4, 5]
    assert cohort.n_opted_out == 3
    (warning,) = cohort.warnings
    assert "1 of 4 identifiers on the opt-out list are not in " in warning
    assert "zoe" not in warning


def test_an_opt_out_list_of_numbers_meets_identifiers_of_any_numeric_type(tmp_path: Path) -> None:
    opt_out = write(tmp_path, "7\n", "opt_out.txt")
    decimals = pa.array([7, 8], pa.int64()).cast(pa.decimal128(25, 2))
    for ids in (pa.array([7, 8]), pa.array([7.0, 8.0]), decimals, pa.array(["7", "8"])):
        path = tmp_path / "customers.parquet"
        pq.write_table(pa.table({"id": ids, "recency": [1, 2], "money": [1, 2]}), path)
        assert load_file(path, opt_out=opt_out).n_opted_out == 1


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"a\nb,c\n", "more than an identifier in line 2"),
        (b'a\n"b\nc"\nd\n', "more than an identifier in line 3"),
        (b'a\n"b\nc\nd\n', "is not a UTF-8 text"),
        (b"a\n\xff\n", "is not a UTF-8 text"),
        (None, "cannot be read: No such file"),
    ],
    ids=["two columns", "two lines", "open quote", "latin-1", "absent"],
)
def test_an_opt_out_list_that_could_miss_somebody_is_refused(
    tmp_path: Path, content: bytes | None, sentence: str
) -> None:
    path = tmp_path / "opt_out.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(errors.UnreadableTableError, match=sentence):
        load(tmp_path, CUSTOMERS, opt_out=path)


def test_an_opt_out_list_needs_identifiers(tmp_path: Path) -> None:
    with pytest.raises(errors.ConfigError, match="no identifier column"):
        load_file(write(tmp_path, CUSTOMERS), None, opt_out=tmp_path / "list.csv")
    assert load_opt_out(None, None) == frozenset()


def test_exact_repetitions_count_once_and_differing_ones_are_refused(tmp_path: Path) -> None:
    head = "id,recency,money,joint\n"
    cohort = load(tmp_path, head + "a,1,1,yes\na ,+1, 1.0,yes\nb,2,2,yes\n a,1e0,1,yes\n")
    assert (cohort.n_records, cohort.n_duplicates) == (2, 2)
    assert cohort.warnings == ()
    for other in ("a,1,1,no", "a,1,2,yes", "a,,1,yes"):
        with pytest.raises(errors.DuplicateIdError, match="in records 2, 3 "):
            load(tmp_path, head + f"b,2,2,yes\na,1,1,yes\n{other}\n", consent=YES)
    # What is not read cannot differ.
    assert load(tmp_path, head + "a,1,1,yes\na,1,1,no\n").n_duplicates == 1


def test_nobody_left_says_why(tmp_path: Path) -> None:
    opt_out = write(tmp_path, "a\n", "opt_out.csv")
    with pytest.raises(errors.EmptyTableError) as caught:
        load(
            tmp_path,
            "id,recency,money,joint\na,1,1,yes\na,1,1,yes\nb,2,2,no\n",
            consent=YES,
            opt_out=opt_out,
        )
    assert (
        "of 3 records none is left: 1 repeated, 1 without consent, 1 opted out"
        in caught.value.message
    )
    assert "'yes' in column 'joint'" in caught.value.hint


def test_records_outside_the_agreed_radius_are_shortened_and_counted(tmp_path: Path) -> None:
    text = "id,recency,money\na,100,1000\nb,50,30.63858403911275\nc,0,0\n"
    cohort = load(tmp_path, text, radius=0.5)
    assert cohort.n_shortened == 2
    assert cohort.n_clipped == (0, 0)
    lengths = np.linalg.norm(cohort.records, axis=1)
    np.testing.assert_allclose(lengths, [0.5, 0, 0.5], atol=1e-12)
    np.testing.assert_allclose(cohort.records[0], [0.5 / np.sqrt(2)] * 2)
    assert "2 of 3 records lie farther out than the agreed radius 0.5" in cohort.warnings[-1]
    assert load(tmp_path, text, radius=np.sqrt(2)).n_shortened == 0


def test_the_spread_is_that_of_the_kept_records_before_clipping(tmp_path: Path) -> None:
    text = "id,recency,money,joint\na,10,1,yes\nb,150,3,yes\nc,-999,2,no\n"
    recency = load(tmp_path, text, consent=YES).ranges[0]
    assert (recency.lowest, recency.mean, recency.highest) == (10, 80, 150)


@given(
    hnp.arrays(np.float64, st.tuples(st.integers(1, 20), st.just(2)), elements=st.floats(-3, 3)),
    st.floats(0.01, 1.5),
)
def test_scaled_records_lie_in_cube_and_ball_and_scaling_twice_changes_nothing(
    values: np.ndarray, radius: float
) -> None:
    plain = tuple(FeatureSpec(name=name, lower=-1, upper=1) for name in "ab")
    scaled = scale_records(values, plain, radius)
    assert np.abs(scaled.records).max() <= 1
    assert np.linalg.norm(scaled.records, axis=1).max() <= radius * (1 + 1e-12)
    again = scale_records(scaled.records, plain, radius)
    np.testing.assert_allclose(again.records, scaled.records, atol=1e-12)
    inside = (np.abs(values) <= 1).all(axis=1) & (np.linalg.norm(values, axis=1) <= radius)
    np.testing.assert_allclose(scaled.records[inside], values[inside], atol=1e-12)


# --- properties ----------------------------------------------------------------------------

ROWS = st.lists(
    st.tuples(
        st.integers(0, 12),
        st.sampled_from(["yes", "no", ""]),
    ),
    min_size=1,
    max_size=25,
    # One customer stands there several times with the same values only.
    unique_by=lambda row: row[0],
)


def table_text(rows: list[tuple[int, str]]) -> str:
    lines = [f"{name},{name * 3},{name * 7},{joint}" for name, joint in rows]
    return "\n".join(["id,recency,money,joint", *lines, ""])


def outcome(
    folder: Path, rows: list[tuple[int, str]], **options: Any
) -> tuple[list[float], int, int, int, int]:
    try:
        cohort = load(folder, table_text(rows), **options)
    except errors.EmptyTableError:
        return [], len(rows), 0, 0, 0
    return (
        recencies(cohort),
        cohort.n_read,
        cohort.n_duplicates,
        cohort.n_without_consent,
        cohort.n_opted_out,
    )


@given(ROWS, st.data())
def test_the_order_and_repetition_of_rows_change_nothing(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, str]], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("order")
    repeated = data.draw(st.lists(st.sampled_from(rows), max_size=5))
    shuffled = data.draw(st.permutations(rows + repeated))
    kept, n_read, _, n_without, _ = outcome(folder, rows, consent=YES)
    again, n_again, n_duplicates, n_without_again, _ = outcome(folder, shuffled, consent=YES)
    assert again == kept
    if kept:
        assert n_again - n_duplicates == n_read
        assert n_without_again == n_without


@given(ROWS, st.sets(st.integers(0, 12)))
def test_consent_and_opt_out_commute(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, str]], out: set[int]
) -> None:
    folder = tmp_path_factory.mktemp("commute")
    opt_out = write(folder, "".join(f"{name}\n" for name in out), "opt_out.csv")
    together = outcome(folder, rows, consent=YES, opt_out=opt_out)[0]
    consenting = [row for row in rows if row[1] == "yes"]
    staying = [row for row in rows if row[0] not in out]
    one = outcome(folder, consenting, opt_out=opt_out)[0] if consenting else []
    other = outcome(folder, staying, consent=YES)[0] if staying else []
    assert together == one == other
