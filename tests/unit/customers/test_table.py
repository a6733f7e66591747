"""One table, many sources: CSV, Parquet and a database give the same cohort."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpcseg.customers import table as table_module
from mpcseg.customers.cohort import Cohort, load_cohort
from mpcseg.customers.source import TableSource
from mpcseg.customers.table import open_chunks, place_of, read_cells
from mpcseg.errors import ConfigError, EmptyTableError, MpcsegError
from mpcseg.study.spec import Consent, FeatureSpec

FEATURES = (
    FeatureSpec(name="recency", lower=0, upper=100),
    FeatureSpec(name="money", transform="log1p", lower=0, upper=1000),
)
CONSENT = Consent(column="joint", value="1")

Row = tuple[int, float | None, float, int | None]

ROWS = st.lists(
    st.tuples(
        st.integers(0, 6),
        st.one_of(st.none(), st.floats(-10, 120), st.integers(0, 100)),
        st.floats(0, 2000),
        st.sampled_from([1, 0, None]),
    ),
    min_size=1,
    max_size=12,
)


def sources(folder: Path, rows: list[Row]) -> dict[str, TableSource]:
    """Write the same rows as CSV, Parquet and SQLite, with a column that nobody agreed on."""
    names = ("id", "recency", "money", "joint")
    lines = [",".join("" if cell is None else repr(cell) for cell in row) for row in rows]
    csv = folder / "customers.csv"
    csv.write_text("\n".join([",".join(names) + ",secret", *[line + ",x" for line in lines], ""]))
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    types = {"recency": pa.float64(), "id": pa.int64(), "joint": pa.int8(), "money": pa.float64()}
    parquet = folder / "customers.parquet"
    pq.write_table(
        pa.table({name: pa.array(cells, types[name]) for name, cells in columns.items()}), parquet
    )
    file = folder / "customers.db"
    file.unlink(missing_ok=True)
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE customers (id, recency, money, joint, secret)")
        database.executemany("INSERT INTO customers VALUES (?, ?, ?, ?, 'x')", rows)
    database.close()
    return {
        "csv": TableSource(csv, "id"),
        "parquet": TableSource(parquet, "id"),
        "database": TableSource(f"sqlite:///{file}", "id", "customers"),
    }


def outcome(source: TableSource, opt_out: Path) -> Cohort | type[MpcsegError]:
    try:
        return load_cohort(source, FEATURES, consent=CONSENT, opt_out=opt_out, radius=1.2)
    except MpcsegError as error:
        return type(error)


@given(ROWS, st.sets(st.integers(0, 6), max_size=3))
def test_every_source_gives_the_same_cohort_or_the_same_error(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row], out: set[int]
) -> None:
    folder = tmp_path_factory.mktemp("sources")
    opt_out = folder / "opt_out.csv"
    opt_out.write_text("".join(f"{name}\n" for name in out))
    csv, *others = [outcome(source, opt_out) for source in sources(folder, rows).values()]
    for other in others:
        if isinstance(csv, Cohort) and isinstance(other, Cohort):
            np.testing.assert_array_equal(csv.records, other.records)
            assert csv.ranges == other.ranges
            assert csv.account == other.account
            assert (csv.n_clipped, csv.n_shortened) == (other.n_clipped, other.n_shortened)
        else:
            assert csv == other


def test_only_the_columns_that_are_asked_for_are_read(tmp_path: Path) -> None:
    for source in sources(tmp_path, [(1, 2.0, 3.0, 1)]).values():
        assert read_cells(source, ["money", "id"]).column_names == ["money", "id"]


@pytest.mark.parametrize("kind", ["csv", "parquet", "database"])
def test_pieces_join_to_the_whole_and_are_counted_through(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_module, "_BLOCK_BYTES", 128)
    monkeypatch.setattr(table_module, "_BATCH_ROWS", 7)
    monkeypatch.setattr("mpcseg.customers.database._ROWS", 7)
    rows: list[Row] = [(number, float(number % 90), 1.5, 1) for number in range(50)]
    source = sources(tmp_path, rows)[kind]
    pieces = [piece for piece in open_chunks(source, ["id", "recency"]) if piece.num_rows]
    assert len(pieces) > 5
    assert max(piece.num_rows for piece in pieces) < 15
    whole = read_cells(source, ["id", "recency"])
    assert [str(name) for name in whole.column("id").to_pylist()] == [str(n) for n in range(50)]
    assert place_of(source, 7, 3).text().startswith("records 8, 9, 10 (")


@pytest.mark.parametrize("kind", ["csv", "parquet", "database"])
def test_a_table_without_rows_is_refused(tmp_path: Path, kind: str) -> None:
    source = sources(tmp_path, [(1, 1.0, 1.0, 1)])[kind]
    if kind == "csv":
        Path(source.data).write_text("id,recency,money,joint\n")
    elif kind == "parquet":
        path = Path(source.data)
        pq.write_table(pq.read_table(path).slice(0, 0), path)
    else:
        with sqlite3.connect(tmp_path / "customers.db") as database:
            database.execute("DELETE FROM customers")
        database.close()
    with pytest.raises(EmptyTableError, match="has no records"):
        load_cohort(source, FEATURES, consent=CONSENT, radius=None)


@pytest.mark.parametrize("kind", [pa.string_view(), pa.large_string()])
def test_every_kind_of_parquet_text_is_text(tmp_path: Path, kind: pa.DataType) -> None:
    names = ("id", "recency", "money", "joint")
    path = tmp_path / "customers.parquet"
    pq.write_table(pa.table({name: pa.array(["1", "2"], kind) for name in names}), path)
    cohort = load_cohort(TableSource(path, "id"), FEATURES, consent=CONSENT, radius=None)
    assert (cohort.n_records, cohort.n_without_consent) == (1, 1)


@pytest.mark.parametrize(
    ("data", "is_database", "name"),
    [
        ("customers.csv", False, "customers.csv"),
        (Path("/srv/customers.parquet"), False, "/srv/customers.parquet"),
        ("customers", False, "customers"),
        ("env", True, "table 't' of the database"),
        ("env.csv", False, "env.csv"),
        ("sqlite:///customers.csv", True, "table 't' of the sqlite database"),
        (
            "postgresql+psycopg://anna:pa/ss@word@db.example.org/shop?password=hush",
            True,
            "table 't' of the postgresql database",
        ),
    ],
)
def test_the_content_of_data_decides_what_it_is_and_no_name_holds_a_password(
    data: str | Path, is_database: bool, name: str
) -> None:
    source = TableSource(data, "id", "t" if is_database else None)
    assert source.is_database is is_database
    assert source.name == name
    for secret in ("anna", "word", "ss", "hush"):
        assert secret not in repr(source).replace("TableSource", "")


def test_a_database_needs_a_table_and_a_file_has_none() -> None:
    with pytest.raises(ConfigError, match="no table is named"):
        TableSource("sqlite:///customers.db", "id")
    with pytest.raises(ConfigError, match="data is a file"):
        TableSource("customers.csv", "id", "customers")
