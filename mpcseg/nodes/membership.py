"""Who is in the study and who has gone away; a state machine without IO.

Runs on: compute node. Time comes in as an argument (seconds of any steady clock). A node shows
that it is there by an open watch; between Join and its first watch it has a short grace.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from mpcseg.errors import DuplicateNodeError, NodeVanishedError, UnknownSessionError
from mpcseg.nodes.roles import Caller
from mpcseg.wire.events import Event, NodeAbsent, NodeBack

# From Join to the first watch.
_GRACE_SECONDS = 10.0
# A watch is reopened now and then; an absence shorter than this is not worth a word.
_QUIET_SECONDS = 3.0


@dataclass
class _Session:
    token: str
    instance: str
    absent_since: float
    watches: int = 0
    watched: bool = False
    reported: bool = False

    def is_live(self, now: float) -> bool:
        if self.watches > 0:
            return True
        return not self.watched and now - self.absent_since < _GRACE_SECONDS


class Membership:
    """The sessions of a study's callers, at most one for each.

    Args:
        patience: seconds after which a node that went away is given up.
        arrival: seconds, from the first Join of anybody, after which a node that never came is
            given up.
        new_token: makes the unguessable part of a session's name.
    """

    def __init__(
        self,
        *,
        patience: float,
        arrival: float,
        new_token: Callable[[], str] = lambda: secrets.token_hex(16),
    ) -> None:
        self._patience = patience
        self._arrival = arrival
        self._new_token = new_token
        # Of this process: a session of an earlier one is told from a session that was taken over.
        self._prefix = f"{secrets.token_hex(8)}-"
        self._sessions: dict[Caller, _Session] = {}
        self._first_join: float | None = None

    def session_instance(self, caller: Caller) -> str | None:
        """The process that holds the caller's session; None where it has none."""
        session = self._sessions.get(caller)
        return session.instance if session else None

    def verify_single(self, caller: Caller, instance: str, now: float) -> None:
        """Check that no other live process has this identity.

        Raises:
            DuplicateNodeError: one has.
        """
        session = self._sessions.get(caller)
        if session and session.instance != instance and session.is_live(now):
            raise DuplicateNodeError(
                f"{caller} is in the study already, in another process",
                "Stop the other one; if it has crashed, wait half a minute and try again.",
            )

    def join(self, caller: Caller, instance: str, now: float) -> str:
        """Return the session of this process, a new one if it has none; see ``verify_single``."""
        self.verify_single(caller, instance, now)
        if self._first_join is None:
            self._first_join = now
        session = self._sessions.get(caller)
        if session is None or session.instance != instance:
            session = _Session(self._prefix + self._new_token(), instance, absent_since=now)
            self._sessions[caller] = session
        return session.token

    def caller_of(self, organisation: str, token: str) -> Caller:
        """Return in which role an organisation makes a call, by its session's token.

        Args:
            organisation: from the certificate; another one's token is worth nothing to it.
            token: as the call names it.

        Raises:
            UnknownSessionError: the session is not of this process of the compute node.
            DuplicateNodeError: another process of the node has a newer session.
        """
        own = [caller for caller in self._sessions if caller.name == organisation]
        for caller in own:
            if secrets.compare_digest(self._sessions[caller].token.encode(), token.encode()):
                return caller
        if not own or not token.startswith(self._prefix):
            raise UnknownSessionError(
                f"{organisation} has not joined since the compute node was started",
                "A node joins again by itself.",
            )
        raise DuplicateNodeError(
            f"this is not the session of {' or '.join(map(str, own))}: another process has taken "
            "its place",
            "Run one process for each node of the study.",
        )

    def watch_opened(self, caller: Caller) -> Event | None:
        """Note that a caller with a session listens; returns what the others should be told."""
        session = self._sessions[caller]
        session.watches += 1
        session.watched = True
        if session.reported:
            session.reported = False
            return NodeBack(caller.name, caller.role)
        return None

    def watch_closed(self, caller: Caller, token: str, now: float) -> None:
        """Note that a watch of this session has ended."""
        session = self._sessions.get(caller)
        if session is not None and session.token == token:
            session.watches -= 1
            session.absent_since = now

    def absences(self, needed: Iterable[Caller], now: float) -> list[Event]:
        """Return what to tell about needed nodes that went away since the last call.

        Raises:
            NodeVanishedError: one of them stayed away for longer than the patience.
        """
        told: list[Event] = []
        for caller in needed:
            session = self._sessions.get(caller)
            if session is None:
                self._verify_arrival(caller, now)
            elif session.watches == 0:
                away = now - session.absent_since
                if away > self._patience:
                    raise NodeVanishedError(
                        f"{caller} went away and did not come back within {self._patience:g} s",
                        "Run the study again when it is back.",
                    )
                if away > min(_QUIET_SECONDS, self._patience / 2) and not session.reported:
                    session.reported = True
                    told.append(NodeAbsent(caller.name, caller.role, self._patience - away))
        return told

    def absent_seconds(self, caller: Caller, now: float) -> float | None:
        """Return for how long a node has been away, 0 if it is not; None if it never came."""
        session = self._sessions.get(caller)
        if session is None:
            return None
        away = 0.0 if session.is_live(now) else now - session.absent_since
        return away if away > _QUIET_SECONDS else 0.0

    def listeners(self) -> set[Caller]:
        """Return who has watched the study, now or before."""
        return {caller for caller, session in self._sessions.items() if session.watched}

    def _verify_arrival(self, caller: Caller, now: float) -> None:
        if self._first_join is not None and now - self._first_join > self._arrival:
            raise NodeVanishedError(
                f"{caller} did not come within {self._arrival:g} s of the first node",
                "Start all nodes of the study within that time.",
            )
