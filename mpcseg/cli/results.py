"""An organisation's opened results, on its screen and in its folder."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from mpcseg.cli.progress import ProgressMode, open_progress
from mpcseg.cli.suspension import suspendable
from mpcseg.errors import ConfigError
from mpcseg.report.columns_table import ColumnsView
from mpcseg.report.export import write_segments_csv, write_segments_json
from mpcseg.report.files import RESULTS_FILE, SEGMENTS_CSV, SEGMENTS_JSON, write_json
from mpcseg.report.model import segment_table
from mpcseg.report.table import SegmentsView
from mpcseg.study.documents import read_bytes
from mpcseg.study.identity import Identity
from mpcseg.study.results import Results, read_results, sealed_bytes
from mpcseg.study.spec import StudySpec

_OPENED_BYTES = 64 << 20


def write_results(results: Results, folder: Path) -> None:
    """Write what was received: results.json, and the segment table where the report is part of it.

    Args:
        results: as they were opened.
        folder: made if absent; it and the files are for this user only.

    Raises:
        OutputError: a file cannot be written.
    """
    write_json(folder / RESULTS_FILE, results.document)
    if results.report is not None:
        table = segment_table(results)
        write_segments_csv(table, folder / SEGMENTS_CSV)
        write_segments_json(table, folder / SEGMENTS_JSON)


def opened_results(spec: StudySpec, path: Path) -> Results:
    """Results that were opened earlier.

    Args:
        spec: the study.
        path: results.json, or the folder that `write_results` has written it to.

    Raises:
        ConfigError: the file cannot be read, or holds no results of this study.
    """
    file = path / RESULTS_FILE if path.is_dir() else path
    return read_results(spec, read_bytes(file, "the opened results", limit=_OPENED_BYTES))


def sealed_results(  # noqa: PLR0913  where results can come from
    spec: StudySpec,
    own: Identity,
    file: Path | None,
    address: str | None,
    *,
    audit: Path,
    patience: float,
    proxy: str | None,
    mode: ProgressMode,
) -> bytes:
    """What is sealed to this organisation: from a file, or fetched from the compute node.

    Raises:
        ConfigError: neither a file nor an address is given, or the file cannot be read.
        NodeError: the results cannot be fetched.
    """
    if file is not None:
        return read_bytes(file, "the sealed results", limit=2 * sealed_bytes(spec, own.name))
    if address is None:
        raise ConfigError(
            "results are fetched from the compute node, and no address is given",
            "Give --address HOST:PORT, or --sealed FILE for a file that you were sent.",
        )
    from mpcseg.nodes.requests import fetch_results  # noqa: PLC0415  gRPC takes a while to import

    with suspendable(), open_progress(mode) as shown:
        return fetch_results(spec, own, address, shown, audit=audit, patience=patience, proxy=proxy)


def show_results(results: Results, console: Console) -> None:
    """Show the segment table and profile columns, or say what was received instead."""
    if results.report is not None:
        console.print(SegmentsView(segment_table(results)))
        console.print(ColumnsView(results.report), end="")
    elif results.centroids is not None:
        n_segments = len(results.centroids.segments)
        console.print(
            f"{results.recipient} receives no report of the study {results.study}, but the "
            f"centroids of {n_segments} {'segment' if n_segments == 1 else 'segments'}: "
            "--data, --id-column and --labels label your own customers.",
            highlight=False,
        )
