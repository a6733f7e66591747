"""The segment report of the first party, at the end of a demonstration."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from mpcseg.demo.workspace import Workspace
from mpcseg.report.checkpoints import known_checkpoints
from mpcseg.report.files import RESULTS_FILE
from mpcseg.report.formats import Format, has_report_extra
from mpcseg.study.results import read_results


def write_first_report(workspace: Workspace, folder: Path, console: Console) -> list[Path]:
    """Write the report of what the first party has received, or say what is missing for it.

    Args:
        workspace: of the finished study.
        folder: for the report.
        console: where to say so.

    Returns:
        What was written.
    """
    if not has_report_extra():
        console.print(
            "No segment report: install its packages with pip install 'mpcseg[report]'",
            highlight=False,
            markup=False,
        )
        return []
    # An extra, and slow to load.
    from mpcseg.report.document import report_document  # noqa: PLC0415
    from mpcseg.report.received import Received  # noqa: PLC0415
    from mpcseg.report.write import write_report  # noqa: PLC0415

    party, spec = workspace.parties[0], workspace.spec
    opened = read_results(spec, (party.results / RESULTS_FILE).read_bytes())
    checkpoints = known_checkpoints(spec, party.audit)
    received = Received(spec, opened, is_verified=False, checkpoints=checkpoints)
    return list(write_report(report_document(received), folder, tuple(Format)))
