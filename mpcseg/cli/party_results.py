"""``mpcseg party results``: what an organisation gets back, and labels for its own customers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from pydantic import Field
from rich.console import Console

from mpcseg.cli.agreed import study_to_end
from mpcseg.cli.closing import DEFAULT_PATIENCE
from mpcseg.cli.config import AUDIT_FOLDER, Address, Data, OneStudyConfig, ProxyUrl, load_config
from mpcseg.cli.labelling import LabelOptions, label
from mpcseg.cli.options import (
    AddressOption,
    AuditOption,
    ConfigOption,
    DataOption,
    IdColumnOption,
    IdentityOption,
    OptOutOption,
    PatienceOption,
    ProgressOption,
    ProxyOption,
    RenewalOption,
    StudyOption,
    TableOption,
)
from mpcseg.cli.passphrase import load_own_identity
from mpcseg.cli.progress import ProgressMode
from mpcseg.cli.results import opened_results, sealed_results, show_results, write_results
from mpcseg.customers.source import TableSource
from mpcseg.errors import AgreementError, ConfigError
from mpcseg.report.files import verify_output_folder
from mpcseg.study.agreement import verify_member
from mpcseg.study.identity import Identity
from mpcseg.study.results import Results, open_results
from mpcseg.study.spec import StudySpec


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

    @property
    def source(self) -> TableSource:
        """Where the customers to be labelled are.

        Raises:
            ConfigError: no table is named, a database without a table, or a file with one.
        """
        if self.data is None:
            raise ConfigError("labels need the customer table", "Name it: --data and --id-column.")
        return TableSource(self.data, self.id_column, self.table)


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
    opened: Annotated[
        Path | None,
        typer.Option(
            "--results",
            help="Take results that were opened earlier (results.json, or its folder) instead of "
            "fetching.",
        ),
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
        str | None,
        typer.Option(
            "--labels",
            help="Label the table's customers into this file (.csv or .parquet) or database (a "
            "SQLAlchemy URL, or `env`), where the agreement gives this organisation the centroids.",
        ),
    ] = None,
    labels_table: Annotated[
        str | None,
        typer.Option("--labels-table", help="The table to make, where labels go to a database."),
    ] = None,
    merged: Annotated[
        Path | None,
        typer.Option("--merged", help="Label by the merged segments that `mpcseg shapes` wrote."),
    ] = None,
    audit: AuditOption = None,
    proxy: ProxyOption = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace the file or table of labels if there is one."),
    ] = False,
    patience: PatienceOption = None,
    progress: ProgressOption = ProgressMode.AUTO,
) -> None:
    """Fetch the results that are sealed to this organisation, open them and show the segments.

    Any organisation that receives results can do this, as often as it likes, until the study is
    closed. Results come from the compute node, which cannot read them. Customers are labelled on
    this machine; nothing is sent. With --sealed or --results, nobody is asked for anything: new
    customers can be labelled long after the study, without a network.
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
    if sealed is not None and opened is not None:
        raise ConfigError("--sealed and --results are both given", "Give the one or the other.")
    labelling = None
    if labels is not None:
        labelling = LabelOptions(labels, labels_table, merged, overwrite=overwrite)
        labelling.verify(settings.source)
    elif labels_table is not None or merged is not None:
        raise ConfigError(
            "--labels-table and --merged are for labels", "Say where to write them: --labels."
        )
    spec = study_to_end(settings.study, settings.renewals)
    own = load_own_identity(settings.identity)
    verify_member(spec, own)
    if labels is not None and own.name not in spec.release.centroids:
        raise AgreementError(
            f"the agreement gives '{own.name}' no centroids, so that there is nothing to label by",
            "Who receives what is in the agreement: mpcseg study show FILE",
        )
    if opened is not None:
        found = _opened(spec, own, opened)
    else:
        content = sealed_results(
            spec,
            own,
            sealed,
            settings.address,
            audit=settings.audit,
            # The file's patience is the node's, which waits for others; results are there or not.
            patience=DEFAULT_PATIENCE if patience is None else patience,
            proxy=settings.proxy,
            mode=progress,
        )
        found = open_results(spec, own, content)
    console = Console()
    show_results(found, console)
    if output is not None:
        write_results(found, output)
        console.print(f"Results: {output}", highlight=False, markup=False, soft_wrap=True)
    if labelling is not None:
        label(spec, found, settings, labelling, progress, console)


def _opened(spec: StudySpec, own: Identity, file: Path) -> Results:
    results = opened_results(spec, file)
    if results.recipient != own.name:
        raise ConfigError(
            f"{file} holds the results of '{results.recipient}', not of '{own.name}'",
            "Take the file that was written with this identity.",
        )
    return results
