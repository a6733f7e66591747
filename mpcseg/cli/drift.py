"""``mpcseg drift``: what has changed since the study that this one follows; for people and jobs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mpcseg.cli.agreed import study_to_end
from mpcseg.cli.results import opened_results
from mpcseg.errors import ConfigError, DriftError
from mpcseg.report.drift import Drift, Limits
from mpcseg.report.drift import drift as compared
from mpcseg.report.drift_tables import drift_table, migration_table
from mpcseg.report.drift_words import summary, verdict
from mpcseg.report.files import (
    jsonable,
    verify_output_folder,
    write_json,
)
from mpcseg.report.formats import Format, parse_formats, verify_report_extra
from mpcseg.report.migration import Migration, migration
from mpcseg.report.sections import DataTable
from mpcseg.report.wording import shown
from mpcseg.study.follows import verify_follows
from mpcseg.study.results import Results
from mpcseg.text import one_line

DRIFT_FILE, MIGRATION_FILE = "drift.json", "migration.json"


def drift(  # noqa: PLR0913  each is an option of the command line
    *,
    former: Annotated[
        Path,
        typer.Argument(
            help="Results of the former study: results.json, or the folder that `mpcseg party "
            "results --output` has written."
        ),
    ],
    new: Annotated[Path, typer.Argument(help="Results of the study that follows it, likewise.")],
    study: Annotated[
        Path, typer.Option("--study", help="The agreement of the study that follows.")
    ],
    former_study: Annotated[
        Path, typer.Option("--former-study", help="The agreement of the study that it follows.")
    ],
    psi: Annotated[
        float,
        typer.Option("--psi", min=0, help="Population stability index from which on sizes count."),
    ] = Limits.psi,
    z: Annotated[
        float,
        typer.Option(
            "--z", min=0, help="How far beyond chance a segment has to have moved to count."
        ),
    ] = Limits.z,
    move: Annotated[
        float,
        typer.Option(
            "--move", min=0, help="And by how many standard deviations of all customers at least."
        ),
    ] = Limits.move,
    labels: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            "--labels",
            help="Two files of own customers' labels, the former study's and the new one's: show "
            "who went where. They are read here, and nothing of them is sent.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", help="Folder for drift.json, and migration.json with --labels."),
    ] = None,
    formats: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="Write it as a report into the folder as well: html, pdf, xlsx, csv, parquet and "
            "json, separated by commas.",
        ),
    ] = None,
) -> None:
    """Show how segments have changed since the former study; for schedulers, by the exit status.

    0 where no limit is passed, 80 where one is, anything else for an error. Needs no node and no
    key, and sends nothing: everything is computed from results that this organisation holds.
    """
    if output is not None:
        verify_output_folder(output)
    elif formats is not None:
        raise ConfigError("a report needs a folder", "Name it: --output FOLDER.")
    wanted = parse_formats(formats) if formats is not None else ()
    if wanted:
        verify_report_extra()
    spec, followed = study_to_end(study), study_to_end(former_study)
    verify_follows(spec, followed)
    was, is_ = opened_results(followed, former), opened_results(spec, new)
    found = compared(spec, was, is_, Limits(psi, z, move))
    console = Console()
    moved = migration(*labels) if labels is not None else None
    _show(found, moved, console)
    if output is not None:
        write_json(output / DRIFT_FILE, drift_document(found))
        if moved is not None:
            write_json(output / MIGRATION_FILE, _migration_document(moved))
        if wanted:
            _write_report(output, wanted, found, moved, is_)
        console.print(f"Results: {output}", highlight=False, markup=False, soft_wrap=True)
    if found.exceeded:
        raise DriftError(
            f"the segments of '{found.study}' have changed by more than the limits since "
            f"'{found.former_study}': population stability index {found.psi:.3f}, "
            f"{sum(map(found.moved, found.segments))} segments moved",
            "Look at what has changed before the segments are used as they were.",
        )


def drift_document(found: Drift) -> dict[str, object]:
    """Drift as plain data for JSON."""
    document: dict[str, object] = jsonable(found)
    return {
        **document,
        "sizes_changed": found.sizes_changed,
        "moved": [segment.number for segment in found.segments if found.moved(segment)],
        "exceeded": found.exceeded,
        "in_words": [*summary(found), *(verdict(found, one) for one in found.segments)],
    }


def _migration_document(moved: Migration) -> dict[str, object]:
    return {
        "moved": [
            {"former_segment": former, "segment": number, "customers": count}
            for (former, number), count in sorted(moved.counts.items())
        ],
        "joined": {str(number): count for number, count in sorted(moved.joined.items())},
        "left": {str(former): count for former, count in sorted(moved.left.items())},
    }


def _write_report(
    folder: Path,
    formats: Sequence[Format],
    found: Drift,
    moved: Migration | None,
    new: Results,
) -> None:
    # An extra, and slow to load.
    from mpcseg.report.document import ReportDocument  # noqa: PLC0415
    from mpcseg.report.drift_section import drift_section, migration_section  # noqa: PLC0415
    from mpcseg.report.write import write_report  # noqa: PLC0415

    migrated = migration_section(moved, new.recipient) if moved is not None else None
    document = ReportDocument(
        study=found.study,
        title=f"{found.study} since {found.former_study}",
        subtitle=f"For {new.recipient}, of results made {new.made_at}",
        made_at=new.made_at,
        sections=(drift_section(found), *([migrated] if migrated else [])),
    )
    write_report(document, folder, formats)


def _show(found: Drift, moved: Migration | None, console: Console) -> None:
    # What each feature did is said in words: there is no room for a column each.
    _table(drift_table(found), console, without=re.compile("move_\\d+|.*_z"))
    for sentence in (*summary(found), *(verdict(found, one) for one in found.segments)):
        console.print(Text(one_line(sentence)))
    if moved is not None:
        _table(migration_table(moved), console)


def _table(made: DataTable, console: Console, without: re.Pattern[str] | None = None) -> None:
    table = Table(title=Text(one_line(made.title)))
    kept = [
        place
        for place, column in enumerate(made.columns)
        if without is None or not without.fullmatch(column.name)
    ]
    columns = [made.columns[place] for place in kept]
    for column in columns:
        table.add_column(Text(one_line(column.title)), justify="right")
    for row in made.rows:
        cells = zip((row[place] for place in kept), columns, strict=True)
        table.add_row(*(Text(one_line(shown(cell, column))) for cell, column in cells))
    console.print(table)
