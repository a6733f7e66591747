"""``mpcseg audit dpia``: a data-protection impact assessment with the study's facts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mpcseg.errors import OutputError
from mpcseg.report.files import verify_output_file, write_text
from mpcseg.study.agreement import load_unsigned


def dpia(
    *,
    study: Annotated[Path, typer.Argument(help="A draft (TOML) or an agreement file.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", help="Write it here, for this user only; else it is printed."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file if there is one.")
    ] = False,
) -> None:
    """Fill a data-protection impact assessment (Art. 35 GDPR) with the study's facts.

    Markdown: purpose, columns, recipients, retention, noise, what is decrypted, measures with what
    shows each, and the risks that this study has. What people have to decide is marked "To be
    completed". Needs no node and no network.
    """
    # TenSEAL takes a while to import.
    from mpcseg.nodes.planning import study_plan  # noqa: PLC0415
    from mpcseg.verification.dpia import assessment  # noqa: PLC0415

    if output is not None:
        _verify_output(output, overwrite=overwrite)
    agreement = load_unsigned(study)
    document = assessment(agreement, study_plan(agreement.spec))
    if output is None:
        typer.echo(document, nl=False)
    else:
        write_text(output, document)
        typer.echo(f"impact assessment: {output}")


def _verify_output(output: Path, *, overwrite: bool) -> None:
    verify_output_file(output)
    if output.exists() and not overwrite:
        raise OutputError(
            f"{output} exists already, and may hold what somebody has written",
            "Choose another --output, or give --overwrite.",
        )
