"""Drift and migration as tables. Run at a recipient."""

from __future__ import annotations

from mpcseg.report.drift import Drift
from mpcseg.report.migration import Migration
from mpcseg.report.sections import Cell, Column, DataTable

_DIGITS = 3


def drift_table(drift: Drift) -> DataTable:
    """Segments side by side, a row each."""
    names = [f"move_{j + 1}" for j in range(len(drift.features))]
    return DataTable(
        name="drift",
        title="Segments before and now",
        columns=(
            Column("segment", "segment"),
            Column("former_segment", "formerly"),
            Column("former_share", "share before", _DIGITS, is_share=True),
            Column("share", "share now", _DIGITS, is_share=True),
            Column("share_z", "z of the share", _DIGITS),
            Column("psi", "part of the index", _DIGITS),
            Column("move", "move (sd)", _DIGITS),
            Column("move_z", "z of the move", _DIGITS),
            *(
                Column(name, f"{feature} (sd)", _DIGITS)
                for name, feature in zip(names, drift.features, strict=True)
            ),
            Column("passes", "passes a limit"),
        ),
        rows=tuple(
            (
                segment.number,
                segment.former,
                segment.former_share,
                segment.share,
                segment.share_z,
                segment.psi,
                segment.move,
                segment.move_z,
                *_steps(segment.moves, len(names)),
                "yes" if drift.moved(segment) else "no",
            )
            for segment in drift.segments
        ),
    )


def _steps(moves: tuple[float, ...], d: int) -> tuple[Cell, ...]:
    if not moves:
        return (None,) * d
    return tuple(step if step == step else None for step in moves)  # noqa: PLR0124  NaN is not


def migration_table(migration: Migration) -> DataTable:
    """Own customers in long form; an empty cell where they had, or have, no label."""
    rows: list[tuple[Cell, ...]] = [
        (former, number, count) for (former, number), count in sorted(migration.counts.items())
    ]
    rows += [(None, number, count) for number, count in sorted(migration.joined.items())]
    rows += [(former, None, count) for former, count in sorted(migration.left.items())]
    return DataTable(
        name="migration",
        title="Own customers by former and new segment",
        columns=(
            Column("former_segment", "formerly"),
            Column("segment", "segment"),
            Column("customers", "own customers"),
        ),
        rows=tuple(rows),
    )
