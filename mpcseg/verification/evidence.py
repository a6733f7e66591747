"""What a reviewer was given: logs, ledgers and a closing record, found by their names.

Runs at a reviewer, who may be any organisation of the study or none. Files are foreign bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from mpcseg.audit.log_file import LogFile, read_log, signed_part, verify_head
from mpcseg.audit.records import (
    Began,
    CheckpointTaken,
    Decrypted,
    Entry,
    NodeRole,
    Record,
    Released,
    RoundEvaluated,
    RoundOpened,
)
from mpcseg.errors import AuditError, EvidenceError, MpcsegError
from mpcseg.study.agreement import Agreement
from mpcseg.study.renewal import RENEWAL_SUFFIX
from mpcseg.study.spec import StudySpec

R = TypeVar("R", bound=Record)


class NotThereError(Exception):
    """A check cannot be made for want of evidence; says what is missing."""


@dataclass(frozen=True)
class Evidence:
    """Everything that checks look at.

    Attributes:
        agreement: of the study.
        logs: the logs that hold together, by role and organisation.
        broken: files that are no whole logs, with the reason.
        unsigned: entries at the end of files that nobody has signed; they are left out.
        ledgers: privacy ledgers that were found.
        closing: the closing record's file; None where there is none.
        storage: a folder of the compute node to be searched for secret keys; None for none.
        former: of the study that this one follows: its agreement, and its key node's log if that
            was given; None where the agreement was not.
        renewals: renewals of certificates that were found, of this study or others.
    """

    agreement: Agreement
    logs: dict[tuple[NodeRole, str], LogFile] = field(default_factory=dict)
    broken: dict[Path, MpcsegError] = field(default_factory=dict)
    unsigned: dict[Path, int] = field(default_factory=dict)
    ledgers: tuple[Path, ...] = ()
    closing: Path | None = None
    storage: Path | None = None
    former: Evidence | None = None
    renewals: tuple[Path, ...] = ()

    @property
    def spec(self) -> StudySpec:
        """What was agreed."""
        return self.agreement.spec

    def log(self, role: NodeRole, organisation: str) -> LogFile:
        """One node's log.

        Raises:
            NotThereError: it was not given.
        """
        found = self.logs.get((role, organisation))
        if found is None:
            raise NotThereError(f"no log of the {role} node {organisation} was given")
        return found

    @property
    def compute(self) -> LogFile:
        """The compute node's log; raises ``NotThereError``."""
        return self.log("compute", self.spec.compute.name)

    @property
    def key(self) -> LogFile:
        """The key node's log; raises ``NotThereError``."""
        return self.log("key", self.spec.key.name)

    @property
    def parties(self) -> dict[str, LogFile]:
        """The parties' logs that were given."""
        return {name: log for (role, name), log in self.logs.items() if role == "party"}

    def missing(self, *roles: NodeRole) -> list[str]:
        """Nodes of some roles whose logs were not given; of all that run a study for none."""
        nodes: list[tuple[NodeRole, str]] = [
            ("compute", self.spec.compute.name),
            ("key", self.spec.key.name),
            *(("party", party.name) for party in self.spec.parties),
        ]
        return [
            f"{role} node {name}"
            for role, name in nodes
            if (role, name) not in self.logs and (not roles or role in roles)
        ]


def collect(
    agreement: Agreement,
    places: Iterable[Path],
    closing: Path | None,
    storage: Path | None,
    former: Agreement | None = None,
) -> Evidence:
    """Find and read everything in some files and folders.

    Args:
        agreement: of the study; logs of others are passed over in folders.
        places: files and folders, which are searched with all below them.
        closing: the closing record, if it does not stand in a folder.
        storage: the compute node's storage folder, if it is to be searched for secret keys.
        former: of the study that it follows, whose key node's log is looked for as well.

    Raises:
        EvidenceError: a place does not exist, two logs are of one node, there is no log at all, or
            the folder to be searched has nothing in it.
    """
    if storage is not None and not (storage.is_dir() and any(storage.iterdir())):
        raise EvidenceError(
            f"{storage} is no folder with files to be searched",
            "Name the compute node's storage folder, or leave --storage out.",
        )
    places = list(places)
    digits = agreement.spec.digest[:16]
    found = Evidence(agreement, closing=closing, storage=storage)
    of_former = Evidence(former) if former else None
    formers_key = f"audit-{former.spec.digest[:16]}-key-" if former else None
    renewals: list[Path] = []
    ledgers, closings = [], [closing] if closing else []
    for path in _files(places):
        if path.name.startswith(f"audit-{digits}-") and path.suffix == ".sqlite":
            _add(found, path)
        elif path.name in ("ledger.json", f"ledger-{digits}.json"):
            ledgers.append(path)
        elif path.name == f"closing-{digits}.json":
            closings.append(path)
        elif of_former and formers_key and path.name.startswith(formers_key):
            _add(of_former, path)
        elif path.suffix == RENEWAL_SUFFIX:
            renewals.append(path)
        elif path in places and not _is_log(path):
            raise EvidenceError(
                f"{path} is by its name no log, ledger or closing record of this study",
                f"They are named audit-{digits}-….sqlite, ledger-{digits}.json or ledger.json, "
                f"closing-{digits}.json, and …{RENEWAL_SUFFIX} for renewals. Keep the names that "
                "the nodes gave; or use --closing.",
            )
    if not found.logs and not found.broken:
        raise _no_log(agreement, places)
    return Evidence(
        agreement,
        found.logs,
        found.broken,
        found.unsigned,
        tuple(ledgers),
        next(iter(closings), None),
        storage,
        of_former,
        tuple(renewals),
    )


def _is_log(path: Path) -> bool:
    """Whether a file is by its name a log, of whatever study."""
    return path.name.startswith("audit-") and path.suffix == ".sqlite"


def _no_log(agreement: Agreement, places: Iterable[Path]) -> EvidenceError:
    others = sum(map(_is_log, _files(places)))
    return EvidenceError(
        f"no audit log of the study '{agreement.spec.name}' was found"
        + (f", but {others} of other studies" if others else ""),
        f"Give the files named audit-{agreement.spec.digest[:16]}-….sqlite, or the folders they "
        "stand in.",
    )


def _files(places: Iterable[Path]) -> Iterator[Path]:
    for place in places:
        if not place.exists():
            raise EvidenceError(f"{place} does not exist", "Check the path.")
        if place.is_dir():
            yield from sorted(path for path in place.rglob("*") if path.is_file())
        else:
            yield place


def _add(evidence: Evidence, path: Path) -> None:
    try:
        whole = read_log(path, evidence.spec)
        log = signed_part(whole)
    except MpcsegError as error:
        evidence.broken[path] = error
        return
    if len(whole.entries) > len(log.entries):
        evidence.unsigned[path] = len(whole.entries) - len(log.entries)
    known = evidence.logs.setdefault((log.role, log.organisation), log)
    if known is log:
        return
    longer, shorter = sorted((known, log), key=lambda one: len(one.entries), reverse=True)
    if longer.tree.root(len(shorter.entries)) != shorter.tree.root():
        raise EvidenceError(
            f"{known.path} and {path} are two different logs of one node",
            "One of them was rewritten. Ask the organisation which one it stands by, and why.",
        )
    evidence.logs[log.role, log.organisation] = longer


def records_of(entries: Iterable[Entry], kind: type[R]) -> list[R]:
    """The records of one kind, in order."""
    return [entry.record for entry in entries if isinstance(entry.record, kind)]


def runs_of(log: LogFile) -> list[tuple[Entry, ...]]:
    """The entries of each run of a node, over all processes that it took.

    Raises:
        EvidenceError: the log does not begin with one.
    """
    starts = [
        entry.number
        for entry in log.entries
        if isinstance(entry.record, Began) and not entry.record.resumes
    ]
    if log.entries and (not starts or starts[0] != 0) and log.role != "recipient":
        raise EvidenceError(f"{log} does not begin with the start of its node")
    ends = [*starts[1:], len(log.entries)]
    spans = zip(starts, ends, strict=True) if starts else ()
    return [log.entries[start:end] for start, end in spans]


def is_finished(run: Iterable[Entry]) -> bool:
    """Whether a run of the compute node went through its last round."""
    entries = list(run)
    done = {evaluated.round for evaluated in records_of(entries, RoundEvaluated)}
    opened = records_of(entries, RoundOpened)
    return any(one.kind == "profile" and one.round in done for one in opened)


def last_computed(compute: LogFile) -> tuple[Entry, ...]:
    """The last run of the compute node in which it computed a round; empty where there is none."""
    runs = [run for run in runs_of(compute) if records_of(run, RoundEvaluated)]
    return runs[-1] if runs else ()


def verify_decrypted_is_released(key: LogFile, compute: LogFile) -> int:
    """Check that what was decrypted last is what the compute node computed last; returns how much.

    A compute node could otherwise let one run be decrypted, and show another one to reviewers.

    1. All that the key node decrypted in its last run was released in the compute node's last one.
    2. In a finished study it is all of it.
    3. The key node holds the compute node's signature over a log with all of it.

    Args:
        key: the key node's log.
        compute: the compute node's.

    Raises:
        AuditError: it is not.
    """
    runs = [run for run in runs_of(key) if records_of(run, Decrypted)]
    decrypted = {record.content for record in records_of(runs[-1] if runs else (), Decrypted)}
    run = last_computed(compute)
    released = {record.content for record in records_of(run, Released)}
    strange = sorted(decrypted - released)
    if strange:  # 1
        raise AuditError(
            f"{strange[0][0]} was decrypted and is not of the last run of the compute node",
            "The compute node shows other work than the key node has decrypted.",
        )
    if is_finished(run) and decrypted != released:  # 2
        raise AuditError(
            f"the compute node released {len(released)} sums in its last run; "
            f"{len(decrypted)} decryptions stand in the key node's log"
        )
    held = [one.checkpoint for one in records_of(key.entries, CheckpointTaken)]
    sizes = [one.size for one in held if one.role == "compute"]
    last = max((entry.number for entry in run if isinstance(entry.record, Released)), default=-1)
    if decrypted and max(sizes, default=0) <= last:  # 3
        raise AuditError(
            "the key node holds no signature of the compute node over what it released"
        )
    for one in held:
        if one.role == "compute":
            verify_head(compute, one)
    return len(decrypted)


def root_of(log: LogFile) -> str:
    """The first digits of a log's root, by which two people see that they have the same log."""
    return f"{log.tree.root().hex()[:16]}…"
