"""``mpcseg party``: the node of one organisation's records, and what the organisation gets back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from pydantic import Field
from rich.console import Console

from mpcseg.cli.agreed import load_renewals, study_to_end, study_to_run, verify_all_taken
from mpcseg.cli.config import (
    AUDIT_FOLDER,
    Address,
    Data,
    OneStudyConfig,
    PartyConfig,
    ProxyUrl,
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
from mpcseg.cli.passphrase import load_own_identity
from mpcseg.cli.progress import ProgressMode, open_progress
from mpcseg.cli.results import show_results, write_results
from mpcseg.cli.summary import verify_summary, write_summary
from mpcseg.cli.suspension import suspendable
from mpcseg.errors import AgreementError, ConfigError
from mpcseg.report.cohort import CohortView
from mpcseg.report.files import verify_output_folder
from mpcseg.study.agreement import verify_member
from mpcseg.study.cohort import load_cohort
from mpcseg.study.documents import read_bytes
from mpcseg.study.identity import Identity
from mpcseg.study.labels import label_customers, verify_label_file
from mpcseg.study.results import Results, open_results, sealed_bytes
from mpcseg.study.spec import StudySpec
from mpcseg.study.table import TableSource

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
    renewals = load_renewals(settings.renewals)
    spec = study_to_run(
        settings.study,
        settings.policy,
        settings.columns,
        renewals=renewals,
        folder=settings.audit,
        role="party",
    )
    verify_all_taken([spec], renewals)
    own = load_own_identity(settings.identity)
    with (
        observers(progress, settings, own.name, "party", settings.audit) as watching,
        watching.of(spec) as shown,
        suspendable(),
    ):
        cohort = load_cohort(
            settings.source,
            spec.features,
            consent=spec.consent,
            radius=spec.l2_radius,
            columns=settings.columns,
            opt_out=settings.opt_out,
            profile=spec.profile_columns,
        )
        for warning in cohort.warnings:
            shown.event("cohort_warning", warning=warning)
        shown.event("cohort", account=cohort.account)

        from mpcseg.nodes.party import prepare, run_party  # noqa: PLC0415  slow imports

        if dry_run:
            prepare(spec, own, cohort)
            Console().print(CohortView(cohort, spec.features))
            return

        done = run_party(
            spec,
            own,
            settings.address,
            cohort,
            shown,
            audit=settings.audit,
            patience=settings.patience,
            key_fingerprint=settings.key_fingerprint,
            restart=restart,
            proxy=settings.proxy,
            max_upload_mbit=settings.max_upload_mbit,
        )
        shown.event("results_ready", n_records=done.n_records)
        if own.name in spec.recipients:
            shown.message("fetch what is sealed to this organisation with: mpcseg party results")
    write_summary(done, summary)


class ResultsConfig(OneStudyConfig):
    """What `mpcseg party results` needs: a party's configuration, in which most may be missing.

    Attributes:
        address: ``host:port`` of the compute node; not needed to open a file.
        data: the customer table, to label its customers.
        table: the table or view, where ``data`` is a database.
        id_column: the identifiers, which become those of the labels.
        opt_out: a list of identifiers of customers who get no label.
        columns: agreed name to the table's own column name, where they differ.
        key_fingerprint: not used here.
        audit: the folder of this organisation's audit logs.
        proxy: the HTTP proxy on the way to the compute node.
        max_upload_mbit: not used here.
    """

    address: Address | None = None
    data: Data | None = Field(default=None, repr=False)
    table: str | None = None
    id_column: str | None = None
    opt_out: Path | None = None
    columns: dict[str, str] = Field(default_factory=dict)
    key_fingerprint: str | None = None
    audit: Path = AUDIT_FOLDER
    proxy: ProxyUrl | None = Field(default=None, repr=False)
    max_upload_mbit: float | None = None


@app.command("results")
def results(  # noqa: PLR0913  each is an option of the command line
    *,
    config: ConfigOption = None,
    study: StudyOption = None,
    identity: IdentityOption = None,
    renewal: RenewalOption = None,
    address: AddressOption = None,
    sealed: Annotated[
        Path | None,
        typer.Option("--sealed", help="Open this file of sealed results instead of fetching."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", help="Folder for results.json, and for the segment table as CSV and JSON."
        ),
    ] = None,
    data: DataOption = None,
    table: TableOption = None,
    id_column: IdColumnOption = None,
    opt_out: OptOutOption = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels",
            help="Label the table's customers into this file (.csv or .parquet), where the "
            "agreement gives this organisation the centroids.",
        ),
    ] = None,
    audit: AuditOption = None,
    proxy: ProxyOption = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file of labels if there is one.")
    ] = False,
    patience: PatienceOption = None,
    progress: ProgressOption = ProgressMode.AUTO,
) -> None:
    """Fetch the results that are sealed to this organisation, open them and show the segments.

    Any organisation that receives results can do this, as often as it likes, until the study is
    closed. Results come from the compute node, which cannot read them. Customers are labelled on
    this machine; nothing is sent.
    """
    options = {
        "study": study,
        "identity": identity,
        "renewals": renewal,
        "address": address,
        "data": data,
        "table": table,
        "id_column": id_column,
        "opt_out": opt_out,
        "audit": audit,
        "proxy": proxy,
        "patience": patience,
    }
    settings = load_config(ResultsConfig, config, options)
    if output is not None:
        verify_output_folder(output)
    source = _labelled(settings, labels, overwrite=overwrite)
    spec = study_to_end(settings.study, settings.renewals)
    own = load_own_identity(settings.identity)
    verify_member(spec, own)
    if labels is not None and own.name not in spec.release.centroids:
        raise AgreementError(
            f"the agreement gives '{own.name}' no centroids, so that there is nothing to label by",
            "Who receives what is in the agreement: mpcseg study show FILE",
        )
    opened = open_results(spec, own, _sealed(spec, own, settings, sealed, progress))
    console = Console()
    show_results(opened, console)
    if output is not None:
        write_results(opened, output)
        console.print(f"Results: {output}", highlight=False, markup=False, soft_wrap=True)
    if labels is not None and source is not None:
        _label(spec, opened, source, settings, labels, overwrite, console)


def _labelled(
    settings: ResultsConfig, labels: Path | None, *, overwrite: bool
) -> TableSource | None:
    """Where the customers to be labelled are; checked before anything is fetched."""
    if labels is None:
        return None
    if settings.data is None:
        raise ConfigError("labels need the customer table", "Name it: --data and --id-column.")
    if settings.id_column is None:
        raise ConfigError("labels need the identifiers", "Name their column: --id-column.")
    verify_label_file(labels, overwrite=overwrite)
    return TableSource(settings.data, settings.id_column, settings.table)


def _sealed(
    spec: StudySpec,
    own: Identity,
    settings: ResultsConfig,
    file: Path | None,
    mode: ProgressMode,
) -> bytes:
    if file is not None:
        limit = 2 * sealed_bytes(spec, own.name)
        return read_bytes(file, "the sealed results", limit=limit)
    if settings.address is None:
        raise ConfigError(
            "results are fetched from the compute node, and no address is given",
            "Give --address HOST:PORT, or --sealed FILE for a file that you were sent.",
        )
    from mpcseg.nodes.requests import fetch_results  # noqa: PLC0415  gRPC takes a while to import

    with suspendable(), open_progress(mode) as shown:
        return fetch_results(
            spec,
            own,
            settings.address,
            shown,
            audit=settings.audit,
            patience=settings.patience,
            proxy=settings.proxy,
        )


def _label(
    spec: StudySpec,
    opened: Results,
    source: TableSource,
    settings: ResultsConfig,
    labels: Path,
    overwrite: bool,
    console: Console,
) -> None:
    if opened.centroids is None:
        raise AgreementError(f"the results of '{opened.recipient}' hold no centroids")
    done = label_customers(
        source,
        spec,
        vars(opened.centroids),
        labels,
        columns=settings.columns,
        opt_out=settings.opt_out,
        overwrite=overwrite,
    )
    for warning in done.warnings:
        console.print(f"warning: {warning}", highlight=False, markup=False, soft_wrap=True)
    sizes = ", ".join(f"{size:,} in segment {number}" for number, size in done.sizes.items())
    left_out = done.n_read - done.n_labelled
    console.print(
        f"Labels: {labels} ({done.n_labelled:,} own customers: {sizes}; {left_out:,} left out)",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
