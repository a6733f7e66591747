"""``mpcseg shapes``: many released segments merged into fewer of any shape, by their recipient."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mpcseg.cli.agreed import study_to_end
from mpcseg.cli.results import opened_results
from mpcseg.report.files import verify_output_file, write_json
from mpcseg.report.merged import MergedView
from mpcseg.shapes.merging import merged_by


class _Method(StrEnum):
    WARD = "ward"
    DENSITY = "density"


def shapes(
    *,
    study: Annotated[Path, typer.Argument(help="The agreement file.")],
    results: Annotated[
        Path,
        typer.Option(
            "--results",
            help="The results.json that `mpcseg party results --output` wrote, or its folder.",
        ),
    ],
    method: Annotated[
        _Method,
        typer.Option(
            "--by",
            help="Join what adds least to the spread (ward, for compact segments), or what no "
            "valley parts (density, for segments of any shape).",
        ),
    ] = _Method.DENSITY,
    segments: Annotated[
        int | None,
        typer.Option(
            "--segments",
            min=1,
            help="How many are wanted. Left out: before the largest gap (ward), or as many as deep "
            "valleys part (density).",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            help="Write the merged segments here (JSON), for `mpcseg party results --merged`.",
        ),
    ] = None,
) -> None:
    """Merge the segments of a study with many of them (12 to 20) into fewer, of other shapes.

    Everything is computed from results that this organisation has already: nothing is sent, and no
    privacy is spent.
    """
    if output is not None:
        verify_output_file(output)
    spec = study_to_end(study)
    merged = merged_by(spec, opened_results(spec, results), method.value, segments)
    console = Console()
    console.print(MergedView(merged))
    if output is not None:
        write_json(output, merged.document)
        console.print(f"Merged segments: {output}", highlight=False, markup=False, soft_wrap=True)
