"""How far the study is, as the compute node tells it to one of its organisations.

Each organisation is told what its own role may know: how many blocks a party has is that party's
and the compute node's. Runs on: compute node.
"""

from __future__ import annotations

from mpcseg.nodes.events import tell_absence
from mpcseg.nodes.progress import Progress
from mpcseg.nodes.roles import Caller, Role
from mpcseg.nodes.study_course import Phase
from mpcseg.nodes.study_state import StudyState
from mpcseg.wire.study_status import NodeStatus, Presence, StudyPhase, StudyStatus


class Narrator:
    """Reports to the compute node's operator how the study goes, and who is missing.

    Args:
        state: of the study.
        progress: the compute node's own.
    """

    def __init__(self, state: StudyState, progress: Progress) -> None:
        self._state, self._progress = state, progress
        self._told = len(state.events)
        self._phase: Phase | None = None

    def tell(self) -> None:
        """Report what has happened since the last time."""
        state = self._state
        for event in state.events[self._told :]:
            self._told += 1
            tell_absence(self._progress, event)
        if state.phase is not self._phase:
            self._phase = state.phase
            self._progress.event("phase", phase=state.phase.name.lower())


def status_for(
    state: StudyState, organisation: str, *, now: float, seconds: float, fetched: bool
) -> StudyStatus:
    """Return the status of a study as an organisation of it may know it.

    Args:
        state: of the study.
        organisation: who asks, by its certificate.
        now: seconds of the clock that the state's ``tick`` is told.
        seconds: since this process began.
        fetched: whether the organisation has fetched its results.
    """
    rules, rounds = state.rules, state.rounds
    return StudyStatus(
        phase=StudyPhase[state.phase.name],
        nodes=tuple(_node(state, node, organisation, now) for node in (rules.key, *rules.parties)),
        rounds_opened=len(rounds.orders),
        rounds_released=rounds.n_released,
        rounds_at_most=rules.most_rounds,
        running=rounds.running,
        is_recipient=organisation in rules.recipients,
        results_fetched=fetched,
        seconds=seconds,
        ending=state.ending.reason if state.ending else None,
        error=state.ending.error if state.ending else "",
    )


def _node(state: StudyState, node: Caller, organisation: str, now: float) -> NodeStatus:
    absent = state.membership.absent_seconds(node, now)
    if absent is None:
        presence = Presence.AWAITED
    elif absent == 0:
        presence = Presence.HERE
    else:
        presence = Presence.ABSENT if state.is_running else Presence.LEFT
    if node.role is Role.KEY:
        ready, n_blocks = state.phase is not Phase.KEYS, None
    else:
        ready, n_blocks = node in state.n_blocks, state.n_blocks.get(node)
    may_know = organisation in (node.name, state.rules.compute)
    return NodeStatus(
        node=node.name,
        role=node.role,
        presence=presence,
        ready=ready,
        absent_seconds=(absent or 0.0) if presence is Presence.ABSENT else 0.0,
        n_blocks=n_blocks if may_know else None,
    )
