"""What a node reports, shown to a person (bars or plain lines) or to a program (JSON lines)."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from mpcseg.nodes.events import is_shown
from mpcseg.report.files import jsonable
from mpcseg.text import one_line


class RichProgress:
    """Bars on a terminal, plain lines elsewhere. Methods may be called from any thread.

    Args:
        console: where to show it.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> RichProgress:
        """Start drawing."""
        self._bars.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop drawing and leave the last state on the screen."""
        self._bars.stop()

    def message(self, text: str) -> None:
        """Show a sentence."""
        self._console.print(escape(one_line(text)), soft_wrap=True, highlight=False)

    def start(self, task: str, total: int, unit: str) -> None:
        """Show a new bar, or a line."""
        with self._lock:
            if task in self._tasks:  # the task is done again, such as an upload after a break
                self._bars.remove_task(self._tasks.pop(task))
            self._tasks[task] = self._bars.add_task(
                escape(one_line(task)), total=total, unit=escape(one_line(unit))
            )
        if not self._console.is_terminal:
            self.message(f"{task}: 0 of {total} {unit}")

    def advance(self, task: str, amount: int = 1) -> None:
        """Move a bar."""
        with self._lock:
            self._bars.advance(self._tasks[task], amount)

    def finish(self, task: str) -> None:
        """Leave the bar as it stands; a line says how far it came."""
        with self._lock:
            bar = self._tasks.pop(task)
            state = next(state for state in self._bars.tasks if state.id == bar)
            self._bars.stop_task(bar)
        if not self._console.is_terminal:
            elapsed = f"{state.elapsed or 0.0:.1f} s"
            self.message(
                f"{task}: {state.completed:.0f} of {state.total:.0f} {state.fields['unit']}, "
                f"{elapsed}"
            )

    def discard(self, task: str) -> None:
        """Take a bar off the screen."""
        with self._lock:
            self._bars.remove_task(self._tasks.pop(task))

    def event(self, kind: str, **facts: object) -> None:
        """Show an event as a line of its facts, where it has one."""
        if is_shown(kind):
            self.message(event_line(kind, facts))


class JsonLinesProgress:
    """One JSON object per line, flushed at once, for the program that started this node.

    Args:
        stream: where to write.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def message(self, text: str) -> None:
        """Write a sentence."""
        self._write({"report": "message", "text": text})

    def start(self, task: str, total: int, unit: str) -> None:
        """Write the start of a task."""
        self._write({"report": "start", "task": task, "total": total, "unit": unit})

    def advance(self, task: str, amount: int = 1) -> None:
        """Write an advance."""
        self._write({"report": "advance", "task": task, "amount": amount})

    def finish(self, task: str) -> None:
        """Write the end of a task."""
        self._write({"report": "finish", "task": task})

    def event(self, kind: str, **facts: object) -> None:
        """Write an event with its facts."""
        self._write({"report": "event", "kind": kind, "facts": facts})

    def _write(self, report: Mapping[str, object]) -> None:
        line = json.dumps(_lines(jsonable(report)), allow_nan=False)
        with self._lock:
            self._stream.write(line + "\n")
            self._stream.flush()


def _lines(value: Any) -> Any:
    """Plain data with every text made fit for whoever shows it."""
    if isinstance(value, str):
        return one_line(value)
    if isinstance(value, dict):
        return {one_line(name): _lines(entry) for name, entry in value.items()}
    return [_lines(entry) for entry in value] if isinstance(value, list) else value


def event_line(kind: str, facts: Mapping[str, object]) -> str:
    """An event as one line for a person; one that nobody has given words is shown by its facts."""
    if "study" in facts:  # one of several on this screen
        others = {name: value for name, value in facts.items() if name != "study"}
        return f"{facts['study']}: {event_line(kind, others)}"
    words = _WORDS.get(kind)
    if words is not None:
        return words(facts)
    shown = [f"{name.replace('_', ' ')} {_fact(value)}" for name, value in facts.items()]
    return f"{kind}: {', '.join(shown)}" if shown else kind


def _joined(facts: Mapping[str, object]) -> str:
    node = f"{facts['role']} node {facts['node']}"
    if "compute" in facts:
        return f"joined the study at {facts['compute']} as {node}"
    return f"{node} has joined" + (" again, as a new process" if facts["anew"] else "")


def _round(facts: Mapping[str, object]) -> str:
    sign = jsonable(facts.get("sign")) or ()
    degrees = f", sign {','.join(str(degree) for degree in sign)}" if sign else ""
    parts = []
    if (sizes := jsonable(facts.get("sizes"))) is not None:
        parts.append("customers per segment " + "  ".join(f"{size:,.0f}" for size in sizes))
    elif "n_records" in facts:
        parts.append(f"{facts['n_records']:,} customers in all")
    if (shift := facts.get("shift")) is not None:
        parts.append(f"largest move {shift:.3f} sd")
    if "releases" in facts:
        parts.append(f"{facts['releases']} masked sums released")
    parts.append(f"{facts['seconds']:.1f} s")
    parts += [str(note) for note in jsonable(facts.get("notes")) or ()]
    return f"round {facts['index']} ({facts['round_kind']}{degrees}): {'; '.join(parts)}"


def _results_ready(facts: Mapping[str, object]) -> str:
    if (count := facts.get("n_records")) is None:
        return "the study has its results"
    records = "1 record" if count == 1 else f"{count:,} records"
    return f"the study has its results; {records} left this node as ciphertexts only"


_WORDS: dict[str, Callable[[Mapping[str, object]], str]] = {
    "metrics": lambda facts: f"metrics: http://{facts['address']}/metrics",
    "listening": lambda facts: f"listening on {facts['address']}",
    "joined": _joined,
    "keys": lambda facts: f"fingerprint of the public encryption key: {facts['fingerprint']}",
    "all_parties_ready": lambda _: "all parties' blocks are complete; the rounds begin",
    "party_ready": lambda facts: (
        f"party node {facts['node']}: {facts['n_blocks']} encrypted "
        f"{'block' if facts['n_blocks'] == 1 else 'blocks'}"
    ),
    "round": _round,
    "cohort": lambda facts: str(facts["account"]),
    "cohort_warning": lambda facts: f"warning: {facts['warning']}",
    "results_ready": _results_ready,
    "worker_restarted": lambda facts: (
        f"{facts['restarts']} worker processes died and were replaced"
    ),
}


def _fact(value: object) -> str:
    value = jsonable(value)
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return " ".join(_fact(entry) for entry in value) or "none"
    return "none" if value is None else str(value)
