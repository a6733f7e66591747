"""``mpcseg party``: an organisation's own node, the only one that sees its records."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mpcseg.cli.config import PartyConfig, load_config
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
from mpcseg.study.cohort import load_cohort
from mpcseg.study.identity import load_identity
from mpcseg.study.spec import load_study

app = typer.Typer(help="A party node: one organisation's records.", no_args_is_help=True)


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
    data: Annotated[
        Path | None, typer.Option("--data", help="The customer table, CSV or Parquet.")
    ] = None,
    id_column: Annotated[
        str | None,
        typer.Option("--id-column", help="The identifiers: checked for duplicates, never sent."),
    ] = None,
    key_fingerprint: Annotated[
        str | None,
        typer.Option("--key-fingerprint", help="SHA-256 that the public key must have."),
    ] = None,
    patience: PatienceOption = None,
    summary: SummaryOption = None,
    progress: ProgressOption = ProgressMode.AUTO,
) -> None:
    """Encrypt this organisation's records, send them, and wait for the end of the study.

    Only the agreed columns are read. They are checked, scaled and clipped by the agreed bounds,
    shuffled and encrypted here; nothing else leaves this machine.
    """
    options = {
        "study": study,
        "identity": identity,
        "address": address,
        "data": data,
        "id_column": id_column,
        "key_fingerprint": key_fingerprint,
        "patience": patience,
    }
    settings = load_config(PartyConfig, config, options)
    verify_summary(summary)
    spec = load_study(settings.study)
    own = load_identity(settings.identity)
    with open_progress(progress) as shown:
        cohort = load_cohort(settings.data, settings.id_column, spec.features, settings.columns)
        for warning in cohort.warnings:
            shown.message(f"warning: {warning}")

        from mpcseg.nodes.party import run_party  # noqa: PLC0415  not needed to refuse a table

        done = run_party(
            spec,
            own,
            settings.address,
            cohort,
            shown,
            patience=settings.patience,
            key_fingerprint=settings.key_fingerprint,
        )
        records = "1 record" if done.n_records == 1 else f"{done.n_records:,} records"
        shown.message(f"the study is finished; {records} left this node as ciphertexts only")
    write_summary(done, summary)
