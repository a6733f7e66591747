"""Customer tables in a database: read only, quoted names, and no secret in any message."""

from __future__ import annotations

import builtins
import datetime
import sqlite3
import uuid
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import sqlalchemy as sa

from mpcseg import errors
from mpcseg.customers import database
from mpcseg.customers.cells import finite_numbers, texts
from mpcseg.customers.cohort import load_cohort
from mpcseg.customers.database import of_one_type
from mpcseg.customers.source import TableSource, database_kind
from mpcseg.customers.table import place_of, read_cells
from mpcseg.study.spec import FeatureSpec

FEATURES = (FeatureSpec(name="recency", lower=0, upper=100),)


def make(path: Path, statement: str, rows: Iterable[Sequence[object]] = ()) -> str:
    """A SQLite database; returns its URL."""
    with sqlite3.connect(path) as connection:
        connection.executescript(statement)
        for row in rows:
            marks = ",".join("?" * len(row))
            connection.execute(f"INSERT INTO customers VALUES ({marks})", row)  # noqa: S608
    connection.close()
    return f"sqlite:///{path}"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return make(
        tmp_path / "shop.db",
        "CREATE TABLE customers (id INTEGER, recency REAL, note TEXT);"
        "CREATE VIEW recent AS SELECT id, recency FROM customers WHERE recency < 50;",
        [(1, 10.0, "734.25"), (2, 60.5, "x")],
    )


def test_a_table_and_a_view_are_read(url: str) -> None:
    cells = read_cells(TableSource(url, "id", "customers"), ["id", "recency"])
    assert cells.to_pydict() == {"id": [1, 2], "recency": [10.0, 60.5]}
    assert read_cells(TableSource(url, "id", "recent"), ["id"]).to_pydict() == {"id": [1]}


def test_a_schema_may_be_named(url: str) -> None:
    assert read_cells(TableSource(url, "id", "main.customers"), ["id"]).num_rows == 2


def test_the_url_may_stand_in_the_environment(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = TableSource("env", "id", "customers")
    monkeypatch.setenv("MPCSEG_DATABASE_URL", url)
    assert read_cells(source, ["id"]).num_rows == 2
    monkeypatch.setenv("MPCSEG_DATABASE_URL", "hush-hush")
    with pytest.raises(errors.ConfigError, match="holds no database URL") as caught:
        read_cells(source, ["id"])
    assert "hush" not in caught.value.message + caught.value.hint
    monkeypatch.delenv("MPCSEG_DATABASE_URL")
    with pytest.raises(errors.ConfigError, match="MPCSEG_DATABASE_URL is not set"):
        read_cells(source, ["id"])


NASTY = ['a"; DROP TABLE customers; --', "select", "Größe in €", "100%", "a.b", ":bound", "x'y"]


def test_names_are_quoted_whatever_they_hold(tmp_path: Path) -> None:
    table = 'my"table; --'
    columns = ", ".join('"' + name.replace('"', '""') + '"' for name in NASTY)
    path = tmp_path / "shop.db"
    url = make(
        path,
        "CREATE TABLE customers (id);"
        f'CREATE TABLE "{table.replace(chr(34), chr(34) * 2)}" ({columns});',
    )
    with sqlite3.connect(path) as connection:
        marks = ",".join("?" * len(NASTY))
        connection.execute(f'INSERT INTO "my""table; --" VALUES ({marks})', range(len(NASTY)))  # noqa: S608
    connection.close()
    cells = read_cells(TableSource(url, None, table), NASTY)
    assert cells.to_pydict() == {name: [index] for index, name in enumerate(NASTY)}
    assert read_tables(path) == {"customers", table}


def read_tables(path: Path) -> set[str]:
    with sqlite3.connect(path) as connection:
        found = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    connection.close()
    return found


def test_one_select_of_the_agreed_columns_reads_cells(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements: list[str] = []
    engine = database._engine

    def watched(text: str) -> sa.Engine:
        made = engine(text)
        sa.event.listen(
            made, "before_cursor_execute", lambda *facts: statements.append(str(facts[2]))
        )
        return made

    monkeypatch.setattr(database, "_engine", watched)
    read_cells(TableSource(url, "id", "customers"), ["id", "recency"])
    reading = [text for text in statements if "PRAGMA" not in text and "sqlite_" not in text]
    assert [" ".join(text.split()) for text in reading] == [
        "SELECT customers.id, customers.recency FROM customers"
    ]


def test_nothing_can_be_written_and_no_database_is_made(tmp_path: Path, url: str) -> None:
    with (
        database._engine(url).connect() as connection,
        pytest.raises(sa.exc.OperationalError, match="readonly"),
    ):
        connection.execute(sa.text("DELETE FROM customers"))
    absent = tmp_path / "absent.db"
    with pytest.raises(errors.DatabaseError, match=r"cannot be reached \(SQLITE_CANTOPEN\)"):
        read_cells(TableSource(f"sqlite:///{absent}", "id", "customers"), ["id"])
    assert not absent.exists()


def test_postgresql_is_asked_for_a_read_only_transaction() -> None:
    dialect = sa.make_url("postgresql+psycopg://db/shop").get_dialect()
    assert "postgresql_readonly" in dialect.connection_characteristics


def test_a_relative_path_with_odd_characters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "a b#1%.db", "CREATE TABLE customers (id);", [(1,)])
    monkeypatch.chdir(tmp_path)
    assert read_cells(TableSource("sqlite:///a b#1%.db", "id", "customers"), ["id"]).num_rows == 1


@pytest.mark.parametrize(
    ("url", "sentence", "hint"),
    [
        ("oracular://anna:hush@db/shop", "NoSuchModuleError", "knows no such kind"),
        ("postgresql+hushdriver://anna:hush@db/shop", "NoSuchModuleError", "knows no such kind"),
        ("mysql://anna:hush@db/shop", "the driver MySQLdb is not installed", "driver"),
        ("sqlite://anna:hush@db:port/shop", "cannot be reached", ""),
        ("sqlite:///absent/hush.db", "cannot be reached", ""),
    ],
)
def test_what_cannot_be_reached_is_said_without_the_url(url: str, sentence: str, hint: str) -> None:
    with pytest.raises(errors.DatabaseError) as caught:
        read_cells(TableSource(url, "id", "customers"), ["id"])
    assert sentence in caught.value.message
    assert hint in caught.value.hint
    assert "hush" not in (caught.value.message + caught.value.hint).replace("hushdriver", "")
    assert caught.value.__suppress_context__


def test_a_driver_that_quotes_the_password_is_not_quoted(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> Any:
        raise RuntimeError("FATAL: no connection with postgresql://anna:hush@db/shop")

    monkeypatch.setattr(sa.Engine, "connect", fail)
    with pytest.raises(errors.DatabaseError) as caught:
        read_cells(TableSource(url, "id", "customers"), ["id"])
    assert caught.value.message.endswith("cannot be reached (RuntimeError)")
    assert caught.value.__suppress_context__


def test_a_cell_that_a_driver_cannot_read_is_not_quoted(tmp_path: Path) -> None:
    url = make(
        tmp_path / "shop.db",
        "CREATE TABLE customers (id, recency);"
        "INSERT INTO customers VALUES (1, CAST(X'ff3733342e3235' AS TEXT));",
    )
    with pytest.raises(errors.DatabaseError, match="cannot be read") as caught:
        read_cells(TableSource(url, "id", "customers"), ["id", "recency"])
    assert "734" not in caught.value.message + caught.value.hint


def test_a_missing_table_and_a_missing_column_are_told_apart(url: str) -> None:
    with pytest.raises(errors.DatabaseError, match="there is no such table or view"):
        read_cells(TableSource(url, "id", "clients"), ["id"])
    with pytest.raises(errors.MissingColumnError) as caught:
        read_cells(TableSource(url, "id", "customers"), ["id", "Recency"])
    assert "table 'customers' of the sqlite database has no column 'Recency'" in str(caught.value)
    assert "'recency'" in caught.value.hint


def test_a_bad_cell_is_placed_without_speaking_of_a_heading(tmp_path: Path) -> None:
    url = make(
        tmp_path / "shop.db",
        "CREATE TABLE customers (id, recency);",
        [(1, 1), (2, "secret734.25"), (3, None)],
    )
    source = TableSource(url, "id", "customers")
    with pytest.raises(errors.NotANumberError) as caught:
        load_cohort(source, FEATURES, consent=None, radius=None)
    assert "in record 2 (in the order in which the database gives them)" in caught.value.message
    assert "734" not in caught.value.message + caught.value.hint


def test_without_sqlalchemy_the_extra_is_named(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **options: Any) -> Any:
        if name.partition(".")[0] == "sqlalchemy":
            raise ModuleNotFoundError(name=name)
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(errors.DatabaseError, match="SQLAlchemy is not installed") as caught:
        read_cells(TableSource(url, "id", "customers"), ["id"])
    assert "pip install 'mpcseg[sql]'" in caught.value.hint


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, None], pa.int64()),
        ([1.5, None], pa.float64()),
        ([1, 1.5], pa.float64()),
        ([2**70, 1], pa.string()),
        ([2**60 + 1, 0.5], pa.string()),
        ([Decimal("1.00"), None, Decimal("12.0")], pa.int64()),
        ([Decimal("1.25"), 3], pa.float64()),
        ([Decimal("NaN"), 3], pa.float64()),
        (["a", None], pa.string()),
        (["a", 1, 2.5], pa.string()),
        ([True, None], pa.bool_()),
        ([True, 1], pa.string()),
        ([None, None], pa.null()),
        ([b"x"], pa.binary()),
        ([memoryview(b"x")], pa.string()),
        ([uuid.UUID(int=1)], pa.string()),
        ([datetime.date(2020, 1, 1)], pa.date32()),
        ([object(), None], pa.string()),
    ],
)
def test_what_drivers_give_becomes_cells_of_one_type(values: list[Any], expected: object) -> None:
    cells = database._cells(values)
    assert cells.type == expected
    assert len(cells) == len(values)
    assert [cell is None for cell in values] == [cell is None for cell in cells.to_pylist()]


def test_pieces_of_different_types_join_without_losing_a_value() -> None:
    pieces = [
        pa.table({"id": [1, 2], "v": pa.array([1, 2]), "w": pa.array([None, None])}),
        pa.table({"id": ["x", None], "v": [0.5, None], "w": [1, 2]}),
    ]
    joined = of_one_type(pieces)
    assert texts(joined.column("id").combine_chunks()).tolist() == ["1", "2", "x", ""]
    assert joined.column("v").to_pylist() == [1.0, 2.0, 0.5, None]
    assert joined.column("w").to_pylist() == [None, None, 1, 2]


def test_numbers_that_are_kept_as_text_are_still_numbers(tmp_path: Path) -> None:
    cells = database._cells([1, "2.5", Decimal("0.1"), 1e300])
    place = place_of(TableSource(tmp_path / "t.csv"), 0, 4)
    np.testing.assert_array_equal(finite_numbers(cells, place, "v"), [1, 2.5, 0.1, 1e300])


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("postgresql+psycopg://db/shop", "postgresql"),
        ("sqlite:///a.db", "sqlite"),
        ("a.csv", None),
        ("folder://x y.csv", "folder"),
        ("C:/a.csv", None),
        ("/a://b.csv", None),
        ("", None),
    ],
)
def test_what_is_a_url(text: str, kind: str | None) -> None:
    assert database_kind(text) == kind
