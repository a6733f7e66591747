"""A study's state from the compute node's own log, when it goes on after a stop (ADR 0018).

The log is written before each deed, so that it has every step that anybody may rely on. What a
process did besides, a file that is not under its name yet or a round half computed, is done again.

Runs on: compute node. Nothing here knows gRPC or clocks; of files only whether they are there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from mpcseg.audit.records import (
    Began,
    Blob,
    BlocksCommitted,
    DeletionBegan,
    EndDecided,
    Entry,
    KeysVouched,
    NodeRole,
    Received,
    RefusalsOmitted,
    Refused,
    Released,
    RoundEvaluated,
    RoundOpened,
    RoundSpent,
    SecretKeyDestroyed,
    Sent,
    StartedAnew,
    StudyEnded,
)
from mpcseg.errors import LogError, MpcsegError
from mpcseg.nodes.roles import Caller, Role
from mpcseg.nodes.study_course import Ending
from mpcseg.nodes.study_rules import RoundOrder
from mpcseg.nodes.study_state import StudyState
from mpcseg.privacy.ledger import Ledger
from mpcseg.study.closing import Action, KeyDestroyed, Purged, SignedRequest
from mpcseg.wire.events import KeyAttestation
from mpcseg.wire.names import BlobHeader, BlobKind, parse_name

IsThere = Callable[[Caller, BlobHeader], bool]
"""Whether a node's blob stands in the storage folder, with its announced length and digest."""

_ACTIONS: dict[str, Action] = {"closed": "close", "withdrawn": "withdraw"}


@dataclass(frozen=True)
class Run:
    """The last run of a study in the compute node's log.

    Attributes:
        number: of the entry that began it.
        entries: of all its processes; empty where there is none to go on with.
    """

    number: int
    entries: tuple[Entry, ...]

    @property
    def deletion(self) -> Purged | None:
        """What was counted when the files were put out of reach; None if they were not."""
        began = [e.record for e in self.entries if isinstance(e.record, DeletionBegan)]
        return Purged(began[-1].n_blobs, began[-1].n_bytes) if began else None

    @property
    def end_decided(self) -> bool:
        """Whether the study's end was on record, and only has to be completed."""
        return any(isinstance(entry.record, EndDecided) for entry in self.entries)


def run_to_resume(entries: Sequence[Entry]) -> Run | None:
    """The run that a process which starts now goes on with; None if it begins another one.

    Args:
        entries: of the compute node's log.
    """
    start = None
    for entry in entries:
        if isinstance(entry.record, Began) and not entry.record.resumes:
            start = entry.number
        elif isinstance(entry.record, StudyEnded):
            start = None
    return None if start is None else Run(start, tuple(entries[start:]))


def restore_ledger(ledger: Ledger, entries: Iterable[Entry]) -> bool:
    """Enter what the log has paid and the ledger does not know; returns whether there was any.

    A ledger from a back-up, or none, must not make rounds free of charge.

    Raises:
        LogError: a round was paid for that was never opened.
        MpcsegError: the ledger contradicts the log.
    """
    known, run, opened = len(ledger.entries), ledger.run, dict[int, RoundOpened]()
    for entry in entries:
        record = entry.record
        if isinstance(record, Began) and not record.resumes:
            ledger.run, opened = entry.number, {}
        elif isinstance(record, RoundOpened):
            opened[record.round] = record
        elif isinstance(record, RoundSpent):
            if record.round not in opened:
                raise LogError(f"round {record.round} was paid for and never opened")
            order = opened[record.round]
            ledger.spend(order.kind, order.round, order.sign)
    ledger.run = run
    return len(ledger.entries) > known


@dataclass
class Resumed:
    """What a log says beside the state that follows from it.

    Attributes:
        sent: what stands in the log as sent, by role, peer and header.
        paid: rounds that stand in the log as paid for.
        n_refused: refused calls that stand in it.
        silent: whether no more of them are to be written down.
        completed: time of the entry of the last round's evaluation; empty before.
        lost: blobs that came, are not committed and are not there: they will be sent again.
        releases: of every round that was evaluated.
        evaluated: what was committed to of each round.
        hyperplanes: of rounds that were evaluated.
    """

    sent: set[tuple[NodeRole, str, BlobHeader]] = field(default_factory=set)
    paid: set[int] = field(default_factory=set)
    n_refused: int = 0
    silent: bool = False
    completed: str = ""
    lost: list[tuple[Caller, BlobHeader]] = field(default_factory=list)
    releases: dict[int, list[BlobHeader]] = field(default_factory=dict)
    evaluated: dict[int, RoundEvaluated] = field(default_factory=dict)
    hyperplanes: dict[int, list[BlobHeader]] = field(default_factory=dict)


def rebuild(state: StudyState, run: Run, is_there: IsThere) -> Resumed:
    """Take a state that nothing has happened to through all that a log says.

    Args:
        state: new; its budget knows what the run has paid.
        run: of the log.
        is_there: asked about blobs that are not committed, once all entries are read.

    Raises:
        LogError: the log says something that cannot have happened in this study.
    """
    replay = _Replay(state, is_there)
    for entry in run.entries:
        try:
            replay.take(entry)
        except MpcsegError as error:
            raise LogError(
                f"entry {entry.number} of the audit log does not follow from those before it: "
                f"{error.message}",
                "The log is of another study, or of another version of mpcseg.",
            ) from None
    replay.drop_lost()
    return replay.found


class _Replay:
    """One log on its way into a state."""

    def __init__(self, state: StudyState, is_there: IsThere) -> None:
        self._state = state
        self._is_there = is_there
        self.found = Resumed()

    def take(self, entry: Entry) -> None:
        """Do what an entry says."""
        found, record = self.found, entry.record
        match record:
            case Received() | StartedAnew() | Released() | Sent():
                self._take_blobs(record)
            case KeysVouched() | BlocksCommitted() | RoundOpened() | SecretKeyDestroyed():
                self._take_step(record)
            case RoundSpent():
                found.paid.add(record.round)
            case RoundEvaluated():
                found.evaluated[record.round] = record
                found.releases[record.round] = []
                found.completed = entry.time
            case Refused():
                found.n_refused += 1
            case RefusalsOmitted():
                found.silent = True
            case EndDecided():
                self._state.ended(ending_of(record))

    def _take_blobs(self, record: Received | StartedAnew | Released | Sent) -> None:
        match record:
            case Received():
                self._receive(Caller(record.peer, Role(record.peer_role)), header_of(record))
            case StartedAnew():
                self._state.forget(Caller(record.peer, Role(record.peer_role)))
            case Released():
                self._release(record)
            case Sent():
                self.found.sent.add((record.peer_role, record.peer, header_of(record)))

    def _take_step(
        self, record: KeysVouched | BlocksCommitted | RoundOpened | SecretKeyDestroyed
    ) -> None:
        state, key = self._state, self._state.rules.key
        match record:
            case KeysVouched():
                digest = bytes.fromhex(record.public_key)
                state.publish_keys(key, KeyAttestation(digest, record.signature))
            case BlocksCommitted():
                party = Caller(record.party, Role.PARTY)
                state.commit(party, record.n_blocks, bytes.fromhex(record.manifest))
            case RoundOpened():
                planes = [h for h in state.blobs_of(key) if h.name.kind is BlobKind.HYPERPLANE]
                self.found.hyperplanes[record.round - 1] = planes
                order = RoundOrder(record.kind, record.round, record.sign, record.n_clusters)
                state.open_round(key, order)
            case SecretKeyDestroyed():
                state.destroyed(KeyDestroyed(**record.model_dump(exclude={"event"})))

    def _receive(self, caller: Caller, header: BlobHeader) -> None:
        known = {own.name: own for own in self._state.blobs_of(caller)}.get(header.name)
        if known is not None and known != header:
            # It came again, so that the node which wrote this knew that the first was not there.
            self._state.lose(caller, known)
        self._state.enter(caller, header)

    def _release(self, record: Released) -> None:
        """Tell of a round when the last of its releases is read: they are one entry after another.

        Raises:
            LogError: there is no evaluation that they belong to.
        """
        evaluated = self.found.evaluated.get(record.round)
        if evaluated is None:
            raise LogError(f"{record.blob} was released of a round that was not evaluated")
        headers = self.found.releases[record.round]
        headers.append(header_of(record))
        if len(headers) == evaluated.n_releases:
            self._state.release(record.round, headers)

    def drop_lost(self) -> None:
        """Forget what is not committed and not there: a crash came before it had its name."""
        for caller, header in self._state.held():
            is_committed = self._state.is_committed(caller, header.name)
            if not is_committed and not self._is_there(caller, header):
                self._state.lose(caller, header)
                self.found.lost.append((caller, header))


def header_of(record: Blob) -> BlobHeader:
    """The header of a blob in a log.

    Raises:
        LogError: it has no name.
    """
    try:
        name = parse_name(record.blob)
    except ValueError:
        raise LogError("the audit log speaks of a blob that has no name") from None
    return BlobHeader(name, record.n_bytes, bytes.fromhex(record.sha256))


def ending_of(record: EndDecided) -> Ending:
    """The end that was put on record."""
    request = None
    if record.organisation and record.time is not None and record.signature is not None:
        action = _ACTIONS.get(record.reason, "close")
        request = SignedRequest(record.organisation, action, record.time, record.signature)
    return Ending(record.reason, request, record.error)  # type: ignore[arg-type]


def end_record(ending: Ending) -> EndDecided:
    """Put an end on record."""
    request = ending.request
    return EndDecided(
        reason=ending.reason,
        error=ending.error,
        organisation=request.organisation if request else "",
        time=request.time if request else None,
        signature=request.signature if request else None,
    )
