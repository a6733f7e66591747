"""One table or several, and bounds and transforms in every form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse

from mpcseg.api.tables import agreed_features, tables_by_party
from mpcseg.errors import ConfigError, ConstantFeatureError

NAMES = ("age", "spend")
TABLES = [np.array([[20.0, 1.0], [60.0, 5.0]]), np.array([[18.0, 3.0]])]


def shape(bounds: Any = None, transforms: Any = None) -> list[tuple[str, float, float, str]]:
    found = agreed_features(NAMES, TABLES, bounds, transforms)
    return [(one.name, one.lower, one.upper, one.transform) for one in found]


def test_a_list_of_tables_is_one_for_each_party() -> None:
    found = tables_by_party([np.ones((2, 2)), [[1, 2], [3, 4]]])
    assert found is not None
    assert list(found) == ["party-1", "party-2"]


def test_nested_numbers_are_one_table_as_in_scikit_learn() -> None:
    assert tables_by_party([[1, 2], [3, 4]]) is None
    assert tables_by_party(np.ones((2, 2, 2))) is None


def test_a_sparse_table_is_one_table_also_where_it_is_a_dictionary() -> None:
    assert tables_by_party(scipy.sparse.dok_array(np.eye(2))) is None


def test_tables_by_name_keep_their_names() -> None:
    assert list(tables_by_party({"bookshop": TABLES[0], "grocer": TABLES[1]}) or {}) == [
        "bookshop",
        "grocer",
    ]


def test_without_bounds_each_column_has_its_range_over_all_parties() -> None:
    assert shape() == [("age", 18, 60, "identity"), ("spend", 1, 5, "identity")]


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ((0, 100), [(0, 100), (0, 100)]),
        ([0, 100], [(0, 100), (0, 100)]),
        ([(0, 90), (0, 9)], [(0, 90), (0, 9)]),
        (((0, 90), None), [(0, 90), (1, 5)]),
        ({"spend": (0, 9)}, [(18, 60), (0, 9)]),
    ],
)
def test_bounds_are_for_all_columns_for_each_or_by_name(bounds: Any, expected: Any) -> None:
    assert [(lower, upper) for _, lower, upper, _ in shape(bounds)] == expected


@pytest.mark.parametrize(
    ("transforms", "expected"),
    [
        ("log1p", ["log1p", "log1p"]),
        (["identity", "log1p"], ["identity", "log1p"]),
        ({"spend": "log1p"}, ["identity", "log1p"]),
    ],
)
def test_transforms_are_for_all_columns_for_each_or_by_name(
    transforms: Any, expected: list[str]
) -> None:
    assert [transform for *_, transform in shape(None, transforms)] == expected


@pytest.mark.parametrize(
    ("bounds", "transforms", "reason"),
    [
        ({"height": (0, 1)}, None, "'height', which is not a column"),
        ([(0, 1)], None, "1 entries for 2 columns"),
        (None, ["log1p"] * 3, "3 entries for 2 columns"),
        ((1, 2, 3), None, "pair of numbers"),
        ({"age": 5}, None, "pair of numbers"),
    ],
)
def test_bounds_and_transforms_that_do_not_fit_are_refused(
    bounds: Any, transforms: Any, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        shape(bounds, transforms)


def test_impossible_bounds_and_transforms_name_the_column() -> None:
    with pytest.raises(ConfigError, match=r"'age'.*not below"):
        shape({"age": (5, 5)})
    with pytest.raises(ConfigError, match=r"'spend'.*transform"):
        shape(None, {"spend": "square"})


def test_a_column_with_one_value_needs_bounds() -> None:
    tables = [np.array([[1.0, 2.0], [1.0, 3.0]])]
    with pytest.raises(ConstantFeatureError, match="'age'"):
        agreed_features(NAMES, tables, None, None)
    assert agreed_features(NAMES, tables, (0, 9), None)[0].upper == 9
