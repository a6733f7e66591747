"""How far a study is, as the compute node tells an organisation of it; free of values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar, get_args

from mpcseg.errors import ProtocolError
from mpcseg.study.closing import Reason
from mpcseg.text import one_line
from mpcseg.wire.conversions import role_from_wire, role_to_wire
from mpcseg.wire.events import RoundProgress
from mpcseg.wire.names import Role
from mpcseg.wire.v1 import event_pb2, status_pb2

T = TypeVar("T")


class StudyPhase(StrEnum):
    """How far a study is."""

    KEYS = "keys"
    BLOCKS = "blocks"
    ROUNDS = "rounds"
    RESULTS = "results"
    OVER = "over"


class Presence(StrEnum):
    """Whether a node is there."""

    AWAITED = "awaited"
    HERE = "here"
    ABSENT = "absent"
    LEFT = "left"


_PHASES = {
    StudyPhase.KEYS: status_pb2.STUDY_PHASE_KEYS,
    StudyPhase.BLOCKS: status_pb2.STUDY_PHASE_BLOCKS,
    StudyPhase.ROUNDS: status_pb2.STUDY_PHASE_ROUNDS,
    StudyPhase.RESULTS: status_pb2.STUDY_PHASE_RESULTS,
    StudyPhase.OVER: status_pb2.STUDY_PHASE_OVER,
}
_PHASES_BACK = {int(number): phase for phase, number in _PHASES.items()}
_PRESENCES = {
    Presence.AWAITED: status_pb2.NODE_PRESENCE_AWAITED,
    Presence.HERE: status_pb2.NODE_PRESENCE_HERE,
    Presence.ABSENT: status_pb2.NODE_PRESENCE_ABSENT,
    Presence.LEFT: status_pb2.NODE_PRESENCE_LEFT,
}
_PRESENCES_BACK = {int(number): presence for presence, number in _PRESENCES.items()}
_CODE_CHARACTERS = 64


@dataclass(frozen=True)
class NodeStatus:
    """One node that dials out.

    Attributes:
        node: its organisation.
        role: of the node.
        presence: whether it is there.
        ready: the key node's keys, or the party's blocks, are complete.
        absent_seconds: how long it has been away; 0 where it is not.
        n_blocks: of a party that is ready; None where it is not the caller's to know.
    """

    node: str
    role: Role
    presence: Presence
    ready: bool
    absent_seconds: float = 0.0
    n_blocks: int | None = None


@dataclass(frozen=True)
class StudyStatus:
    """How far a study is.

    Attributes:
        phase: keys, blocks, rounds, results, over.
        nodes: key node and parties, in the agreement's order.
        rounds_opened: rounds that the key node has asked for.
        rounds_released: those that are computed.
        rounds_at_most: how many there can be.
        running: how far the round that runs is; None between rounds.
        is_recipient: results are sealed to the caller.
        results_fetched: the caller has fetched them.
        seconds: since the compute node's process began.
        ending: why the study is over, as in its closing record; None while it is not.
        error: the code of the error behind an abort; empty otherwise.
    """

    phase: StudyPhase
    nodes: tuple[NodeStatus, ...]
    rounds_opened: int
    rounds_released: int
    rounds_at_most: int
    running: RoundProgress | None
    is_recipient: bool
    results_fetched: bool
    seconds: float
    ending: Reason | None
    error: str


def status_to_wire(status: StudyStatus) -> status_pb2.GetStatusReply:
    """Return the ``GetStatusReply`` message."""
    return status_pb2.GetStatusReply(
        phase=_PHASES[status.phase],
        nodes=[_node_to_wire(node) for node in status.nodes],
        rounds_opened=status.rounds_opened,
        rounds_released=status.rounds_released,
        rounds_at_most=status.rounds_at_most,
        running=_running_to_wire(status.running),
        is_recipient=status.is_recipient,
        results_fetched=status.results_fetched,
        seconds=status.seconds,
        ending=status.ending or "",
        error=status.error,
    )


def status_from_wire(message: status_pb2.GetStatusReply) -> StudyStatus:
    """Return the status in a ``GetStatusReply``; raises ``ProtocolError`` for what is unknown."""
    running = None
    if message.HasField("running"):
        told = message.running
        running = RoundProgress(told.index, told.tasks_done, told.tasks)
    ending = next((reason for reason in get_args(Reason) if reason == message.ending), None)
    if message.ending and ending is None:
        raise _unknown("an end of the study")
    return StudyStatus(
        phase=_known(_PHASES_BACK, message.phase, "a phase"),
        nodes=tuple(_node_from_wire(node) for node in message.nodes),
        rounds_opened=message.rounds_opened,
        rounds_released=message.rounds_released,
        rounds_at_most=message.rounds_at_most,
        running=running,
        is_recipient=message.is_recipient,
        results_fetched=message.results_fetched,
        seconds=_seconds(message.seconds),
        ending=ending,
        error=one_line(message.error, _CODE_CHARACTERS),
    )


def _running_to_wire(running: RoundProgress | None) -> event_pb2.RoundProgress | None:
    if running is None:
        return None
    return event_pb2.RoundProgress(
        index=running.index, tasks_done=running.tasks_done, tasks=running.tasks
    )


def _node_to_wire(node: NodeStatus) -> status_pb2.NodeStatus:
    return status_pb2.NodeStatus(
        node=node.node,
        role=role_to_wire(node.role),
        presence=_PRESENCES[node.presence],
        ready=node.ready,
        absent_seconds=node.absent_seconds,
        n_blocks=node.n_blocks,
    )


def _node_from_wire(message: status_pb2.NodeStatus) -> NodeStatus:
    return NodeStatus(
        node=message.node,
        role=role_from_wire(message.role),
        presence=_known(_PRESENCES_BACK, message.presence, "a presence"),
        ready=message.ready,
        absent_seconds=_seconds(message.absent_seconds),
        n_blocks=message.n_blocks if message.HasField("n_blocks") else None,
    )


def _known(table: Mapping[int, T], number: int, what: str) -> T:
    if number not in table:
        raise _unknown(what)
    return table[number]


def _seconds(number: float) -> float:
    if not (math.isfinite(number) and number >= 0):
        raise _unknown("a time")
    return number


def _unknown(what: str) -> ProtocolError:
    return ProtocolError(
        f"the compute node tells {what} that is not known here",
        "Install the same version of mpcseg on all nodes.",
    )
