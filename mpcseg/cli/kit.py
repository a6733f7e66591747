"""``mpcseg kit``: a folder for each organisation of a signed agreement, to start its nodes from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mpcseg.cli.agreed import renewed_agreement
from mpcseg.cli.options import RenewalOption
from mpcseg.cli.study_screen import print_digest
from mpcseg.errors import ConfigError
from mpcseg.study.agreement import utc_today


def kit(
    *,
    agreement: Annotated[Path, typer.Argument(help="The agreement file, signed by everybody.")],
    output: Annotated[
        Path, typer.Option("--output", help="Folder for the kits; made if it is not there.")
    ],
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            help="Where the others reach the compute node, as HOST:PORT; the first host in its "
            "certificate, and port 7443, if left out.",
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", help="Make the kit of this organisation; may be repeated."),
    ] = None,
    renewal: RenewalOption = None,
    archive: Annotated[
        bool, typer.Option("--zip", help="Make an archive ORGANISATION.zip of each kit.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace files that hold something else.")
    ] = False,
) -> None:
    """Make each organisation's start-up kit: configuration, containers, services, a page to follow.

    Made from the agreement (and the renewals of its certificates) alone, which must bear all
    signatures: whoever has the files can make all kits, and gets the same bytes. No identity is
    read, and no private key is ever part of a kit; each organisation puts in its own.
    """
    # Jinja2 and tomlkit are needed here only.
    from mpcseg.kit.holders import certified_address, holders, parse_address  # noqa: PLC0415
    from mpcseg.kit.kit import kit as made_for  # noqa: PLC0415
    from mpcseg.kit.writing import write_archive, write_kit  # noqa: PLC0415

    signed, renewals = renewed_agreement(agreement, renewal or ())
    signed.verify(utc_today())
    spec = signed.spec
    where = certified_address(spec) if address is None else parse_address(address)
    everybody = {holder.name: holder for holder in holders(spec)}
    for name in only or ():
        if name not in everybody:
            raise ConfigError(
                f"'{name}' is not an organisation of the study '{spec.name}'",
                f"Its organisations are: {', '.join(everybody)}",
            )
    console = Console()
    for name in dict.fromkeys(only or everybody):
        holder = everybody[name]
        content = made_for(signed, holder, where, renewals)
        path = output / (f"{name}.zip" if archive else name)
        (write_archive if archive else write_kit)(content, path, force=force)
        nodes = " and ".join(f"{role} node" for role in holder.roles)
        console.print(
            f"{name} ({nodes}): {path}, {len(content)} files",
            markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip
    console.print(f"The compute node is reached at {where}.", markup=False, highlight=False)
    print_digest(spec, console)
