"""``mpcseg key``: the node with the secret key, which decrypts sums over all parties only."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mpcseg.audit.records import RecoveryKind
from mpcseg.cli.config import KeyConfig, load_config
from mpcseg.cli.observed import observers
from mpcseg.cli.options import (
    AddressOption,
    ConfigOption,
    IdentityOption,
    LogFileOption,
    MetricsOption,
    PatienceOption,
    PolicyOption,
    ProgressOption,
    ProxyOption,
    RenewalOption,
    StudyOption,
    SummaryOption,
)
from mpcseg.cli.passphrase import load_own_identity
from mpcseg.cli.progress import ProgressMode
from mpcseg.cli.results import show_results
from mpcseg.cli.starting import former_of, key_study, lead
from mpcseg.cli.summary import verify_summary, write_summary
from mpcseg.cli.suspension import suspendable
from mpcseg.errors import OutputError
from mpcseg.report.export import result_document
from mpcseg.report.files import verify_output_file, verify_output_folder, write_json
from mpcseg.report.structured_log import STANDARD_OUTPUT

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
    policy: PolicyOption = None,
    renewal: RenewalOption = None,
    address: AddressOption = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", help="Folder for the privacy ledger and the sealed results."),
    ] = None,
    trial_output: Annotated[
        Path | None,
        typer.Option(
            "--trial-output",
            help="For trials on data of your own: write everything that the key node knows at the "
            "end here (JSON), unrounded by the release rules and with small segments.",
        ),
    ] = None,
    recovery: Annotated[
        RecoveryKind | None,
        typer.Option(
            "--recovery",
            help="`sealed`: keep what this node needs to go on after it was stopped or killed in "
            "the output folder, sealed to its identity. `none`: keep nothing; then stopping this "
            "node ends the study.",
        ),
    ] = None,
    former_study: Annotated[
        Path | None,
        typer.Option(
            "--former-study",
            help="Where the agreement follows a former study: the former's agreement file.",
        ),
    ] = None,
    former_sealed: Annotated[
        Path | None,
        typer.Option(
            "--former-sealed",
            help="The former's results that were sealed to this organisation (in the former key "
            "node's output folder: sealed/NAME.sealed), from whose centroids this study starts.",
        ),
    ] = None,
    proxy: ProxyOption = None,
    patience: PatienceOption = None,
    summary: SummaryOption = None,
    log_file: LogFileOption = None,
    metrics: MetricsOption = None,
    progress: ProgressOption = ProgressMode.AUTO,
) -> None:
    """Make the keys, steer the rounds, and seal the results to those who receive them.

    The secret key is made afresh, and destroyed when the last sum is decrypted. Until then it is
    kept sealed in the output folder, so that a node that was stopped or killed goes on when it is
    started again with the same command. The key node sees, per round, sums over all parties'
    records, with the agreed noise; never a record.
    It must not be run by whoever runs the compute node. Where its organisation receives results,
    they are opened here and shown.
    """
    options = {
        "study": study,
        "identity": identity,
        "policy": policy,
        "renewals": renewal,
        "address": address,
        "output": output,
        "recovery": recovery,
        "former_study": former_study,
        "former_sealed": former_sealed,
        "proxy": proxy,
        "patience": patience,
        "log_file": log_file,
        "metrics": metrics,
    }
    settings = load_config(KeyConfig, config, options)
    verify_output_folder(settings.output)
    verify_summary(summary)
    if trial_output is not None:
        verify_output_file(trial_output, made=settings.output)
    spec = key_study(settings)
    own = load_own_identity(settings.identity)
    former = former_of(settings, spec, own)

    with (
        observers(progress, settings, own.name, "key", settings.output) as watching,
        watching.of(spec) as shown,
        suspendable(),
    ):
        done, opened = lead(settings, spec, own, former, shown)
    if trial_output is not None:
        if done.result is None:
            raise OutputError(
                f"{trial_output} cannot be written: an earlier process of this node has sealed the "
                "results, and what they were made of is destroyed",
                f"The sealed results are in {settings.output}, and open for their recipients.",
            )
        write_json(trial_output, result_document(spec, done.result))
    if progress is not ProgressMode.JSON and settings.log_file != STANDARD_OUTPUT:
        console = Console()
        if opened is not None:
            show_results(opened, console)
        console.print(f"Results: {settings.output}", highlight=False, markup=False, soft_wrap=True)
    write_summary(done, summary, without=("result", "sealed"))
