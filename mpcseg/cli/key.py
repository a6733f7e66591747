"""``mpcseg key``: the node with the secret key, which decrypts sums over all parties only."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mpcseg.cli.config import KeyConfig, load_config
from mpcseg.cli.options import (
    AddressOption,
    ConfigOption,
    IdentityOption,
    PatienceOption,
    ProgressOption,
    StudyOption,
    SummaryOption,
)
from mpcseg.cli.progress import ProgressMode, open_progress
from mpcseg.cli.summary import verify_summary, write_summary
from mpcseg.report.export import result_document, write_segments_csv, write_segments_json
from mpcseg.report.files import (
    RESULT_FILE,
    SEGMENTS_CSV,
    SEGMENTS_JSON,
    verify_output_folder,
    write_json,
)
from mpcseg.report.model import segment_table
from mpcseg.report.table import SegmentsView
from mpcseg.study.identity import load_identity
from mpcseg.study.spec import load_study

app = typer.Typer(help="The key node: decrypts sums over all parties.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep ``run`` a command of its own, however few there are."""


@app.command("run")
def run(  # noqa: PLR0913  each is an option of the command line
    *,
    config: ConfigOption = None,
    study: StudyOption = None,
    identity: IdentityOption = None,
    address: AddressOption = None,
    output: Annotated[Path | None, typer.Option("--output", help="Folder for the results.")] = None,
    patience: PatienceOption = None,
    summary: SummaryOption = None,
    progress: ProgressOption = ProgressMode.AUTO,
) -> None:
    """Make the keys, steer the rounds, and write the segment table.

    The secret key is made afresh, kept in memory and gone at the end. The key node sees, per
    round, sums over all parties' records; never a record. It must not be run by whoever runs the
    compute node.
    """
    options = {
        "study": study,
        "identity": identity,
        "address": address,
        "output": output,
        "patience": patience,
    }
    settings = load_config(KeyConfig, config, options)
    verify_output_folder(settings.output)
    verify_summary(summary)
    spec = load_study(settings.study)
    own = load_identity(settings.identity)

    from mpcseg.nodes.key import run_key  # noqa: PLC0415  gRPC and TenSEAL take a while to import

    with open_progress(progress) as shown:
        done = run_key(spec, own, settings.address, shown, patience=settings.patience)
    write_json(settings.output / RESULT_FILE, result_document(spec, done.result))
    table = segment_table(spec, done.result)
    write_segments_csv(table, settings.output / SEGMENTS_CSV)
    write_segments_json(table, settings.output / SEGMENTS_JSON)
    if progress is not ProgressMode.JSON:
        console = Console()
        console.print(SegmentsView(table))
        console.print(f"Results: {settings.output}", highlight=False, markup=False, soft_wrap=True)
    write_summary(done, summary, without=("result",))
