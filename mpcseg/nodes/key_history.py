"""What the key node's log and recovery folder say of it when a process of it begins.

The log is the judge: it says what was decrypted, and the folder must hold what that was decrypted
with. Runs on: key node.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from mpcseg.audit.log import AuditLog
from mpcseg.audit.records import (
    Began,
    Decrypted,
    Entry,
    KeysVouched,
    Record,
    RoundOpened,
    RoundSpent,
    SecretKeyDestroyed,
    Sent,
    StartedFrom,
)
from mpcseg.errors import RecoveryError
from mpcseg.nodes.client import ComputeClient
from mpcseg.nodes.recovery import RECOVERY_FOLDER, Recovery
from mpcseg.study.former import FormerCentroids
from mpcseg.study.identity import Identity
from mpcseg.study.spec import StudySpec
from mpcseg.wire.names import BlobKind, BlobName

_RESTORED = (
    "Part of the folder was put back from a backup, or lost. Put both back as this node left them; "
    "or close the study with `mpcseg study close`: nothing is decrypted a second time."
)


@dataclass
class KeyRun:
    """What the log says of a run, over all processes that it took so far.

    Attributes:
        number: of the entry that began it.
        sent: name and SHA-256 (hex) of every blob that was on its way to the compute node.
        vouched: for the public key; None before.
        started_from: where a follow-up starts; None before, and in a study of its own.
        opened: rounds that were asked for.
        spent: rounds that were paid for.
        decrypted: what was decrypted, or was about to be, by round: name and SHA-256 in order.
        destroyed: the statement that the secret key is destroyed; None before.
    """

    number: int
    sent: set[tuple[str, str]] = field(default_factory=set)
    vouched: KeysVouched | None = None
    started_from: StartedFrom | None = None
    opened: set[int] = field(default_factory=set)
    spent: set[int] = field(default_factory=set)
    decrypted: dict[int, list[tuple[str, str]]] = field(default_factory=dict)
    destroyed: SecretKeyDestroyed | None = None

    @property
    def n_decrypted(self) -> int:
        """Numbers that were decrypted, each counted once."""
        return sum(map(len, self.decrypted.values()))

    def take(self, record: Record) -> None:
        """Learn from one more record of the log."""
        match record:
            case Sent():
                self.sent.add(record.content)
            case KeysVouched():
                self.vouched = record
            case StartedFrom():
                self.started_from = record
            case RoundOpened():
                self.opened.add(record.round)
            case RoundSpent():
                self.spent.add(record.round)
            case Decrypted():
                self.decrypted.setdefault(record.round, []).append(record.content)
            case SecretKeyDestroyed():
                self.destroyed = record

    def delivered(self, spec: StudySpec) -> dict[str, str] | None:
        """SHA-256 (hex) of the sealed results by recipient; None before all were on their way."""
        sent = dict(self.sent)
        names = [str(BlobName(BlobKind.RESULT, item=i)) for i in range(len(spec.recipients))]
        if self.destroyed is None or not all(name in sent for name in names):
            return None
        return {who: sent[name] for who, name in zip(spec.recipients, names, strict=True)}


def last_run(entries: Iterable[Entry]) -> KeyRun | None:
    """The latest run in a key node's log; None in an empty one."""
    run: KeyRun | None = None
    for entry in entries:
        record = entry.record
        if isinstance(record, Began) and not record.resumes:
            run = KeyRun(entry.number)
        if run is not None:
            run.take(record)
    return run


@dataclass(frozen=True)
class Start:
    """How a process of the key node begins.

    Attributes:
        run: the run that it goes on with, or an empty new one.
        recovery: what is kept of it.
        resumes: whether it goes on.
        results: digests of the sealed results by recipient, where these were made already.
        lost: keys were published by an earlier run, were not destroyed, and are kept nowhere.
        delivered: how to go on with the run before, which came to its end here, where the compute
            node has its results; None where it did not.
        former: where a follow-up starts; None for a study of its own.
    """

    run: KeyRun
    recovery: Recovery
    resumes: bool
    results: dict[str, str] | None = None
    lost: bool = False
    delivered: Start | None = None
    former: FormerCentroids | None = None

    def note_former(self, log: AuditLog) -> None:
        """Write down where a follow-up starts, once in a run, before any of its rounds.

        Raises:
            RecoveryError: an earlier process of this run has started from other centroids.
        """
        if self.former is None:
            return
        started = StartedFrom(former=self.former.study_digest, results=self.former.results_digest)
        if self.run.started_from is None:
            log.append(started)
            self.run.started_from = started
        elif self.run.started_from != started:
            raise RecoveryError(
                "this study has started from other results of the former study than those that "
                "are given now",
                "Give the file that it was started with; the audit log has its SHA-256.",
            )


def start_of(
    spec: StudySpec, identity: Identity, output: Path, entries: tuple[Entry, ...], *, keeps: bool
) -> Start:
    """Decide how a process begins; leftovers that nothing goes on with are removed.

    Args:
        spec: the study.
        identity: this node's own.
        output: its folder.
        entries: of its log.
        keeps: whether a new run keeps what it needs to go on.

    Raises:
        RecoveryError: folder and log do not belong together, or the folder was tampered with.
        StorageError: the folder cannot be used.
    """
    folder = output / RECOVERY_FOLDER
    earlier = last_run(entries)
    kept = Recovery(folder, spec, identity, earlier.number if earlier else len(entries))
    if earlier is None:
        if kept.has_key:
            raise RecoveryError(f"the audit log in {output} does not know of {folder}", _RESTORED)
    elif kept.has_key and earlier.destroyed:
        raise RecoveryError(
            f"{folder} holds a secret key that was destroyed, as the audit log says",
            "It was put back from a backup. Remove it there as well as here.",
        )
    elif (results := kept.results()) is not None:
        return Start(earlier, kept, resumes=True, results=results)
    elif kept.has_key:
        _verify_same(earlier, kept)
        return Start(earlier, kept, resumes=True)
    kept.clear()
    delivered = earlier.delivered(spec) if earlier else None
    return Start(
        KeyRun(len(entries)),
        Recovery(folder, spec, identity, len(entries), keeps=keeps),
        resumes=False,
        lost=bool(earlier and earlier.vouched and not earlier.destroyed),
        delivered=(
            Start(earlier, kept, resumes=True, results=delivered) if earlier and delivered else None
        ),
    )


def blobs_there(client: ComputeClient, start: Start) -> set[str]:
    """Names of what an earlier process of this node has sent and the compute node has.

    The compute node's word counts where this node's own log says the same.
    """
    if not start.resumes:
        return set()
    return {
        str(header.name)
        for header in client.list_blobs()
        if (str(header.name), header.sha256.hex()) in start.run.sent
    }


def _verify_same(run: KeyRun, recovery: Recovery) -> None:
    """Check that the folder is of this run, and neither older nor newer than the log.

    Raises:
        RecoveryError: it is not.
    """
    with recovery.key_words():
        pass
    for index, contents in run.decrypted.items():
        intent = recovery.intent(index)
        if intent is None or list(intent.releases) != contents:
            raise RecoveryError(
                f"round {index} was decrypted, as the audit log says, and the recovery folder does "
                "not hold with what",
                _RESTORED,
            )
    index = 0
    while recovery.sums(index) is not None:
        if index not in run.decrypted:
            raise RecoveryError(
                f"the recovery folder holds sums of round {index}, of which the audit log knows "
                "nothing",
                _RESTORED,
            )
        index += 1
