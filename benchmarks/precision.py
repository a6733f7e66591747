"""The planner's precision table: errors by stage, set and sign."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from mpcseg.ckks.planner import plan_study


def run(console: Console, repeats: int) -> dict[str, Any]:  # noqa: ARG001
    """Print and return predicted bits for several numbers of clusters."""
    table = Table(title="Predicted precision, bits of the root mean square error (largest error)")
    for column in ("k", "parameter set", "sign", "distance", "sign", "weight"):
        table.add_column(column, justify="right")
    figures: dict[str, Any] = {}
    for k in (2, 3, 5, 8):
        plan = plan_study(n_clusters=k, n_features=6, n_rounds=1)
        for sign in (plan.blunt, plan.sharp):
            stages = plan.precision(sign)
            cells = [f"{stage.bits:.1f} ({stage.largest:.0e})" for stage in stages]
            table.add_row(str(k), plan.parameters.name, str(sign), *cells)
            figures[f"{k} {sign}"] = {stage.stage: stage.bits for stage in stages}
    console.print(table)
    return figures
