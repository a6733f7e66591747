"""Reading the agreed columns of a table or view in a database, through SQLAlchemy.

Runs at the party node. SQLAlchemy is an extra (``pip install 'mpcseg[sql]'``), and so is the driver
of the database. One SELECT of the agreed columns is made, in a transaction that is rolled back and,
where the database knows how (PostgreSQL, SQLite), read only. Messages hold no URL, for it may hold
a password, and nothing that a driver says, for it may quote the URL or a cell.
"""

from __future__ import annotations

import math
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc

from mpcseg.customers.cells import shortest
from mpcseg.customers.columns import verify_columns
from mpcseg.customers.source import database_kind
from mpcseg.errors import ConfigError, DatabaseError, MpcsegError

if TYPE_CHECKING:
    import sqlalchemy as sa

URL_VARIABLE = "MPCSEG_DATABASE_URL"
"""Environment variable with the database's URL, so that it need not stand in a file."""

_HARMLESS = re.compile(r"[A-Za-z0-9_]{1,40}")
_ROWS = 20_000

# Arrow has no such thing, or one that the checks of cells do not know.
_AS_TEXT = {UUID, memoryview}


def url_of_environment() -> str:
    """The URL in the environment variable `URL_VARIABLE`.

    Raises:
        ConfigError: it is not set, or holds no URL.
    """
    url = os.environ.get(URL_VARIABLE, "")
    if database_kind(url) is None:
        what = "holds no database URL" if url else "is not set"
        raise ConfigError(
            f"data is 'env', but the environment variable {URL_VARIABLE} {what}",
            "Set it to a SQLAlchemy URL, as in postgresql+psycopg://user:password@host/database.",
        )
    return url


def database_chunks(url: str, table: str, wanted: Sequence[str], name: str) -> Iterator[pa.Table]:
    """Read columns of a table or view, some thousand rows at a time.

    Args:
        url: a SQLAlchemy URL.
        table: the table or view, ``name`` or ``schema.name``.
        wanted: the columns; no others are asked for.
        name: what messages call the table.

    Yields:
        The rows; a column's type may differ from chunk to chunk (see `of_one_type`).

    Raises:
        DatabaseError: SQLAlchemy or the driver is not installed, nothing answers, or there is no
            such table.
        MissingColumnError: a column is not there.
    """
    try:
        import sqlalchemy as sa  # noqa: PLC0415  an extra
    except ModuleNotFoundError:
        raise DatabaseError(
            f"{name} cannot be read: SQLAlchemy is not installed", "Run: pip install 'mpcseg[sql]'"
        ) from None
    with plain_errors(name, "cannot be reached", "Check the URL, the network and the password."):
        engine = _engine(url)
        connection = engine.connect()
    with (
        plain_errors(name, "cannot be read", "Check that this user may read all agreed columns."),
        connection,
    ):
        if engine.dialect.name == "postgresql":
            connection = connection.execution_options(postgresql_readonly=True)
        schema, bare = _find(connection, table, wanted, name)
        # Names go into the statement by SQLAlchemy's own quoting, never as text.
        selected = sa.table(bare, *(sa.column(column) for column in wanted), schema=schema)
        rows = connection.execution_options(yield_per=_ROWS).execute(sa.select(*selected.columns))
        for part in rows.partitions():
            columns = [_cells(list(cells)) for cells in zip(*part, strict=True)]
            yield pa.table(columns, names=list(wanted))


def of_one_type(chunks: Sequence[pa.Table]) -> pa.Table:
    """Join chunks whose columns may differ in type: numbers become float64, all else text.

    Args:
        chunks: at least one.
    """
    names = chunks[0].column_names
    joined = []
    for name in names:
        parts = [chunk.column(name) for chunk in chunks]
        kind = one_type([part.type for part in parts])
        joined.append(
            pa.chunked_array(
                [piece for part in parts for piece in as_type(part, kind).chunks], kind
            )
        )
    return pa.table(joined, names=names)


def one_type(kinds: Sequence[pa.DataType]) -> pa.DataType:
    """The type that chunks of these types are joined as.

    Args:
        kinds: the types.
    """
    found = {kind for kind in kinds if not pa.types.is_null(kind)}
    if len(found) <= 1:
        return found.pop() if found else pa.null()
    return pa.float64() if found <= {pa.int64(), pa.float64()} else pa.string()


def as_type(cells: Any, kind: pa.DataType) -> Any:
    """Cells as what `one_type` decided.

    Args:
        cells: an Arrow array, chunked or not.
        kind: the type.
    """
    if cells.type == kind or pa.types.is_floating(kind) or pa.types.is_null(cells.type):
        return pc.cast(cells, kind, safe=False)
    return pa.chunked_array([pa.array([shortest(cell) for cell in cells.to_pylist()], kind)])


# --- connecting ----------------------------------------------------------------------------


def _engine(text: str) -> sa.Engine:
    import sqlalchemy as sa  # noqa: PLC0415  an extra

    url = sa.make_url(text)
    if url.drivername in ("sqlite", "sqlite+pysqlite"):
        url = _read_only(url)
    return sa.create_engine(url, poolclass=sa.NullPool, hide_parameters=True)


def _read_only(url: sa.URL) -> sa.URL:
    """A SQLite database opened for reading; without it, a wrong path would make an empty file."""
    path = url.database or ""
    if path in ("", ":memory:"):
        return url
    if not path.startswith("file:"):
        path = f"file:{quote(str(Path(path).absolute()))}"
    return url.set(database=path).update_query_dict({"mode": "ro", "uri": "true"})


def _find(
    connection: sa.Connection, table: str, wanted: Sequence[str], name: str
) -> tuple[str | None, str]:
    """Schema and name of the table, which has all wanted columns."""
    import sqlalchemy as sa  # noqa: PLC0415  an extra

    inspector = sa.inspect(connection)
    schema, _, bare = table.rpartition(".")
    # A dot may also be part of the name itself.
    for candidate in [(None, table)] + ([(schema, bare)] if schema else []):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of column types that SQLAlchemy does not know
                columns = inspector.get_columns(candidate[1], schema=candidate[0])
        except sa.exc.NoSuchTableError:
            continue
        verify_columns(
            name,
            [str(column["name"]) for column in columns],
            wanted,
            "Check the table's columns; a party may map its own column names.",
        )
        return candidate
    raise DatabaseError(
        f"{name}: there is no such table or view",
        "Name the table as the database spells it, with its schema if need be: schema.table.",
    )


@contextmanager
def plain_errors(name: str, sentence: str, hint: str) -> Iterator[None]:
    """Turn whatever SQLAlchemy and a driver raise into an error that quotes nothing of it.

    Args:
        name: what messages call the table.
        sentence: what could not be done.
        hint: what to do about it.

    Raises:
        DatabaseError: something else than an error of ours was raised.
    """
    try:
        yield
    except MpcsegError:
        raise
    except ModuleNotFoundError as error:
        raise DatabaseError(
            f"{name} {sentence}: the driver {error.name} is not installed",
            "Install the database's driver beside mpcseg, as in: pip install 'psycopg[binary]'",
        ) from None
    except Exception as error:  # drivers raise what they like, and quote what they like
        if type(error).__name__ == "NoSuchModuleError":
            hint = (
                "SQLAlchemy knows no such kind of database: check the URL, or install its driver."
            )
        elif type(error).__name__ == "ArgumentError":
            hint = "The URL is not of the form dialect+driver://user:password@host/database."
        raise DatabaseError(f"{name} {sentence} ({_reason(error)})", hint) from None


def _reason(error: Exception) -> str:
    """An error's code, or its class, which cannot quote anything."""
    cause = getattr(error, "orig", None) or error
    codes = [getattr(cause, word, None) for word in ("sqlstate", "pgcode", "sqlite_errorname")]
    codes += [f"error {code}" for code in getattr(cause, "args", ())[:1] if isinstance(code, int)]
    for code in codes:
        if isinstance(code, str) and _HARMLESS.fullmatch(code.replace(" ", "_")):
            return code
    return type(cause).__name__


# --- cells ---------------------------------------------------------------------------------


def _cells(values: list[Any]) -> Any:
    """What a driver gives for one column of some rows, as an Arrow array.

    Whole numbers, floats, texts, dates and yes-or-no values keep their kind. Exact decimals become
    whole numbers where all of them are, else floats. A mixture, which SQLite allows, becomes text,
    and so does what else there may be.
    """
    kinds = {type(value) for value in values if value is not None}
    if Decimal in kinds and kinds <= {Decimal, int, float}:
        number = int if all(value is None or _is_whole(value) for value in values) else float
        values = [None if value is None else number(value) for value in values]
    elif kinds & _AS_TEXT or (len(kinds) > 1 and not kinds <= {int, float}):
        values = [shortest(value) for value in values]
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError):
        return pa.array([shortest(value) for value in values], pa.string())


def _is_whole(value: Decimal | float) -> bool:
    return math.isfinite(value) and value == int(value)
