"""The events that nodes report, by name: how each is logged, and which of its facts may be.

Names and facts are stable; docs/observability.md lists them. What is not listed here is not logged:
the key node's rounds carry sizes and moves for its operator's screen, and a log is copied to places
that nobody has agreed on. Runs on: every node.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from mpcseg.nodes.progress import Progress
from mpcseg.privacy.ledger import Ledger, finite
from mpcseg.study.spec import StudySpec
from mpcseg.wire import events as wire

PHASES = ("keys", "blocks", "rounds", "results", "over")
"""How far a study is, as logs, metrics and `mpcseg study status` name it."""


@dataclass(frozen=True)
class EventKind:
    """One kind of event.

    Attributes:
        says: what has happened, for the documentation.
        facts: those that a log may hold; none of them depends on a record.
        level: of its line in a log.
        is_logged: whether it gets a line at all.
        is_shown: whether it gets a line on a screen; others are in a message's words already.
    """

    says: str
    facts: tuple[str, ...] = ()
    level: int = logging.INFO
    is_logged: bool = True
    is_shown: bool = True


EVENTS: dict[str, EventKind] = {
    "started": EventKind("the process begins", ("version", "pid"), is_shown=False),
    "message": EventKind("a sentence for the operator", ("text",)),
    "task_started": EventKind("a piece of work begins", ("task", "total", "unit")),
    "task_finished": EventKind(
        "it is done, or given up", ("task", "done", "total", "unit", "seconds")
    ),
    "metrics": EventKind("the node can be scraped; told to the screen alone", is_logged=False),
    "listening": EventKind("the compute node can be dialled", ("address",)),
    "joined": EventKind(
        "a node has entered the study", ("node", "role", "anew", "resumes", "compute")
    ),
    "resumed": EventKind("an earlier process's study is gone on with", ("phase",), is_shown=False),
    "phase": EventKind("the study has come to a phase", ("phase",), is_shown=False),
    "keys": EventKind("the keys are published", ("fingerprint",)),
    "party_ready": EventKind("a party's blocks are complete", ("node",)),
    "all_parties_ready": EventKind("all parties' blocks are complete"),
    "round": EventKind("a round is done", ("index", "round_kind", "releases", "seconds")),
    "budget": EventKind(
        "a round is paid for", ("index", "epsilon_spent", "epsilon_agreed"), is_shown=False
    ),
    "cohort": EventKind("the table is read; its numbers are shown on the screen alone"),
    "cohort_warning": EventKind(
        "something about the table; shown on the screen alone", level=logging.WARNING
    ),
    "results_ready": EventKind("the study has its results"),
    "refused": EventKind(
        "a call was refused", ("call", "code"), level=logging.WARNING, is_shown=False
    ),
    "retry": EventKind(
        "the compute node does not answer; the call is repeated",
        ("attempt", "pause_seconds"),
        level=logging.WARNING,
        is_shown=False,
    ),
    "node_absent": EventKind(
        "a node that the study needs went away",
        ("node", "role", "seconds_left"),
        level=logging.WARNING,
        is_shown=False,
    ),
    "node_back": EventKind("it is back", ("node", "role"), is_shown=False),
    "worker_restarted": EventKind(
        "worker processes died and were replaced", ("restarts",), level=logging.WARNING
    ),
    "blob": EventKind(
        "a blob has crossed a link; for metrics",
        ("link", "blob_kind", "n_bytes"),
        is_logged=False,
        is_shown=False,
    ),
    "ended": EventKind("the process ends as it should", ("seconds",), is_shown=False),
    "suspended": EventKind(
        "the process stops and can be started again",
        ("code", "exit_status", "text", "hint"),
        level=logging.WARNING,
        is_shown=False,
    ),
    "failed": EventKind(
        "the process ends with an error",
        ("code", "exit_status", "text", "hint"),
        level=logging.ERROR,
        is_shown=False,
    ),
}


def is_shown(kind: str) -> bool:
    """Whether an event gets a line on a screen."""
    known = EVENTS.get(kind)
    return known is None or known.is_shown


_PHASE_AFTER: dict[type[wire.Event], str] = {
    wire.KeysReady: "blocks",
    wire.AllPartiesReady: "rounds",
    wire.ResultsReady: "results",
    wire.StudyAborted: "over",
}


def tell_phase_after(progress: Progress, event: wire.Event) -> None:
    """Report the phase that the study has come to with an event. Party and key node."""
    if (phase := _PHASE_AFTER.get(type(event))) is not None:
        progress.event("phase", phase=phase)


def tell_absence(progress: Progress, event: wire.Event) -> None:
    """Report who is missing, or back. Every node."""
    match event:
        case wire.NodeAbsent(node, role, left):
            progress.message(
                f"{role.value} node {node} does not answer; the study waits {left:.0f} s for it"
            )
            progress.event("node_absent", node=node, role=role.value, seconds_left=round(left))
        case wire.NodeBack(node, role):
            progress.message(f"{role.value} node {node} is back")
            progress.event("node_back", node=node, role=role.value)


def tell_budget(progress: Progress, ledger: Ledger, spec: StudySpec, index: int) -> None:
    """Report what the study has spent, once a round is paid for; both numbers are everybody's."""
    agreed = spec.privacy.epsilon
    progress.event(
        "budget",
        index=index,
        epsilon_spent=finite(ledger.epsilon),
        epsilon_agreed=None if agreed == "none" else agreed,
    )
