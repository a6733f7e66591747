"""The segment table on a screen: a column per segment, a row per feature."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from mpcseg.report.model import FeatureSummary, Segment, SegmentTable
from mpcseg.text import one_line

_REMARK_STYLES = {
    "very high": "bold green",
    "high": "green",
    "low": "yellow",
    "very low": "bold red",
}
_SHOWN_REMARKS = 3


class SegmentsView:
    """The segment table for a person, with a sentence per segment below it.

    Where the screen is too narrow for all segments, they stand in several tables below each other.

    Args:
        table: the segment table.
    """

    def __init__(self, table: SegmentTable) -> None:
        self._table = table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield what fits the screen."""
        table = self._table
        title = f"Segments of {table.study}"
        if table.n_records is not None:
            about = "about " if table.is_noised else ""
            title += f": {about}{plain(table.n_records)} customers"
        yield Text(title, style="italic")
        waiting = list(table.segments)
        while waiting:
            n_shown = _fitting(table, waiting, options.max_width)
            yield self._grid(waiting[:n_shown])
            del waiting[:n_shown]
        for line in _legend(table):
            yield Text(line, style="dim")
        yield from (_sentence(segment) for segment in table.segments)
        if table.hidden.n_segments:
            text = str(table.hidden)
            yield Text(text[0].upper() + text[1:] + ".")
        if table.quality is not None:
            yield from (Text(f"Note: {one_line(note)}") for note in table.quality.notes)

    def _grid(self, segments: Sequence[Segment]) -> Table:
        grid = Table(show_lines=True)
        grid.add_column("", no_wrap=True)
        for segment in segments:
            grid.add_column("\n".join(_heading(segment)), justify="right", no_wrap=True)
        for index, name in enumerate(self._table.feature_names):
            cells = [_cell(segment.features[index]) for segment in segments]
            grid.add_row(escape(name), *cells)
        return grid


def _fitting(table: SegmentTable, segments: Sequence[Segment], width: int) -> int:
    """How many of the segments stand beside each other in ``width`` columns, at least 1."""
    frame = 3  # two blanks and a line per column
    used = max(len(name) for name in table.feature_names) + frame + 1
    for n_shown, segment in enumerate(segments):
        lines = [*_heading(segment)]
        lines += [line for summary in segment.features for line in _cell(summary).plain.split("\n")]
        used += max(len(line) for line in lines) + frame
        if used > width:
            return max(n_shown, 1)
    return len(segments)


def plain(value: float) -> str:
    """A number as a person writes it: about three digits, thousands separated."""
    if not math.isfinite(value):
        return "–"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if value == 0 or abs(value) < 1e-9:
        return "0"
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _legend(table: SegmentTable) -> Iterator[str]:
    if table.segments:
        yield "Centre, below it the range of mean ± one standard deviation; original units."
        yield (
            "Sizes are sums of approximate assignment weights, so that they can miss the number of "
            "customers by a little."
        )
    if table.is_noised:
        yield (
            "± beside a size or a centre is the standard deviation of the noise in it, which "
            "protects single customers."
        )
    spent = table.privacy
    if spent is not None and spent.epsilon is not None and spent.delta is not None:
        yield f"Privacy budget spent: epsilon {spent.epsilon:.4g}, delta {spent.delta:.4g}."
    elif spent is not None:
        yield "No noise was added: the numbers are those of the customers, rounded."


def _heading(segment: Segment) -> tuple[str, str]:
    size = f"{segment.size:,.0f}{_noise(segment.noise)}"
    return f"segment {segment.number}", f"{size} ({segment.share:.1%})"


def _noise(std: float | None) -> str:
    return "" if std is None else f" ± {plain(std)}"


def _cell(summary: FeatureSummary) -> Text:
    cell = Text(plain(summary.centre), style=_REMARK_STYLES.get(summary.remark, ""))
    cell.append(_noise(summary.noise), style="not bold dim")
    return cell.append(f"\n{plain(summary.low)} – {plain(summary.high)}", style="dim")


def _sentence(segment: Segment) -> Text:
    text = Text(f"Segment {segment.number}: ", style="bold")
    if segment.is_empty:
        return text.append("no customers.", style="not bold")
    if not segment.distinguishing:
        return text.append("close to the average in every feature.", style="not bold")
    parts = [
        f"{summary.feature} {summary.remark} ({summary.deviation:+.1f} sd)"
        for summary in segment.distinguishing[:_SHOWN_REMARKS]
    ]
    return text.append(", ".join(parts) + ".", style="not bold")
