"""``mpcseg identity``: a node's key and certificate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mpcseg.study.identity import CERTIFICATE_FILE, DEFAULT_DAYS, load_identity, new_identity

app = typer.Typer(help="Make and show a node's key and certificate.", no_args_is_help=True)

FolderOption = Annotated[
    Path, typer.Option("--folder", help="Where the key and the certificate are kept.")
]


@app.command("new")
def new(
    name: Annotated[str, typer.Argument(help="The node's name, as in the study file.")],
    folder: FolderOption,
    host: Annotated[
        list[str] | None,
        typer.Option(
            "--host",
            help="Host name or IP address under which others reach this node. The compute node "
            "needs at least one; may be repeated.",
        ),
    ] = None,
    days: Annotated[int, typer.Option(min=1, help="How long it is valid.")] = DEFAULT_DAYS,
) -> None:
    """Make a key and a self-signed certificate.

    Send certificate.pem to the other organisations, and compare the fingerprint with them by
    telephone. The private key stays here: nobody ever asks for it.
    """
    identity = new_identity(name, folder, host or (), days=days)
    typer.echo(f"certificate of {name}: {folder / CERTIFICATE_FILE}")
    typer.echo(f"fingerprint: {identity.fingerprint}")


@app.command("show")
def show(folder: FolderOption) -> None:
    """Show a node's name and its certificate's fingerprint."""
    identity = load_identity(folder)
    typer.echo(f"certificate of {identity.name}: {folder / CERTIFICATE_FILE}")
    typer.echo(f"fingerprint: {identity.fingerprint}")
