"""Profile columns on a person's screen, a row for each column or label, below the segment table."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, RenderResult
from rich.markup import escape
from rich.table import Table

from mpcseg.report.table import plain
from mpcseg.study.column_figures import CategoryFigures, CellFigures, NumericFigures
from mpcseg.study.figures import Report

_HIDDEN = "hidden"


class ColumnsView:
    """Means and shares of each segment, with their noise.

    Args:
        report: what was received.
    """

    def __init__(self, report: Report) -> None:
        self._report = report

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Show the table, or nothing where no profile columns were agreed."""
        report = self._report
        if not (report.numeric_columns or report.categories):
            return
        grid = Table(title="Columns that were not clustered on", title_justify="left")
        grid.add_column("")
        for segment in report.segments:
            grid.add_column(f"segment {segment.number}", justify="right")
        grid.add_column("everybody", justify="right")
        for row in self._rows():
            grid.add_row(*row)
        yield grid
        yield "Means in original units; shares of the segment's customers."

    def _rows(self) -> Iterator[list[str]]:
        for column in self._report.numeric_columns:
            cells = [*column.segments, column.overall]
            yield [escape(column.name), *map(_mean, cells)]
        for category in self._report.categories:
            yield from _shares(category)


def _shares(category: CategoryFigures) -> Iterator[list[str]]:
    rows = [*category.segments, category.overall]
    for place, label in enumerate(category.labels):
        name = f"{escape(category.name)} = {escape(label)}"
        yield [name, *(_share(row.cells[place]) for row in rows)]
    if any(row.together for row in rows):
        name = f"{escape(category.name)} = {escape(' or '.join(category.hidden_labels))}"
        yield [name, *(_share(row.together) for row in rows)]


def _mean(cell: NumericFigures | None) -> str:
    return _HIDDEN if cell is None else plain(cell.centre) + _noise(cell.noise)


def _share(cell: CellFigures | None) -> str:
    if cell is None:
        return _HIDDEN
    noise = None if cell.share_noise is None else 100 * cell.share_noise
    return f"{plain(100 * cell.share)}{_noise(noise)} %"


def _noise(std: float | None) -> str:
    return "" if std is None else f" ± {plain(std)}"
