"""``mpcseg audit exposure``: whether values in the clear stand anywhere that they must not."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def exposure(
    *,
    records: Annotated[
        int, typer.Option("--records", min=10, max=400, help="Canary records of each party.")
    ] = 40,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the canary records.")] = 0,
    keep: Annotated[
        Path | None,
        typer.Option(
            "--keep",
            help="Keep everything that was searched, some GB with private keys, in this new "
            "folder.",
        ),
    ] = None,
    json: Annotated[
        Path | None, typer.Option("--json", help="Write what was found here, as JSON.")
    ] = None,
) -> None:
    """Search a whole study on this machine for values in the clear.

    Real nodes run a study on canary records, whose every encoding can be told from anything else.
    All that crossed the wires (outside and inside TLS), the nodes' memory, disk, logs, crash output
    and temporary files are searched for records and centroids in every usual form. For each place,
    a planted value has to be found, too. Linux; takes a minute or two and some GB of disk.
    """
    from mpcseg.verification.exposure.run import run_exposure  # noqa: PLC0415  slow imports

    run_exposure(records, seed, keep, json, Console())
