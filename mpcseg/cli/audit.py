"""``mpcseg audit``: for security reviewers, who need not believe anything."""

from __future__ import annotations

import typer

from mpcseg.cli.audit_replay import replay

app = typer.Typer(
    help="Verify a study: its logs, its computation, and that no value was exposed.",
    no_args_is_help=True,
)


@app.callback()
def _group() -> None:
    """Keep each command one of its own, however few there are."""


app.command("replay")(replay)
