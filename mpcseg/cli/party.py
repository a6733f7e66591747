"""``mpcseg party``: the node of one organisation's records, and what the organisation gets back."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from mpcseg.cli.config import (
    PartyConfig,
    load_config,
)
from mpcseg.cli.observed import observers
from mpcseg.cli.options import (
    AddressOption,
    AuditOption,
    ConfigOption,
    DataOption,
    IdColumnOption,
    IdentityOption,
    LogFileOption,
    MetricsOption,
    OptOutOption,
    PatienceOption,
    PolicyOption,
    ProgressOption,
    ProxyOption,
    RenewalOption,
    StudyOption,
    SummaryOption,
    TableOption,
)
from mpcseg.cli.party_results import results
from mpcseg.cli.passphrase import load_own_identity
from mpcseg.cli.progress import ProgressMode
from mpcseg.cli.starting import cohort_of, party_study, take_part
from mpcseg.cli.summary import verify_summary, write_summary
from mpcseg.cli.suspension import suspendable
from mpcseg.report.cohort import CohortView

app = typer.Typer(help="A party node: one organisation's records.", no_args_is_help=True)


@app.command("run")
def run(  # noqa: PLR0913  each is an option of the command line
    *,
    config: ConfigOption = None,
    study: StudyOption = None,
    identity: IdentityOption = None,
    policy: PolicyOption = None,
    renewal: RenewalOption = None,
    address: AddressOption = None,
    data: DataOption = None,
    table: TableOption = None,
    id_column: IdColumnOption = None,
    opt_out: OptOutOption = None,
    key_fingerprint: Annotated[
        str | None,
        typer.Option("--key-fingerprint", help="SHA-256 that the public key must have."),
    ] = None,
    audit: AuditOption = None,
    proxy: ProxyOption = None,
    max_upload_mbit: Annotated[
        float | None,
        typer.Option("--max-upload-mbit", help="Send no faster than so many megabits per second."),
    ] = None,
    restart: Annotated[
        bool,
        typer.Option(
            "--restart",
            help="Send the table afresh where an earlier start was interrupted; without it, what "
            "is missing is sent, and the table must be the same.",
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Show who would take part, and end; nothing is sent."),
    ] = False,
    patience: PatienceOption = None,
    summary: SummaryOption = None,
    log_file: LogFileOption = None,
    metrics: MetricsOption = None,
    progress: ProgressOption = ProgressMode.AUTO,
) -> None:
    """Encrypt this organisation's records, send them, and wait for the results of the study.

    First of all the agreement is checked, and this organisation's own policy. Only the agreed
    columns are read. Records without the agreed consent, opted out or repeated are left out; the
    others are scaled and clipped by the agreed bounds, shuffled and encrypted here; nothing else
    leaves this machine. A node that was stopped goes on when the same command is given again.
    """
    options = {
        "study": study,
        "identity": identity,
        "policy": policy,
        "renewals": renewal,
        "address": address,
        "data": data,
        "table": table,
        "id_column": id_column,
        "opt_out": opt_out,
        "key_fingerprint": key_fingerprint,
        "audit": audit,
        "proxy": proxy,
        "max_upload_mbit": max_upload_mbit,
        "patience": patience,
        "log_file": log_file,
        "metrics": metrics,
    }
    settings = load_config(PartyConfig, config, options)
    verify_summary(summary)
    spec = party_study(settings)
    own = load_own_identity(settings.identity)
    with (
        observers(progress, settings, own.name, "party", settings.audit) as watching,
        watching.of(spec) as shown,
        suspendable(),
    ):
        if dry_run:
            from mpcseg.nodes.party import prepare  # noqa: PLC0415  slow imports

            cohort = cohort_of(settings, spec, shown)
            prepare(spec, own, cohort)
            Console().print(CohortView(own.name, cohort, spec.features, spec.profile_columns))
            return
        done = take_part(settings, spec, own, shown, restart=restart)
        if own.name in spec.recipients:
            shown.message("fetch what is sealed to this organisation with: mpcseg party results")
    write_summary(done, summary)


app.command("results")(results)
