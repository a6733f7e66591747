"""Profile columns of a party's table: read as agreed, or refused in words that show no cell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpcseg import errors
from mpcseg.customers.cohort import Cohort, load_cohort
from mpcseg.customers.source import TableSource
from mpcseg.study.profile_columns import CategoryColumn, NumericColumn, ProfileColumn
from mpcseg.study.spec import Consent, FeatureSpec

FEATURES = (FeatureSpec(name="money", lower=0, upper=10),)
MARK = "moonlight"


def category(**changes: Any) -> CategoryColumn:
    fields = {"name": "band", "kind": "category", "values": ["young", "old"], **changes}
    return CategoryColumn.model_validate(fields)


def numeric(**changes: Any) -> NumericColumn:
    fields = {"name": "visits", "kind": "numeric", "lower": 0, "upper": 4, **changes}
    return NumericColumn.model_validate(fields)


def load(folder: Path, text: str, *columns: ProfileColumn, **options: Any) -> Cohort:
    path = folder / "customers.csv"
    path.write_text(text, encoding="utf-8")
    terms = {"consent": None, "radius": None, **options}
    return load_cohort(TableSource(path, "id"), FEATURES, profile=columns, **terms)


def test_columns_become_vectors_numeric_ones_first(tmp_path: Path) -> None:
    text = "id,band,money,visits\na,young,1,0\nb, old ,2,4\nc,middle,3,2\nd,,4,9\n"
    cohort = load(tmp_path, text, category(unknown="no word"), numeric())
    assert cohort.columns is not None
    labels = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    np.testing.assert_array_equal(cohort.columns[:, 1:], labels)
    np.testing.assert_allclose(cohort.columns[:, 0], [-1, 1, 0, 1])
    assert [warning.split(": ")[1] for warning in cohort.warnings] == [
        "1 of 4 values in column 'band' count as 'other'.",
        "1 of 4 values in column 'band' count as 'no word'.",
        "1 of 4 values in column 'visits' lie outside the agreed bounds 0 to 4 and are clipped.",
    ]


def test_agreed_values_that_nobody_has_are_named_where_others_count_as_other(
    tmp_path: Path,
) -> None:
    """A label in another spelling is lost otherwise; what the cells say is not shown."""
    text = f"id,band,money\na,young,1\nb,{MARK},2\n"
    (warning,) = load(tmp_path, text, category(values=["young", "old", "oldest"])).warnings
    said = "1 of 2 values in column 'band' count as 'other', while no record here has the agreed"
    assert warning.endswith(f"{said} 'old', 'oldest'.")
    assert MARK not in warning


def test_a_party_whose_records_are_all_other_says_so_in_the_agreed_word(tmp_path: Path) -> None:
    cohort = load(tmp_path, "id,band,money\na,other,1\nb,other,2\n", category())
    assert cohort.columns is not None
    np.testing.assert_array_equal(cohort.columns, [[0, 0, 1], [0, 0, 1]])
    cohort = load(tmp_path, "id,band,money\na,,1\n", category(unknown="no word"))
    assert cohort.columns is not None
    np.testing.assert_array_equal(cohort.columns, [[0, 0, 0, 1]])


def test_numbers_and_yes_or_no_are_values_as_people_write_them(tmp_path: Path) -> None:
    text = "id,band,money\na,1,1\nb,2.0,2\nc,2,3\n"
    cohort = load(tmp_path, text, category(values=["1", "2", "2.0"], other=""))
    assert cohort.columns is not None
    np.testing.assert_array_equal(cohort.columns.sum(axis=0), [1, 1, 1])


REFUSED: dict[str, tuple[str, tuple[ProfileColumn, ...], type[errors.DataError], str]] = {
    "an empty category": (
        "id,band,money\na,young,1\nb,,2\n", (category(),), errors.MissingValueError,
        "'band' has an empty cell in record 2",
    ),
    "a value that is not agreed": (
        f"id,band,money\na,young,1\nb,{MARK},2\n", (category(other=""),),
        errors.UnlistedValueError, "'band' has a value that is not agreed, in record 2",
    ),
    "no value as agreed": (
        f"id,band,money\na,{MARK},1\nb,other,2\nc,,2\n", (category(unknown="no word"),),
        errors.UnlistedValueError,
        "'band' has none of the agreed values in any record; agreed are 'young', 'old'",
    ),
    "an empty number": (
        "id,visits,money\na,,1\n", (numeric(),), errors.MissingValueError, "'visits'",
    ),
    "text where a number must stand": (
        f"id,visits,money\na,{MARK},1\n", (numeric(),), errors.NotANumberError,
        "'visits' holds text where a number must stand, in record 1",
    ),
    "no logarithm": (
        "id,visits,money\na,-2,1\n", (numeric(transform="log1p"),), errors.TransformDomainError,
        "'visits' is -1 or less in record 1",
    ),
    "no such column": ("id,money\na,1\n", (numeric(),), errors.MissingColumnError, "'visits'"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_as_agreed_is_refused_and_no_cell_is_shown(tmp_path: Path, name: str) -> None:
    text, columns, error, said = REFUSED[name]
    with pytest.raises(error, match=said) as caught:
        load(tmp_path, text, *columns)
    assert MARK not in f"{caught.value.message} {caught.value.hint}"


def test_who_does_not_take_part_needs_no_value(tmp_path: Path) -> None:
    text = "id,band,money,ok\na,young,1,yes\nb,,2,no\n"
    consent = Consent(column="ok", value="yes")
    cohort = load(tmp_path, text, category(other=""), consent=consent)
    assert cohort.columns is not None
    np.testing.assert_array_equal(cohort.columns, [[1, 0]])


def test_a_party_may_map_its_own_names_and_uses_no_column_twice(tmp_path: Path) -> None:
    text = "id,altersband,money\na,old,1\n"
    cohort = load(tmp_path, text, category(other=""), columns={"band": "altersband"})
    assert cohort.columns is not None
    np.testing.assert_array_equal(cohort.columns, [[0, 1]])
    with pytest.raises(errors.ConfigError, match="'money' of the table is used twice"):
        load(tmp_path, text, category(), columns={"band": "money"})


IMPOSSIBLE: dict[str, tuple[dict[str, Any], str]] = {
    "a value twice": ({"values": ["a", "a"]}, "'a' stands twice"),
    "other among the values": ({"values": ["a", "other"]}, "'other' stands twice"),
    "one value alone": ({"values": ["a"], "other": ""}, "one value alone"),
    "a formula": ({"values": ["=a", "b"]}, "must begin with a letter"),
    "blanks around a value": ({"values": ["a ", "b"]}, "begin or end with a blank"),
    "no values": ({"values": []}, "at least 1"),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_categories_that_make_no_sense_are_refused(name: str) -> None:
    changes, said = IMPOSSIBLE[name]
    with pytest.raises(ValueError, match=said):
        category(**changes)
