"""``mpcseg storage``: a look into the compute node's folder, when something is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mpcseg.cli.agreed import study_to_end

app = typer.Typer(
    help="The compute node's storage folder: is all there that it needs?", no_args_is_help=True
)


@app.callback()
def _group() -> None:
    """Keep ``check`` a command of its own, however few there are."""


@app.command("check")
def check(
    file: Annotated[Path, typer.Argument(help="The agreement file.")],
    folder: Annotated[
        Path, typer.Argument(help="The storage folder, of a node that does not run; or a copy.")
    ],
) -> None:
    """Compare a storage folder with the compute node's log, file by file. Changes nothing.

    Says how far the study is, which files are whole, and what is missing or was changed. A node
    that is started on the folder makes the same check and goes on only if nothing is wrong.
    """
    spec = study_to_end(file)

    from mpcseg.nodes.inspection import inspect_storage  # noqa: PLC0415  as the nodes' commands

    console = Console()
    found = inspect_storage(spec, folder)
    console.print(found.course, highlight=False)
    console.print(
        f"{found.n_whole:,} files are what the log says; {found.n_lost:,} were not complete and "
        "will be asked for again",
        highlight=False,
    )
    for flaw in found.flaws:
        console.print(f"{flaw.path} {flaw.what}", highlight=False, soft_wrap=True)
    if found.flaws:
        raise found.flaws[0].error()
