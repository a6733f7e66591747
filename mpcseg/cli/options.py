"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mpcseg.cli.progress import ProgressMode

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Configuration file (TOML); options override it."),
]
StudyOption = Annotated[
    Path | None, typer.Option("--study", help="The study file that all nodes share.")
]
IdentityOption = Annotated[
    Path | None, typer.Option("--identity", help="Folder made by `mpcseg identity new`.")
]
AddressOption = Annotated[
    str | None, typer.Option("--address", help="The compute node, as HOST:PORT.")
]
PatienceOption = Annotated[
    float | None,
    typer.Option("--patience", help="Seconds to wait for a node that does not answer."),
]
SummaryOption = Annotated[
    Path | None,
    typer.Option("--summary", help="Write seconds, bytes, memory and counts here (JSON)."),
]
ProgressOption = Annotated[
    ProgressMode,
    typer.Option(
        "--progress",
        help="How to show progress: bars (rich), a JSON object per line on standard output "
        "(json), nothing (none), or bars on a terminal and plain lines elsewhere (auto).",
    ),
]
