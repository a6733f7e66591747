"""``make bench``: the project's performance figures, as ratios within one run where possible.

Absolute seconds depend on the machine and on what else it does; ratios of things measured in
turn, a pair at a time, do not. Figures go to the terminal and to benchmarks/out/.
"""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path

from rich.console import Console

from benchmarks import (
    choice,
    choice_trials,
    columns,
    follow_up,
    labels,
    load,
    network,
    precision,
    privacy,
    round_cost,
    shapes,
    verification,
)

OUT = Path(__file__).parent / "out"


def main() -> None:
    """Run the usual benchmarks, or those named."""
    every = {
        "round-cost": round_cost.run,
        "precision": precision.run,
        "privacy": privacy.run,
        "choice": choice.run,
        "choice-trials": choice_trials.run,
        "follow-up": follow_up.run,
        "verification": verification.run,
        "network": network.run,
        "load": load.run,
        "columns": columns.run,
        "labels": labels.run,
        "shapes": shapes.run,
        "shapes-encrypted": shapes.run_encrypted,
    }
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    usual = ("round-cost", "precision")  # the others take ten minutes each
    parser.add_argument(
        "names", nargs="*", choices=[*every, []], help=f"default: {' and '.join(usual)}"
    )
    parser.add_argument("--repeats", type=int, default=3, help="pairs of runs that are compared")
    arguments = parser.parse_args()
    console = Console()
    console.print(f"{platform.machine()}, Python {platform.python_version()}")
    OUT.mkdir(exist_ok=True)
    for name in arguments.names or usual:
        figures = every[name](console, arguments.repeats)
        (OUT / f"{name}.json").write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
