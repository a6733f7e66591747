"""The long run: every target under a coverage-guided fuzzer, one process after the other.

    make fuzz FUZZ_SECONDS=60
    python -m tests.fuzz.long --seconds 60 --output FOLDER [TARGET …]

Writes FOLDER/summary.json as it goes, and FOLDER/crashes/TARGET/ with an input for each finding.
An input that is worth keeping goes to tests/fuzz/corpus/TARGET/, where the bounded run takes it up.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.fuzz.outcome import Outcome, tally
from tests.fuzz.targets import TARGETS

NODE = "running-node"
"""Not a parser: a compute node over TLS (`tests.fuzz.node`)."""

_CONSOLE = Console(width=110)


def run_target(name: str, seconds: float, output: Path) -> Outcome:
    """Fuzz one target in a process of its own, and in another one where that died."""
    whole, ends = Outcome(name), time.monotonic() + seconds
    module = "tests.fuzz.node" if name == NODE else "tests.fuzz.guided"
    log = output / f"{name}.log"
    while (left := int(ends - time.monotonic())) > 0:
        tally(output, name).unlink(missing_ok=True)
        command = [sys.executable, "-m", module, name, str(left), str(output)]
        with log.open("ab") as file:
            done = subprocess.run(command, stdout=file, stderr=file, check=False)
        part = Outcome(name)
        with contextlib.suppress(FileNotFoundError):
            part = Outcome(**json.loads(tally(output, name).read_text()))
        whole.add(part)
        whole.died += done.returncode != 0
        if part.inputs == 0:
            break  # it cannot even start; the log says why
    found = re.findall(r"cov: (\d+)", log.read_text(errors="replace"))
    whole.coverage = max(map(int, found), default=0)
    return whole


def _table(outcomes: list[Outcome]) -> Table:
    table = Table()
    for heading in (
        "target", "seconds", "inputs", "per second", "accepted", "coverage", "findings", "deaths",
    ):  # fmt: skip
        table.add_column(heading, justify="left" if heading == "target" else "right")
    for one in outcomes:
        table.add_row(
            one.target,
            f"{one.seconds:,.0f}",
            f"{one.inputs:,}",
            f"{one.inputs / max(one.seconds, 1e-9):,.0f}",
            f"{one.accepted:,}",
            f"{one.coverage:,}" if one.coverage else "-",
            str(len(one.findings)),
            str(one.died),
        )
    return table


def main() -> None:
    """Fuzz the targets, say what came of it, and fail if there is a finding."""
    parser = argparse.ArgumentParser(description="Fuzz every parser of foreign bytes.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join([*TARGETS, NODE]))
    parser.add_argument("--seconds", type=float, default=60.0, help="for each target")
    parser.add_argument("--output", type=Path, default=Path("build/fuzz"))
    given = parser.parse_args()
    output = given.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    outcomes: list[Outcome] = []
    for name in given.targets or [*TARGETS, NODE]:
        _CONSOLE.print(f"{name}: {given.seconds:g} s")
        outcomes.append(run_target(name, given.seconds, output))
        everything = [asdict(one) for one in outcomes]
        (output / "summary.json").write_text(json.dumps(everything, indent=1))
    total = Outcome("all")
    for one in outcomes:
        total.add(one)
    _CONSOLE.print(_table([*outcomes, total]))
    for one in outcomes:
        for what, count in one.findings.items():
            _CONSOLE.print(f"{one.target}: {what} ({count} times)")
    if any(one.findings or one.died for one in outcomes):
        sys.exit(f"There are findings; their inputs are in {output / 'crashes'}.")


if __name__ == "__main__":
    main()
