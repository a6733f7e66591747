"""``mpcseg compute``: the hub that works on ciphertexts and can read nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

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
    RenewalOption,
    SummaryOption,
)
from mpcseg.cli.passphrase import load_own_identity
from mpcseg.cli.progress import ProgressMode
from mpcseg.cli.starting import compute_studies
from mpcseg.cli.summary import verify_summary, write_summary
from mpcseg.errors import MpcsegError, StudyClosedError
from mpcseg.memory import share_freed_memory
from mpcseg.nodes.summary import ComputeSummary
from mpcseg.report.files import write_json
from mpcseg.study.spec import StudySpec

app = typer.Typer(help="The compute node: works on ciphertexts only.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep ``serve`` a command of its own, however few there are."""


@app.command("serve")
def serve(  # noqa: PLR0913  each is an option of the command line
    *,
    config: ConfigOption = None,
    study: Annotated[
        list[Path] | None,
        typer.Option(
            "--study", help="An agreement file, signed by everybody; again for each other study."
        ),
    ] = None,
    identity: IdentityOption = None,
    policy: PolicyOption = None,
    renewal: RenewalOption = None,
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
    """Serve a study, or several at once: its rounds, then its sealed results, until it is closed.

    The compute node is the only one that others dial. It holds ciphertexts and public evaluation
    keys, refuses secret keys, and must not be run by whoever runs the key node. Everything is
    deleted when the study is closed (`mpcseg study close`) or the agreed retention ends; the
    privacy ledger, the audit log and a signed closing record stay. A node that was stopped keeps it
    all, and goes on when the same command is given again.
    """
    options = {
        "study": study,
        "identity": identity,
        "policy": policy,
        "renewals": renewal,
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
    specs = compute_studies(settings)
    own = load_own_identity(settings.identity)

    from mpcseg.nodes.compute import serve_studies  # noqa: PLC0415  gRPC takes a while to import
    from mpcseg.nodes.hosting import verify_distinct  # noqa: PLC0415

    verify_distinct(specs)
    share_freed_memory()
    with (
        observers(progress, settings, own.name, "compute", settings.storage) as watching,
        watching.of_several(specs) as shown,
    ):
        done = serve_studies(
            shown,
            own,
            settings.listen,
            settings.storage,
            settings.workers,
            patience=settings.patience,
            arrival=settings.arrival,
            max_blocks=settings.max_blocks,
        )
        watching.ended(specs, done)
    _report(specs, done, summary)


def _report(
    specs: Sequence[StudySpec],
    done: Mapping[str, ComputeSummary | MpcsegError],
    summary: Path | None,
) -> None:
    """Write the summaries of studies that ended well, and raise why another one did not.

    One that was closed before this process began is no failure beside others.
    """
    outcomes = [done[spec.digest] for spec in specs]
    errors = [outcome for outcome in outcomes if isinstance(outcome, MpcsegError)]
    if len(specs) == 1 and not errors:
        write_summary(outcomes[0], summary)
    elif summary is not None and len(specs) > 1:
        ended = {d: asdict(o) for d, o in done.items() if not isinstance(o, MpcsegError)}
        write_json(summary, ended)
    failures = [error for error in errors if not isinstance(error, StudyClosedError)]
    if failures or len(errors) == len(specs):
        raise (failures or errors)[0]
