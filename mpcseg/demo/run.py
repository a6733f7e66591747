"""One demonstration from its options to its files."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from rich.console import Console

from mpcseg.demo.children import Children
from mpcseg.demo.commands import Commands
from mpcseg.demo.comparison import compare, verify_scikit_learn
from mpcseg.demo.first_report import write_first_report
from mpcseg.demo.outcome import Summaries, outcome_document, read_summaries
from mpcseg.demo.screen import (
    Screen,
    render_comparison,
    render_labels,
    render_views,
    show_beginning,
    show_end,
)
from mpcseg.demo.tables import DealtTables, generated_tables, tables_from_file, verify_enough
from mpcseg.demo.workspace import StudyShape, Workspace, make_workspace, write_tables
from mpcseg.errors import ConfigError
from mpcseg.report.export import read_segments_json
from mpcseg.report.files import (
    SEGMENTS_CSV,
    SEGMENTS_JSON,
    verify_output_file,
    verify_output_folder,
    write_json,
    write_text,
)
from mpcseg.report.progress import RichProgress
from mpcseg.report.table import SegmentsView

# Where the segment tables go unless asked otherwise; made when it is not there.
DEFAULT_FOLDER = Path("mpcseg-demo")


@dataclass(frozen=True)
class DemoOptions:
    """What a demonstration is asked for.

    Attributes:
        data: a real table, or None for generated customers.
        id_column: heading of its identifiers.
        features: its columns to cluster on.
        log1p: those of them to transform by log1p.
        parties: how many party nodes.
        clusters: how many segments.
        rounds: Lloyd rounds at most.
        seed: of the generated customers and the starting centroids.
        epsilon: privacy budget, or ``none``.
        workers: worker processes of the compute node.
        tables: folder to write the parties' tables to, and do no more.
        keep: folder for all nodes' files; None for a temporary one.
        segments_csv: where the segment table is written as CSV.
        segments_json: where it is written as JSON.
        outcome: where everything that was found and measured is written as JSON, if anywhere.
        report: folder of the segment report, if one is wanted.
    """

    data: Path | None
    id_column: str | None
    features: tuple[str, ...]
    log1p: tuple[str, ...]
    parties: int
    clusters: int
    rounds: int
    seed: int
    epsilon: float | Literal["none"]
    workers: int
    tables: Path | None
    keep: Path | None
    segments_csv: Path
    segments_json: Path
    outcome: Path | None
    report: Path | None = None


def run_demo(options: DemoOptions, console: Console) -> None:
    """Run a whole study on this machine, show it, and write its results.

    Args:
        options: what to do.
        console: where to show it.

    Raises:
        MpcsegError: bad options or data; or a node failed, in which case the error is the node's.
    """
    verify_scikit_learn()
    if options.tables is None:
        for path in (options.segments_csv, options.segments_json, options.outcome):
            if path is not None:
                verify_output_file(path, made=DEFAULT_FOLDER)
        if options.report is not None:
            inside = options.report.parent == DEFAULT_FOLDER
            verify_output_folder(DEFAULT_FOLDER if inside else options.report)
    tables = _tables(options)
    verify_enough(tables.n_records, options.clusters)
    if options.tables is not None:
        for path in write_tables(options.tables, tables):
            console.print(f"written: {path}", highlight=False)
        return
    with _folder(options.keep) as folder:
        shape = StudyShape(options.clusters, options.rounds, options.seed, options.epsilon)
        workspace = make_workspace(folder, tables, shape, workers=options.workers)
        show_beginning(console, tables, workspace, options.workers)
        began = time.monotonic()
        run_nodes(workspace, console)
        seconds = time.monotonic() - began
        summaries = read_summaries(workspace)
        _finish(options, console, (workspace, tables, summaries), seconds)


def _tables(options: DemoOptions) -> DealtTables:
    if options.data is None:
        if options.features or options.log1p or options.id_column:
            raise ConfigError(
                "--features, --log1p and --id-column need --data", "Name a table with --data."
            )
        return generated_tables(options.parties, options.seed)
    if not options.features or options.id_column is None:
        raise ConfigError(
            "--data needs --id-column and --features",
            "Name the column of identifiers and the columns to cluster on.",
        )
    return tables_from_file(
        options.data,
        options.id_column,
        options.features,
        options.log1p,
        options.parties,
        n_clusters=options.clusters,
    )


def run_nodes(
    workspace: Workspace, console: Console, before_closing: Callable[[], None] = lambda: None
) -> None:
    """Run the study from the first node's start to the closing record.

    Args:
        workspace: all folders.
        console: where progress is shown.
        before_closing: called when all have their results, while the compute node still has
            everything.
    """
    commands = Commands(workspace)
    steps = Counter({"key run": 1, "party run": len(workspace.parties)})
    with RichProgress(console) as progress, Children() as children:
        screen = Screen(console, progress)
        children.start(workspace.compute, commands.serve())
        for node, report in children.reports():
            screen.show(node, report)
            if node.role == "compute" and report.get("kind") == "listening":
                commands.address = report["facts"]["address"]
                children.start(workspace.key, commands.key())
                for party in workspace.parties:
                    children.start(party, commands.party(party))
            if report["report"] != "ended":
                continue
            steps.subtract([report["step"]])
            if report["step"] in ("key run", "party run") and not steps.total():
                steps["party results"] = len(workspace.parties)
                for party in workspace.parties:
                    children.start(party, commands.results(party))
            elif report["step"] == "party results" and not steps.total():
                before_closing()
                children.start(workspace.key, commands.close())


def _finish(
    options: DemoOptions,
    console: Console,
    study: tuple[Workspace, DealtTables, Summaries],
    seconds: float,
) -> None:
    """Compare, show and write."""
    workspace, tables, summaries = study
    result = summaries.result
    comparison = compare(
        tables.pooled_records(),
        np.array(result["cluster_centers_scaled"]),
        np.array(result["starting_centers_scaled"]),
        result["n_rounds"],
    )
    console.print(render_views(workspace, tables, summaries))
    console.print(SegmentsView(read_segments_json(workspace.parties[0].results / SEGMENTS_JSON)))
    console.print(render_labels(summaries))
    console.print(render_comparison(comparison, result["n_rounds"]))
    written = [options.segments_csv, options.segments_json]
    for source, target in zip((SEGMENTS_CSV, SEGMENTS_JSON), written, strict=True):
        write_text(target, (workspace.parties[0].results / source).read_text(encoding="utf-8"))
    if options.outcome is not None:
        write_json(
            options.outcome, outcome_document(workspace, tables, summaries, comparison, seconds)
        )
        written.append(options.outcome)
    if options.report is not None:
        written += write_first_report(workspace, options.report, console)
    show_end(console, seconds, written)


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """The working folder; a temporary one is removed, for it holds private keys."""
    if keep is not None:
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="mpcseg-demo-") as folder:
        yield Path(folder)
