"""Where an organisation's customer table is. Runs at the party node; reads nothing.

Without the libraries that read tables: every node's configuration names this, and only party nodes
have tables to read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mpcseg.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

ENVIRONMENT = "env"
"""Instead of a URL: that it stands in the environment."""

_URL = re.compile(r"([A-Za-z][A-Za-z0-9_]*)(\+[A-Za-z0-9_]+)?://")


@dataclass(frozen=True)
class TableSource:
    """Where an organisation's customer table is.

    Attributes:
        data: a ``.csv`` (comma-separated, UTF-8, with a heading) or ``.parquet`` file; or a
            SQLAlchemy URL (``dialect://…``); or ``env`` for the URL in MPCSEG_DATABASE_URL; or, of
            a program, a DataFrame. Not shown, since a URL may hold a password.
        id_column: the column of identifiers; None where there is none.
        table: the table or view in the database; None for a file.

    Raises:
        ConfigError: a database without a table, or a file with one.
    """

    data: str | Path | pd.DataFrame = field(repr=False)
    id_column: str | None = None
    table: str | None = None

    def __post_init__(self) -> None:
        if self.is_database and not self.table:
            raise ConfigError(
                "data is a database, but no table is named",
                "Name the table or view that holds the customers: table.",
            )
        if self.table and not self.is_database:
            raise ConfigError(
                f"table '{self.table}' is named, but data is a file",
                "Leave table out, or give data as a database URL.",
            )

    @property
    def is_database(self) -> bool:
        """Whether ``data`` is a URL, or says where one is."""
        return is_database(self.data)

    @property
    def name(self) -> str:
        """What messages call it: the file, or the table and the kind of database."""
        if not isinstance(self.data, str | Path):
            return "the table in memory"
        if not self.is_database:
            return str(self.data)
        kind = database_kind(str(self.data))
        return f"table '{self.table}' of the {f'{kind} ' if kind else ''}database"


def is_database(data: str | Path | pd.DataFrame) -> bool:
    """Whether the data of a configuration is a database and no file or table in memory.

    Args:
        data: a path, a URL, the word ``env`` or a table.
    """
    if not isinstance(data, str | Path):
        return False
    return str(data) == ENVIRONMENT or database_kind(str(data)) is not None


def database_kind(text: str) -> str | None:
    """The kind of database that a SQLAlchemy URL names, such as ``postgresql``; None for no URL.

    Args:
        text: a URL or a path.
    """
    found = _URL.match(text)
    return found[1] if found else None
