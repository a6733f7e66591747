"""Who holds which records in a demonstration."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mpcseg import errors
from mpcseg.customers.table import Table
from mpcseg.demo.customers import FEATURES, generated_companies
from mpcseg.demo.tables import deal, generated_tables, tables_from_file, verify_enough


def table(n: int) -> Table:
    return Table(np.arange(2.0 * n).reshape(n, 2), [f"customer {i}" for i in range(n)])


def test_dealing_loses_and_repeats_nobody() -> None:
    parties = deal(table(500), 3)
    assert list(parties) == ["party-1", "party-2", "party-3"]
    rows = np.concatenate([customers.values for customers in parties.values()])
    np.testing.assert_array_equal(np.sort(rows[:, 0]), np.arange(500) * 2)
    for customers in parties.values():
        assert 100 < len(customers.identifiers) < 250
        numbers = [int(name.split()[1]) for name in customers.identifiers]
        np.testing.assert_array_equal(customers.values[:, 0], np.array(numbers) * 2)


def test_dealing_depends_on_the_identifier_alone() -> None:
    whole = table(60)
    assert whole.identifiers is not None
    part = Table(whole.values[::3], whole.identifiers[::3])
    for name, customers in deal(part, 2).items():
        assert set(customers.identifiers) <= set(deal(whole, 2)[name].identifiers)


def test_a_party_without_records_is_refused() -> None:
    with pytest.raises(errors.EmptyTableError, match="without any"):
        deal(table(3), 50)


def test_generated_companies_have_tails_overlap_and_one_that_is_unlike_the_others() -> None:
    companies = generated_companies(0)
    assert len(companies) == 3
    assert sum(len(customers.identifiers) for customers in companies.values()) == 7800
    names = [feature.name for feature in FEATURES]
    frequency, monetary = names.index("frequency"), names.index("monetary")
    pooled = np.concatenate([customers.values for customers in companies.values()])
    assert np.isfinite(pooled).all()
    assert (pooled >= 0).all()
    assert pooled[:, monetary].max() > 20 * np.median(pooled[:, monetary])
    medians = {name: np.median(c.values[:, frequency]) for name, c in companies.items()}
    assert medians["grocer"] > 2 * max(medians["bookshop"], medians["outdoor"])


def test_generated_companies_depend_on_the_seed_alone() -> None:
    first, again, other = (generated_companies(seed) for seed in (4, 4, 5))
    for name in first:
        np.testing.assert_array_equal(first[name].values, again[name].values)
        assert not np.array_equal(first[name].values, other[name].values)


def test_generated_customers_can_be_dealt_to_any_number_of_parties() -> None:
    tables = generated_tables(5, 0)
    assert len(tables.parties) == 5
    assert tables.n_records == 7800
    records = tables.pooled_records()
    assert records.shape == (7800, 5)
    assert np.abs(records).max() <= 1


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "customers.csv"
    rows = [f"c{i},{i % 7},{i * i},5,{'x' if i == 3 else i}" for i in range(40)]
    path.write_text("\n".join(["id,visits,money,same,text", *rows]))
    return path


def test_a_real_table_gets_its_own_range_as_bounds(file: Path) -> None:
    tables = tables_from_file(file, "id", ["visits", "money"], ["money"], 2)
    bounds = [(f.name, f.transform, f.lower, f.upper) for f in tables.features]
    assert bounds == [("visits", "identity", 0.0, 6.0), ("money", "log1p", 0.0, 1521.0)]
    records = tables.pooled_records()
    np.testing.assert_allclose([records.min(axis=0), records.max(axis=0)], [[-1, -1], [1, 1]])


@pytest.mark.parametrize(
    ("id_column", "features", "log1p", "error", "expected"),
    [
        ("id", ["visits"], ["money"], errors.ConfigError, "--log1p names 'money'"),
        ("id", ["visits", "visits"], [], errors.ConfigError, "'visits' is named twice"),
        ("visits", ["visits"], [], errors.ConfigError, "'visits' is named twice"),
        ("id", ["same"], [], errors.ConstantFeatureError, "'same'"),
        ("id", ["text"], [], errors.NotANumberError, "record 4 "),
        ("id", ["absent"], [], errors.MissingColumnError, "'absent'"),
        ("money", ["visits"], [], None, ""),
    ],
)
def test_options_and_tables_that_make_no_study_are_refused(
    file: Path, id_column: str, features: list[str], log1p: list[str],
    error: type[errors.MpcsegError] | None, expected: str,
) -> None:  # fmt: skip
    if error is None:
        tables_from_file(file, id_column, features, log1p, 2)
        return
    with pytest.raises(error, match=expected):
        tables_from_file(file, id_column, features, log1p, 2)


def test_log1p_of_a_column_that_goes_below_minus_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "customers.csv"
    path.write_text("id,balance\na,-5\nb,3\nc,4\n")
    with pytest.raises(errors.ConfigError, match=r"balance.*log1p"):
        tables_from_file(path, "id", ["balance"], ["balance"], 1)


def test_fewer_records_than_clusters_are_refused(file: Path) -> None:
    tables = tables_from_file(file, "id", ["visits"], [], 2)
    verify_enough(tables.n_records, 40)
    with pytest.raises(errors.TooFewRecordsError, match="40 records"):
        verify_enough(tables.n_records, 41)


def test_one_record_is_too_few_rather_than_constant(tmp_path: Path) -> None:
    path = tmp_path / "customers.csv"
    path.write_text("id,visits\na,5\n")
    with pytest.raises(errors.TooFewRecordsError, match="1 record is fewer than 3 clusters"):
        tables_from_file(path, "id", ["visits"], [], 1, n_clusters=3)
