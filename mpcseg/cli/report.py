"""``mpcseg report``: what an organisation has received, as a report that people read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mpcseg.cli.agreed import study_to_end
from mpcseg.cli.config import AUDIT_FOLDER
from mpcseg.cli.options import (
    AddressOption,
    IdentityOption,
    PatienceOption,
    ProxyOption,
    RenewalOption,
)
from mpcseg.cli.passphrase import load_own_identity
from mpcseg.cli.progress import ProgressMode
from mpcseg.cli.results import opened_results, sealed_results
from mpcseg.errors import ConfigError
from mpcseg.report.checkpoints import known_checkpoints
from mpcseg.report.files import verify_output_folder
from mpcseg.report.formats import parse_formats, verify_report_extra
from mpcseg.study.agreement import verify_member
from mpcseg.study.follows import verify_follows
from mpcseg.study.results import Results, open_results
from mpcseg.study.spec import StudySpec

_PATIENCE = 30.0


def report(  # noqa: PLR0913  each is an option of the command line
    *,
    study: Annotated[Path, typer.Argument(help="The agreement file.")],
    output: Annotated[
        Path, typer.Option("--output", help="Folder for the report; its files are replaced.")
    ],
    formats: Annotated[
        str,
        typer.Option(
            "--format",
            help="Which files, separated by commas: html, pdf, xlsx, json, and csv and parquet "
            "for a file per table.",
        ),
    ] = "html",
    identity: IdentityOption = None,
    sealed: Annotated[
        Path | None,
        typer.Option("--sealed", help="Open this file of sealed results."),
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(
            "--results",
            help="Take results that were opened earlier (results.json, or its folder); needs no "
            "identity, and the report says that no signature was checked.",
        ),
    ] = None,
    address: AddressOption = None,
    audit: Annotated[
        Path | None,
        typer.Option(
            "--audit",
            help="Folder of this organisation's audit logs of the study: their checkpoints are "
            "named in the report.",
        ),
    ] = None,
    renewal: RenewalOption = None,
    former_study: Annotated[
        Path | None,
        typer.Option("--former-study", help="The agreement of the study that this one follows."),
    ] = None,
    former_results: Annotated[
        Path | None,
        typer.Option(
            "--former-results",
            help="Opened results of that study (results.json): the report says what has changed.",
        ),
    ] = None,
    proxy: ProxyOption = None,
    patience: PatienceOption = None,
) -> None:
    """Make the segment report of what this organisation has received.

    From results that are sealed to it (a file, or fetched from the compute node), or were opened
    earlier. The report holds what the key node released, and what follows from that alone: making
    it costs no privacy budget, sends nothing, and needs no network but to fetch.
    """
    wanted = parse_formats(formats)
    verify_report_extra()
    verify_output_folder(output)
    spec = study_to_end(study, renewal or ())
    former = _former(spec, former_study, former_results)
    given = [what for what in (sealed, results, address) if what is not None]
    if len(given) != 1:
        raise ConfigError(
            "no results are named" if not given else "results are named more than once",
            "Give one of --sealed FILE, --results FILE and --address HOST:PORT.",
        )
    is_verified = results is None
    if results is not None:
        opened = opened_results(spec, results)
    else:
        if identity is None:
            raise ConfigError(
                "sealed results are opened with an identity, and none is given",
                "Name its folder: --identity FOLDER.",
            )
        own = load_own_identity(identity)
        verify_member(spec, own)
        content = sealed_results(
            spec,
            own,
            sealed,
            address,
            audit=audit or AUDIT_FOLDER,
            patience=_PATIENCE if patience is None else patience,
            proxy=proxy,
            mode=ProgressMode.AUTO,
        )
        opened = open_results(spec, own, content)

    # An extra, and slow to load.
    from mpcseg.report.document import report_document  # noqa: PLC0415
    from mpcseg.report.received import Received  # noqa: PLC0415
    from mpcseg.report.write import write_report  # noqa: PLC0415

    checkpoints = () if audit is None else known_checkpoints(spec, audit)
    document = report_document(Received(spec, opened, is_verified, checkpoints, former))
    for path in write_report(document, output, wanted):
        typer.echo(f"written: {path}")


def _former(spec: StudySpec, study: Path | None, results: Path | None) -> Results | None:
    """Results of the study that this one follows, which must be its former one."""
    if study is None and results is None:
        return None
    if study is None or results is None:
        raise ConfigError(
            "what has changed is told from the former study's agreement and its results",
            "Give both: --former-study and --former-results.",
        )
    former = study_to_end(study)
    verify_follows(spec, former)
    return opened_results(former, results)
