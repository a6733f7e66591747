"""What each node needs for a study, in `mpcseg plan`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from mpcseg.report.table import plain

if TYPE_CHECKING:
    from mpcseg.ckks.planner import Plan

_MEGABYTE = 1e6


def show_needs(
    made: Plan, console: Console, *, workers: int, megabits: float, norm: bool = False
) -> None:
    """Show memory, disk, bytes and seconds by node, and how long the study takes.

    Args:
        made: the plan.
        console: where to.
        workers: worker processes of the compute node.
        megabits: per second, of the slowest link.
        norm: whether admission tests an agreed radius too.
    """
    from mpcseg.ckks.capacity import needs, study_seconds  # noqa: PLC0415  TenSEAL again

    many = "1 worker" if workers == 1 else f"{workers} workers"
    table = Table(title=f"What each node needs for the whole study ({many})")
    table.add_column("node")
    for heading in ("memory", "disk", "sends", "seconds of a core"):
        table.add_column(heading, justify="right")
    for one in needs(made, workers=workers, norm=norm):
        table.add_row(
            f"{one.node}, each block" if one.node == "party" else one.node,
            f"{plain(one.memory / _MEGABYTE)} MB",
            f"{plain(one.disk / _MEGABYTE)} MB",
            f"{plain(one.sent / _MEGABYTE)} MB",
            f"{plain(one.seconds)} s" if one.seconds else "a few",
        )
    console.print(table)
    minutes = study_seconds(made, workers=workers, megabits=megabits, norm=norm) / 60
    console.print(
        f"The whole study takes about {plain(minutes)} minutes over links of {plain(megabits)} "
        "Mbit/s. Memory is a line above measurements; a party's own table comes on top.",
        highlight=False,
    )
