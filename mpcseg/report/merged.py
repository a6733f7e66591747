"""Merged segments on a screen."""

from __future__ import annotations

from rich.console import Console, ConsoleOptions, RenderResult
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from mpcseg.report.table import plain
from mpcseg.shapes.merged import MergedFeature, MergedSegment, MergedSegments


class MergedView:
    """Merged segments for a person: a row each.

    Args:
        merged: the merged segments.
    """

    def __init__(self, merged: MergedSegments) -> None:
        self._merged = merged

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the table and its notes."""
        merged = self._merged
        table = Table(title=f"Merged segments of {escape(merged.study)} ({merged.method})")
        for name in ("segment", "of", "customers", "share"):
            table.add_column(name, justify="left" if name == "of" else "right")
        has_noise = any(segment.size_noise is not None for segment in merged.segments)
        if has_noise:
            table.add_column("together", justify="right")
        for name in merged.feature_names:
            table.add_column(escape(name), justify="right")
        for segment in merged.segments:
            table.add_row(*_cells(segment, len(merged.feature_names), has_noise=has_noise))
        yield table
        yield Text("Features: centre, and mean ± one standard deviation; original units.")
        if has_noise:
            yield Text(
                "Together: how often members stayed in one segment when sizes and means were drawn "
                "anew within their noise."
            )
        yield from (Text(note) for note in merged.notes)


def _cells(segment: MergedSegment, d: int, *, has_noise: bool) -> list[str]:
    noise = "" if segment.size_noise is None else f" ± {plain(segment.size_noise)}"
    cells = [
        str(segment.number),
        ", ".join(map(str, segment.members)),
        f"{segment.size:,}{noise}",
        f"{segment.share:.1%}",
    ]
    if has_noise:
        cells.append("–" if segment.together is None else f"{segment.together:.0%}")
    features = [_feature(feature) for feature in segment.features] or ["–"] * d
    return cells + features


def _feature(feature: MergedFeature) -> str:
    return f"{plain(feature.centre)}\n{plain(feature.low)} – {plain(feature.high)}"
