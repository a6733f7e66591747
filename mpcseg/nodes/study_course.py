"""How far a study is, and the ways in which it can end; a state machine without IO.

Runs on: compute node. The rest of the study's state is built on this (study_state.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from mpcseg.errors import (
    MpcsegError,
    ProtocolError,
    StudyAbortedError,
    StudyClosedError,
    WithdrawnError,
    subclasses,
)
from mpcseg.nodes.roles import Caller, Role
from mpcseg.nodes.round_book import RoundBook
from mpcseg.nodes.study_rules import StudyRules
from mpcseg.study.closing import KeyDestroyed, Reason, SignedRequest
from mpcseg.wire import events


class Phase(Enum):
    """How far the study is."""

    KEYS = "waiting for the keys"
    BLOCKS = "collecting blocks"
    ROUNDS = "computing"
    RESULTS = "finished"
    OVER = "over"


@dataclass(frozen=True)
class Ending:
    """Why a study is over.

    Attributes:
        reason: as in the closing record.
        request: of the organisation that asked for it; None where nobody did.
        error: the code of the error behind an abort; empty otherwise.
    """

    reason: Reason
    request: SignedRequest | None = None
    error: str = ""


class StudyCourse:
    """The phases of one study, and its ends.

    Args:
        rules: what the agreement fixes.
        rounds: what was asked for and released.

    Attributes:
        phase: how far the study is.
        events: everything that nodes have been told, in order.
        error: why the study ended before its results were there; None as long as it did not.
        ending: why the study is over; None as long as it is not.
        key_destroyed: the key node's statement that its secret key is no more.
        suspended: why this process takes no more part in the study, which goes on when the node is
            started again; None as long as it does.
        note_end: puts on record that the study ends; called before anything of it is so, and what
            it raises leaves the study as it was.
    """

    def __init__(self, rules: StudyRules, rounds: RoundBook) -> None:
        self.rules = rules
        self.rounds = rounds
        self.phase = Phase.KEYS
        self.events: list[events.Event] = []
        self.error: MpcsegError | None = None
        self.ending: Ending | None = None
        self.key_destroyed: KeyDestroyed | None = None
        self.suspended: MpcsegError | None = None
        self.note_end: Callable[[Ending], None] = lambda _: None

    @property
    def is_running(self) -> bool:
        """Whether nodes are still at work: no results yet, and not over."""
        return self.phase not in (Phase.RESULTS, Phase.OVER)

    def suspend(self, error: MpcsegError) -> None:
        """This process stops; the study does not. The first error counts."""
        self.suspended = self.suspended or error

    def abort_by(self, caller: Caller, reason: MpcsegError) -> None:
        """A node stops the study for everybody, if it has not ended already."""
        told = StudyAbortedError(f"{caller} stopped the study: {reason.message}", reason.hint)
        self.abort(told, reason.code)

    def abort(self, error: MpcsegError, code: str = "") -> None:
        """Stop the study for everybody with this error; the first one counts.

        Args:
            error: what everybody is told.
            code: of the error behind it, for the closing record, where that is another one.
        """
        if self.is_running and self.suspended is None:
            self._end(Ending("aborted", error=code or error.code), error)

    def withdraw(self, request: SignedRequest) -> bool:
        """A party withdraws, which ends the study for all; False if it has done so before.

        The request's signature, and that a party made it, are checked before.

        Raises:
            ProtocolError: a round was opened already.
            MpcsegError: the study ended otherwise; the reason.
        """
        if self._has_asked(request):
            return False
        self.verify_not_over()
        if self.rounds.orders:
            raise ProtocolError(
                f"{request.organisation} withdraws after the first round was opened",
                "From then on the key or the compute node's organisation can close the study.",
            )
        self._end(Ending("withdrawn", request), _withdrawn(request.organisation))
        return True

    def close(self, request: SignedRequest) -> bool:
        """Close the study, whatever it is doing; False if this request has closed it before.

        The request's signature, and that the key or the compute node's organisation made it, are
        checked before.

        Raises:
            StudyClosedError: it is closed already.
            MpcsegError: the study ended otherwise; the reason.
        """
        if self._has_asked(request):
            return False
        self.verify_not_over()
        self._close(Ending("closed", request), f"{request.organisation} closed the study")
        return True

    def expire(self) -> None:
        """The retention is over: what is kept must go, results or not."""
        self._close(Ending("retention"), "the agreed retention ended")

    def verify_not_over(self) -> None:
        """Check that there is still a study.

        Raises:
            StudyClosedError: it is closed, after its results were there.
            MpcsegError: it ended before; the reason. Or this process is about to stop.
        """
        if self.suspended is not None:
            raise self.suspended
        if self.error is not None:
            raise self.error
        if self.phase is Phase.OVER:
            raise StudyClosedError(
                "the study is closed: its ciphertexts and results are deleted",
                "The closing record says when and by whom.",
            )

    def verify_running(self) -> None:
        """Check that nodes are still at work; raises as `verify_not_over`, or ProtocolError."""
        self.verify_not_over()
        if not self.is_running:
            raise ProtocolError(
                "the study is finished", "Its recipients fetch their results: mpcseg party results"
            )

    def verify_phase(self, phase: Phase, what: str) -> None:
        """Check that something happens in its phase.

        Raises:
            ProtocolError: it does not.
        """
        if self.phase is not phase:
            raise ProtocolError(f"{what} out of place: the study is {self.phase.value}")

    def _close(self, ending: Ending, why: str) -> None:
        if self.is_running:
            self._end(ending, StudyClosedError(f"{why} before it was finished"))
        else:
            self.note_end(ending)
            self.phase, self.ending = Phase.OVER, ending

    def ended(self, ending: Ending) -> None:
        """Enter an end that an earlier process of the compute node has put on record."""
        who = ending.request.organisation if ending.request else ""
        if ending.reason == "withdrawn":
            self._end(ending, _withdrawn(who))
        elif ending.reason == "aborted":
            kind = subclasses().get(ending.error, MpcsegError)
            word = kind.code.replace("_", " ")
            self._end(ending, StudyAbortedError(f"the study was stopped ({word})"))
        else:
            self._close(ending, f"{who} closed the study" if who else "the agreed retention ended")

    def _end(self, ending: Ending, error: MpcsegError) -> None:
        """End a study that has no results yet, for everybody."""
        self.note_end(ending)
        self.phase, self.ending, self.error = Phase.OVER, ending, error
        self.events.append(events.StudyAborted(error))

    def _has_asked(self, request: SignedRequest) -> bool:
        return self.ending is not None and self.ending.request == request


def _withdrawn(organisation: str) -> WithdrawnError:
    name = Caller(organisation, Role.PARTY)
    return WithdrawnError(
        f"{name} has withdrawn from the study; all ciphertexts are deleted",
        "The others need a new agreement without it.",
    )
