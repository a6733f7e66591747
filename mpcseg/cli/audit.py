"""``mpcseg audit``: for security reviewers, who need not believe anything."""

from __future__ import annotations

import typer

from mpcseg.cli.audit_dpia import dpia
from mpcseg.cli.audit_exposure import exposure
from mpcseg.cli.audit_replay import replay
from mpcseg.cli.audit_verify import verify

app = typer.Typer(
    help="Verify a study: its logs, its computation, and that no value was exposed.",
    no_args_is_help=True,
)
app.command("verify")(verify)
app.command("replay")(replay)
app.command("exposure")(exposure)
app.command("dpia")(dpia)
