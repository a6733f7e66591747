"""``mpcseg demo``: a whole study on this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mpcseg.cli.clusters import parse_one_number
from mpcseg.cli.epsilon import DEFAULT_EPSILON, parse_epsilon

_DATA = "Real data"
_STUDY = "The study"
_OUTPUT = "Output"


def demo(  # noqa: PLR0913  each is an option of the command line
    *,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="A customer table, CSV or Parquet, dealt to the parties by a hash of the "
            "identifier. Without it, customers of three companies are generated.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    id_column: Annotated[
        str | None,
        typer.Option("--id-column", help="Its identifiers.", rich_help_panel=_DATA),
    ] = None,
    features: Annotated[
        str,
        typer.Option("--features", help="Its columns to cluster on: a,b,c", rich_help_panel=_DATA),
    ] = "",
    log1p: Annotated[
        str,
        typer.Option(
            "--log1p",
            help="Those of them with heavy tails, such as amounts and counts: b,c",
            rich_help_panel=_DATA,
        ),
    ] = "",
    parties: Annotated[
        int, typer.Option("--parties", min=1, help="How many party nodes.", rich_help_panel=_STUDY)
    ] = 3,
    clusters: Annotated[
        str, typer.Option("--clusters", help="How many segments.", rich_help_panel=_STUDY)
    ] = "4",
    rounds: Annotated[
        int,
        typer.Option("--rounds", min=1, help="Rounds at most.", rich_help_panel=_STUDY),
    ] = 6,
    seed: Annotated[
        int,
        typer.Option(
            "--seed",
            min=0,
            help="Of the starting centroids and the generated customers.",
            rich_help_panel=_STUDY,
        ),
    ] = 0,
    epsilon: Annotated[
        str,
        typer.Option(
            "--epsilon",
            help="Privacy budget of everything that is released (delta is 1e-6), or `none` for no "
            "noise.",
            rich_help_panel=_STUDY,
        ),
    ] = DEFAULT_EPSILON,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            min=1,
            help="Worker processes of the compute node; default one per core.",
            rich_help_panel=_STUDY,
        ),
    ] = None,
    segments_csv: Annotated[
        Path,
        typer.Option("--segments-csv", help="Segment table as CSV.", rich_help_panel=_OUTPUT),
    ] = Path("mpcseg-demo/segments.csv"),
    segments_json: Annotated[
        Path,
        typer.Option("--segments-json", help="Segment table as JSON.", rich_help_panel=_OUTPUT),
    ] = Path("mpcseg-demo/segments.json"),
    json: Annotated[
        Path | None,
        typer.Option(
            "--json",
            help="Everything that was found and measured, as JSON.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    report: Annotated[
        Path,
        typer.Option(
            "--report",
            help="Folder of the segment report, in every format; needs the extra `report`.",
            rich_help_panel=_OUTPUT,
        ),
    ] = Path("mpcseg-demo/report"),
    tables: Annotated[
        Path | None,
        typer.Option(
            "--tables",
            help="Only write the parties' tables into this folder, a CSV each, to run the study "
            "by hand.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option(
            "--keep",
            help="Keep all nodes' files, private keys included, in this new folder.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
) -> None:
    """Run a whole study on this machine and compare it with scikit-learn.

    One compute node, one key node and the party nodes are started as real processes that talk over
    mutual TLS. Without options it takes a minute or two and needs no data.
    """
    from mpcseg.demo.run import DemoOptions, run_demo  # noqa: PLC0415  slow imports

    options = DemoOptions(
        data=data,
        id_column=id_column,
        features=_names(features),
        log1p=_names(log1p),
        parties=parties,
        clusters=parse_one_number(clusters),
        rounds=rounds,
        seed=seed,
        epsilon=parse_epsilon(epsilon),
        workers=workers or os.cpu_count() or 1,
        tables=tables,
        keep=keep,
        segments_csv=segments_csv,
        segments_json=segments_json,
        outcome=json,
        report=report,
    )
    run_demo(options, Console())


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
