"""``mpcseg compute``: the hub that works on ciphertexts and can read nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mpcseg.cli.agreed import study_to_run
from mpcseg.cli.config import ComputeConfig, load_config
from mpcseg.cli.observed import observers
from mpcseg.cli.options import (
    ConfigOption,
    IdentityOption,
    LogFileOption,
    MetricsOption,
    PatienceOption,
    PolicyOption,
    ProgressOption,
    StudyOption,
    SummaryOption,
)
from mpcseg.cli.passphrase import load_own_identity
from mpcseg.cli.progress import ProgressMode
from mpcseg.cli.summary import verify_summary, write_summary

app = typer.Typer(help="The compute node: works on ciphertexts only.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep ``serve`` a command of its own, however few there are."""


@app.command("serve")
def serve(  # noqa: PLR0913  each is an option of the command line
    *,
    config: ConfigOption = None,
    study: StudyOption = None,
    identity: IdentityOption = None,
    policy: PolicyOption = None,
    listen: Annotated[
        str | None, typer.Option("--listen", help="Where to listen, as HOST:PORT.")
    ] = None,
    storage: Annotated[
        Path | None, typer.Option("--storage", help="Folder for keys and ciphertexts.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Worker processes; default one per core.")
    ] = None,
    arrival: Annotated[
        float | None,
        typer.Option("--arrival", help="Seconds to wait for all nodes once the first has come."),
    ] = None,
    max_blocks: Annotated[
        int | None,
        typer.Option("--max-blocks", min=1, help="Blocks that one party may send at most."),
    ] = None,
    patience: PatienceOption = None,
    summary: SummaryOption = None,
    log_file: LogFileOption = None,
    metrics: MetricsOption = None,
    progress: ProgressOption = ProgressMode.AUTO,
) -> None:
    """Serve one study: its rounds, then its sealed results, until it is closed.

    The compute node is the only one that others dial. It holds ciphertexts and public evaluation
    keys, refuses secret keys, and must not be run by whoever runs the key node. Everything is
    deleted when the study is closed (`mpcseg study close`), when the agreed retention ends, or when
    this command is stopped; the privacy ledger and a signed closing record stay.
    """
    options = {
        "study": study,
        "identity": identity,
        "policy": policy,
        "listen": listen,
        "storage": storage,
        "workers": workers,
        "arrival": arrival,
        "max_blocks": max_blocks,
        "patience": patience,
        "log_file": log_file,
        "metrics": metrics,
    }
    settings = load_config(ComputeConfig, config, options)
    verify_summary(summary)
    spec = study_to_run(settings)
    own = load_own_identity(settings.identity)

    from mpcseg.nodes.compute import serve_compute  # noqa: PLC0415  gRPC takes a while to import

    with (
        observers(progress, settings, own.name, "compute", settings.storage) as watching,
        watching.of(spec) as shown,
    ):
        done = serve_compute(
            spec,
            own,
            settings.listen,
            settings.storage,
            settings.workers,
            shown,
            patience=settings.patience,
            arrival=settings.arrival,
            max_blocks=settings.max_blocks,
        )
    write_summary(done, summary)
