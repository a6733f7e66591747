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
    Path | None, typer.Option("--study", help="The agreement file, signed by everybody.")
]
IdentityOption = Annotated[
    Path | None, typer.Option("--identity", help="Folder made by `mpcseg identity new`.")
]
PolicyOption = Annotated[
    Path | None,
    typer.Option("--policy", help="This organisation's own policy (TOML), which must allow it."),
]
RenewalOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--renewal",
        help="A renewal of certificates, signed by everybody; again for each version, in order.",
    ),
]
AddressOption = Annotated[
    str | None, typer.Option("--address", help="The compute node, as HOST:PORT.")
]
ProxyOption = Annotated[
    str | None,
    typer.Option(
        "--proxy",
        help="The HTTP proxy on the way to the compute node, as http://HOST:PORT; empty for none, "
        "whatever the environment says.",
    ),
]
PatienceOption = Annotated[
    float | None,
    typer.Option("--patience", help="Seconds to wait for a node that does not answer."),
]
DataOption = Annotated[
    str | None,
    typer.Option(
        "--data",
        help="The customer table: CSV, Parquet, or the SQLAlchemy URL of a database (`env` for "
        "the URL in MPCSEG_DATABASE_URL).",
    ),
]
TableOption = Annotated[
    str | None, typer.Option("--table", help="The table or view, where the data is a database.")
]
IdColumnOption = Annotated[
    str | None,
    typer.Option("--id-column", help="The identifiers: checked for duplicates, never sent."),
]
OptOutOption = Annotated[
    Path | None,
    typer.Option("--opt-out", help="Identifiers of customers to leave out, one per line."),
]
AuditOption = Annotated[
    Path | None,
    typer.Option(
        "--audit", help="Folder of this organisation's audit logs; mpcseg-audit if left out."
    ),
]
SummaryOption = Annotated[
    Path | None,
    typer.Option("--summary", help="Write seconds, bytes, memory and counts here (JSON)."),
]
LogFileOption = Annotated[
    Path | None,
    typer.Option(
        "--log-file",
        help="Write a log here, one JSON object per line, without any value; `-` for standard "
        "output, and then nothing else is shown.",
    ),
]
MetricsOption = Annotated[
    str | None,
    typer.Option(
        "--metrics",
        envvar="MPCSEG_METRICS",
        help="Let Prometheus scrape this node on HOST:PORT (/metrics, and /healthz); for an "
        "address that only this organisation reaches.",
    ),
]
ProgressOption = Annotated[
    ProgressMode,
    typer.Option(
        "--progress",
        help="How to show progress: bars (rich), a JSON object per line on standard output "
        "(json), nothing (none), or bars on a terminal and plain lines elsewhere (auto).",
    ),
]
