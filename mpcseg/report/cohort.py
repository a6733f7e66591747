"""A party's own cohort on its own screen: who is left out, and how the features are spread."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from mpcseg.customers.cohort import Cohort
from mpcseg.report.table import plain
from mpcseg.study.profile_columns import CategoryColumn, NumericColumn, ProfileColumn
from mpcseg.study.spec import FeatureSpec


class CohortView:
    """The cohort for the party alone; printing it sends nothing.

    Args:
        party: the organisation.
        cohort: the party's cohort, as `mpcseg.customers.cohort.load_cohort` made it.
        features: the agreed features, in the cohort's order.
        profile: the agreed profile columns.
    """

    def __init__(
        self,
        party: str,
        cohort: Cohort,
        features: Sequence[FeatureSpec],
        profile: Sequence[ProfileColumn] = (),
    ) -> None:
        self._party = party
        self._cohort = cohort
        self._features = features
        self._profile = profile

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the counts, a row per feature, and what is done with it."""
        yield self._counts()
        yield self._spread()
        if self._profile and self._cohort.columns is not None:
            yield self._columns(self._cohort.columns)
        yield Text(
            "Values of the kept records in original units, before clipping. Shown on this screen "
            "only: nothing was sent.",
            style="dim",
        )

    def _counts(self) -> Table:
        cohort = self._cohort
        grid = Table(
            title=f"Records of {escape(self._party)}", show_header=False, title_justify="left"
        )
        grid.add_column()
        grid.add_column(justify="right")
        grid.add_row("read", f"{cohort.n_read:,}")
        grid.add_row("left out: repeated", f"{cohort.n_duplicates:,}")
        grid.add_row("left out: without consent", f"{cohort.n_without_consent:,}")
        grid.add_row("left out: opted out", f"{cohort.n_opted_out:,}")
        grid.add_row("kept", f"{cohort.n_records:,}", style="bold")
        if cohort.n_shortened:
            grid.add_row("of these, shortened to the agreed radius", f"{cohort.n_shortened:,}")
        return grid

    def _columns(self, vectors: npt.NDArray[np.float64]) -> Table:
        """A row per numeric column, after clipping, and one per label of each category."""
        grid = Table(title="Profile columns, as they are encrypted", title_justify="left")
        grid.add_column("column")
        grid.add_column("what")
        grid.add_column("mean, or records", justify="right", no_wrap=True)
        columns = iter(vectors.T)
        for column in self._profile:
            if isinstance(column, NumericColumn):
                mean = float(column.unscale(next(columns)).mean())
                grid.add_row(escape(column.name), "number", plain(mean))
        for column in self._profile:
            if isinstance(column, CategoryColumn):
                for label in column.labels:
                    grid.add_row(
                        escape(column.name), escape(label), f"{int(next(columns).sum()):,}"
                    )
        return grid

    def _spread(self) -> Table:
        grid = Table(title="Features", title_justify="left")
        grid.add_column("feature")
        for heading in ("min", "mean", "max", "agreed bounds", "clipped"):
            grid.add_column(heading, justify="right", no_wrap=True)
        for feature, spread, n_clipped in zip(
            self._features, self._cohort.ranges, self._cohort.n_clipped, strict=True
        ):
            grid.add_row(
                escape(feature.name),
                plain(spread.lowest),
                plain(spread.mean),
                plain(spread.highest),
                f"{plain(feature.lower)} – {plain(feature.upper)}",
                Text(f"{n_clipped:,}", style="yellow" if n_clipped else ""),
            )
        return grid
