"""``mpcseg study status``: how far a study is, for a person, a program or a scheduler."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from mpcseg.cli.agreed import study_to_end
from mpcseg.cli.config import verify_address
from mpcseg.cli.options import RenewalOption
from mpcseg.cli.passphrase import load_own_identity
from mpcseg.errors import StudyAbortedError, StudyClosedError, WithdrawnError, subclasses
from mpcseg.nodes.progress import Progress, SilentProgress
from mpcseg.study.agreement import verify_member
from mpcseg.study.identity import Identity
from mpcseg.study.spec import StudySpec
from mpcseg.wire.names import Role
from mpcseg.wire.study_status import NodeStatus, Presence, StudyPhase, StudyStatus

STILL_RUNNING = 75
"""Exit status while there are no results yet; EX_TEMPFAIL of sysexits.h: ask again later."""

DEFAULT_PATIENCE = 10.0

_PHASE_WORDS = {
    StudyPhase.KEYS: "waiting for the keys",
    StudyPhase.BLOCKS: "collecting the parties' blocks",
    StudyPhase.ROUNDS: "computing",
    StudyPhase.RESULTS: "finished: its results can be fetched",
    StudyPhase.OVER: "over",
}


def status(  # noqa: PLR0913  each is an option of the command line
    *,
    file: Annotated[Path, typer.Argument(help="The agreement file.")],
    identity: Annotated[
        Path, typer.Option("--identity", help="Folder made by `mpcseg identity new`.")
    ],
    address: Annotated[str, typer.Option("--address", help="The compute node, as HOST:PORT.")],
    renewal: RenewalOption = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on showing it until the study ends or has results.")
    ] = False,
    interval: Annotated[
        float, typer.Option("--interval", min=0.2, help="Seconds between two looks, with --watch.")
    ] = 2.0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Write JSON; with --watch, an object for each change.")
    ] = False,
    patience: Annotated[
        float, typer.Option("--patience", help="Seconds to wait for a compute node that is silent.")
    ] = DEFAULT_PATIENCE,
) -> None:
    """Show how far a study is, as the compute node tells it to this organisation.

    For any organisation of the agreement, whether one of its nodes runs or not. Exit status 0: the
    study has its results, or ended after it had. 75: it goes on, ask again. Otherwise the status of
    the error that ended it, or of what keeps the compute node from answering.
    """
    verify_address(address)
    spec = study_to_end(file, renewal or ())
    own = load_own_identity(identity)
    verify_member(spec, own)
    look = _Look(spec, own, address, patience)
    show = _show_json if as_json else _show_table
    raise typer.Exit(exit_status(show(look, watch, interval)))


def exit_status(status: StudyStatus) -> int:
    """The exit status that stands for a study's status."""
    if status.phase is StudyPhase.RESULTS or status.ending == "retention":
        return 0
    if status.phase is not StudyPhase.OVER:
        return STILL_RUNNING
    if status.ending == "withdrawn":
        return WithdrawnError.exit_status
    if status.ending == "closed":
        is_complete = status.rounds_released == status.rounds_opened > 0 and not status.error
        return 0 if is_complete and status.results_fetched else StudyClosedError.exit_status
    return subclasses().get(status.error, StudyAbortedError).exit_status


class _Look:
    """Asks the compute node."""

    def __init__(self, spec: StudySpec, own: Identity, address: str, patience: float) -> None:
        self.spec = spec
        self._own, self._address, self._patience = own, address, patience

    def __call__(self) -> StudyStatus:
        from mpcseg.nodes.requests import study_status  # noqa: PLC0415  gRPC takes a while

        quiet: Progress = SilentProgress()
        return study_status(self.spec, self._own, self._address, quiet, patience=self._patience)


def _ended(status: StudyStatus) -> bool:
    return status.phase in (StudyPhase.RESULTS, StudyPhase.OVER)


def _show_json(look: _Look, watch: bool, interval: float) -> StudyStatus:
    shown = None
    while True:
        status = look()
        document = status_document(look.spec, status)
        if (content := {k: v for k, v in document.items() if k != "seconds"}) != shown:
            shown = content
            typer.echo(json.dumps(document, indent=None if watch else 2))
        if not watch or _ended(status):
            return status
        time.sleep(interval)


def _show_table(look: _Look, watch: bool, interval: float) -> StudyStatus:
    console = Console()
    status = look()
    if not watch:
        console.print(status_view(look.spec, status))
        return status
    with Live(status_view(look.spec, status), console=console, auto_refresh=False) as live:
        while not _ended(status):
            time.sleep(interval)
            status = look()
            live.update(status_view(look.spec, status), refresh=True)
    return status


def status_document(spec: StudySpec, status: StudyStatus) -> dict[str, object]:
    """A study's status as JSON has it."""
    nodes = [{**asdict(node), "role": node.role.value} for node in status.nodes]
    return {"study": spec.digest, "name": spec.name, **asdict(status), "nodes": nodes}


def status_view(spec: StudySpec, status: StudyStatus) -> Group:
    """A study's status for a person."""
    lines = [Text(f"study {spec.name}: {_phase(status)}")]
    if status.rounds_opened:
        rounds = f"rounds: {status.rounds_released} done of at most {status.rounds_at_most}"
        if (running := status.running) is not None:
            rounds += f"; round {running.index}: {running.tasks_done} of {running.tasks} tasks"
        lines.append(Text(rounds))
    lines.append(Text(f"compute node up for {status.seconds:,.0f} s"))
    table = Table("node", "role", "is", "has")
    if any(node.n_blocks is not None for node in status.nodes):
        table.add_column("blocks", justify="right")
    for node in status.nodes:
        row = [escape(node.node), node.role.value, _presence(node), _readiness(node)]
        if len(table.columns) > len(row):
            row.append("" if node.n_blocks is None else f"{node.n_blocks:,}")
        table.add_row(*row)
    told = []
    if status.is_recipient and status.phase is StudyPhase.RESULTS:
        had = "are fetched" if status.results_fetched else "can be fetched: mpcseg party results"
        told.append(Text(f"this organisation's results {had}"))
    return Group(*lines, table, *told)


def _phase(status: StudyStatus) -> str:
    words = _PHASE_WORDS[status.phase]
    if status.ending is None:
        return words
    return f"{words} ({status.ending}{f': {status.error}' if status.error else ''})"


def _presence(node: NodeStatus) -> str:
    if node.presence is Presence.ABSENT:
        return f"away for {node.absent_seconds:,.0f} s"
    words = {
        Presence.AWAITED: "not here yet",
        Presence.HERE: "here",
        Presence.LEFT: "gone: its part is done",
    }
    return words[node.presence]


def _readiness(node: NodeStatus) -> str:
    if not node.ready:
        return ""
    return "published its keys" if node.role is Role.KEY else "sent all its blocks"
