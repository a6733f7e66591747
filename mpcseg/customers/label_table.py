"""Labels as a table in the organisation's own database, through SQLAlchemy.

The table is filled in one transaction, after the last customer was labelled: a reader finds all
labels, the old or the new ones, or no table. Until then they stand in a private file on this
machine, so that a database that is read from and written to at once need not stand it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa
import pyarrow.parquet

from mpcseg.customers.cells import shortest
from mpcseg.customers.database import plain_errors
from mpcseg.customers.source import database_kind
from mpcseg.errors import DatabaseError, OutputError

if TYPE_CHECKING:
    import sqlalchemy as sa

_ROWS = 10_000

Made = TypeVar("Made")


@dataclass(frozen=True)
class LabelTable:
    """A table to be made.

    Attributes:
        url: a SQLAlchemy URL; not shown, since it may hold a password.
        table: its name, ``name`` or ``schema.name``.
        overwrite: replace what has this name.
    """

    url: str = field(repr=False)
    table: str
    overwrite: bool = False

    @property
    def name(self) -> str:
        """What messages call it."""
        kind = database_kind(self.url)
        return f"table '{self.table}' of the {f'{kind} ' if kind else ''}database"

    def verify(self) -> None:
        """Refuse a table that could not be made, before anything is read.

        Raises:
            DatabaseError: SQLAlchemy or the driver is not installed, or nothing answers.
            OutputError: the table is there, and is not to be replaced.
        """
        engine = self._engine()
        with self._errors(), engine.connect() as connection:
            self._verify_free(connection)

    def write(self, make: Callable[[Path], Made]) -> Made:
        """Have labels made, and put them into the table.

        Args:
            make: writes them to a Parquet file that it is given.

        Returns:
            What ``make`` returns.

        Raises:
            DatabaseError: the table cannot be written.
            OutputError: the table came into being meanwhile.
        """
        with tempfile.TemporaryDirectory(prefix="mpcseg-labels-") as folder:
            file = Path(folder) / "labels.parquet"
            made = make(file)
            engine = self._engine()
            with self._errors(), engine.begin() as connection:
                self._fill(connection, file)
        return made

    def _fill(self, connection: sa.Connection, file: Path) -> None:
        import sqlalchemy as sa  # noqa: PLC0415  an extra

        self._verify_free(connection)
        with pyarrow.parquet.ParquetFile(file) as labels:
            schema, _, bare = self.table.rpartition(".")
            table = sa.Table(
                bare,
                sa.MetaData(),
                *(sa.Column(field.name, _type(field.type)) for field in labels.schema_arrow),
                schema=schema or None,
            )
            table.drop(connection, checkfirst=True)
            table.create(connection)
            for batch in labels.iter_batches(_ROWS):
                connection.execute(table.insert(), _rows(batch))

    def _verify_free(self, connection: sa.Connection) -> None:
        import sqlalchemy as sa  # noqa: PLC0415  an extra

        schema, _, bare = self.table.rpartition(".")
        if not self.overwrite and sa.inspect(connection).has_table(bare, schema=schema or None):
            raise OutputError(
                f"{self.name} exists already", "Name another table, or say --overwrite."
            )

    def _engine(self) -> sa.Engine:
        try:
            import sqlalchemy as sa  # noqa: PLC0415  an extra
        except ModuleNotFoundError:
            raise DatabaseError(
                f"{self.name} cannot be written: SQLAlchemy is not installed",
                "Run: pip install 'mpcseg[sql]'",
            ) from None
        with self._errors():
            engine = sa.create_engine(self.url, poolclass=sa.NullPool, hide_parameters=True)
        if engine.dialect.name == "sqlite":
            _with_transactions(engine)
        return engine

    def _errors(self) -> Any:
        hint = "Check the URL, the network, the password, and that this user may make tables."
        return plain_errors(self.name, "cannot be written", hint)


def _with_transactions(engine: sa.Engine) -> None:
    """Let SQLite's driver begin a transaction before the table is made, not only before rows."""
    from sqlalchemy import event  # noqa: PLC0415  an extra

    @event.listens_for(engine, "connect")
    def connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN")


def _rows(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """Labels as rows; identifiers that are neither numbers nor texts become texts."""
    rows: list[dict[str, Any]] = batch.to_pylist()
    name, kind = batch.schema.names[0], batch.schema.types[0]
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        for row in rows:
            row[name] = shortest(row[name])
    return rows


def _type(kind: pa.DataType) -> Any:
    """The database's type for a column of labels."""
    import sqlalchemy as sa  # noqa: PLC0415  an extra

    if pa.types.is_boolean(kind):
        return sa.Boolean()
    if pa.types.is_integer(kind):
        return sa.BigInteger()
    if pa.types.is_floating(kind):
        return sa.Double()
    return sa.Text()
