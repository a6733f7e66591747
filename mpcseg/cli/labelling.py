"""Labels of an organisation's own customers, into a file or a database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from rich.console import Console

from mpcseg.cli.progress import ProgressMode, open_progress
from mpcseg.customers.database import url_of_environment
from mpcseg.customers.label_files import label_writer
from mpcseg.customers.label_table import LabelTable
from mpcseg.customers.labels import LabelSummary, label_customers
from mpcseg.customers.source import ENVIRONMENT, TableSource, is_database
from mpcseg.errors import ConfigError
from mpcseg.shapes.merged import read_mapping
from mpcseg.study.nearest import ReleasedCentroids
from mpcseg.study.results import Results
from mpcseg.study.spec import StudySpec

_TASK = "labels"


class LabelledTable(Protocol):
    """Of a command's settings, what says where the customers are."""

    @property
    def source(self) -> TableSource:
        """As in `mpcseg.cli.config.PartyConfig`; the table is named."""

    @property
    def opt_out(self) -> Path | None:
        """Likewise."""

    @property
    def columns(self) -> dict[str, str]:
        """Likewise."""


@dataclass(frozen=True)
class LabelOptions:
    """Where labels go.

    Attributes:
        target: a .csv or .parquet file, a SQLAlchemy URL, or ``env``; not shown, since a URL may
            hold a password.
        table: the table to make, in a database.
        merged: a file of merged segments to label by; None for the released ones.
        overwrite: replace what is there.
    """

    target: str = field(repr=False)
    table: str | None
    merged: Path | None
    overwrite: bool

    @property
    def in_database(self) -> LabelTable | None:
        """The table; None for a file."""
        if not is_database(self.target):
            if self.table is not None:
                raise ConfigError(
                    "--labels-table is named, but --labels is a file",
                    "Leave --labels-table out, or give --labels as a database URL.",
                )
            return None
        if self.table is None:
            raise ConfigError(
                "labels go to a database, and no table is named", "Name it: --labels-table."
            )
        url = url_of_environment() if self.target == ENVIRONMENT else self.target
        return LabelTable(url, self.table, self.overwrite)

    @property
    def name(self) -> str:
        """What messages call the place."""
        table = self.in_database
        return self.target if table is None else table.name

    def verify(self, source: TableSource) -> None:
        """Refuse what could not be labelled or written, before anything is fetched or read.

        Args:
            source: the customer table.

        Raises:
            ConfigError: the identifiers are not named, or the table for the labels.
            OutputError: the file or table is there already, or cannot be made.
            DatabaseError: the database does not answer.
        """
        if source.id_column is None:
            raise ConfigError("labels need the identifiers", "Name their column: --id-column.")
        table = self.in_database
        if table is None:
            label_writer(Path(self.target), overwrite=self.overwrite)
        else:
            table.verify()


def label(
    spec: StudySpec,
    results: Results,
    settings: LabelledTable,
    options: LabelOptions,
    mode: ProgressMode,
    console: Console,
) -> None:
    """Label customers, and say how many are in which segment.

    Args:
        spec: the agreement.
        results: as they were opened.
        settings: where the customers are; data and identifiers are named.
        options: where labels go.
        mode: how progress is shown.
        console: for what was found.
    """
    released = ReleasedCentroids.of_results(spec, results)
    if options.merged is not None:
        released = released.merge(read_mapping(options.merged, spec))
    source, table = settings.source, options.in_database

    with _shown(mode) as told:

        def write(output: Path) -> LabelSummary:
            return label_customers(
                source,
                spec,
                released,
                output,
                columns=settings.columns,
                opt_out=settings.opt_out,
                overwrite=options.overwrite,
                progress=told,
            )

        done = write(Path(options.target)) if table is None else table.write(write)
    _say(done, options.name, console)


@contextmanager
def _shown(mode: ProgressMode) -> Iterator[Callable[[int, int], None]]:
    """Progress in rows, from the first piece of the table on."""
    with open_progress(mode) as progress:
        reached = 0

        def told(n_read: int, n_rows: int) -> None:
            nonlocal reached
            if not reached:
                progress.start(_TASK, n_rows, "customers")
            progress.advance(_TASK, n_read - reached)
            reached = n_read

        yield told
        if reached:
            progress.finish(_TASK)


def _say(done: LabelSummary, name: str, console: Console) -> None:
    for warning in done.warnings:
        console.print(f"warning: {warning}", highlight=False, markup=False, soft_wrap=True)
    sizes = ", ".join(f"{size:,} in segment {number}" for number, size in done.sizes.items())
    left_out = done.n_read - done.n_labelled
    console.print(
        f"Labels: {name} ({done.n_labelled:,} own customers: {sizes}; {left_out:,} left out)",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
