"""The checks of ``mpcseg audit verify`` on budget, secret key, results and the study's end.

Runs at a reviewer; as :mod:`mpcseg.verification.checks`.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Sequence

from mpcseg.audit.log_file import LogFile
from mpcseg.audit.records import (
    Began,
    Decrypted,
    Entry,
    Received,
    RefusalsOmitted,
    Refused,
    Released,
    RoundOpened,
    RoundSpent,
    SecretKeyDestroyed,
    Sent,
    StudyEnded,
)
from mpcseg.ckks.key_material import refuse_secret_key
from mpcseg.errors import AuditError, SecretKeyRefusedError
from mpcseg.nodes.planning import study_plan
from mpcseg.privacy.budget import NoisePlan
from mpcseg.privacy.ledger import Ledger
from mpcseg.study.closing import (
    RECORD_BYTES,
    ClosingRecord,
    KeyDestroyed,
    verify_key_destroyed,
    verify_record,
)
from mpcseg.study.documents import read_bytes
from mpcseg.verification.checks import PUBLIC_KINDS
from mpcseg.verification.evidence import Evidence, NotThereError, records_of, runs_of
from mpcseg.wire.names import BlobKind, BlobName

_LARGEST_FILE = 1 << 30
_ROUNDING = 1e-9


def budget_kept(evidence: Evidence) -> str:
    """Both nodes' rounds cost what the plan says, and no more than the agreement allows in all."""
    noise = study_plan(evidence.spec).noise
    totals = [_spent(log, noise) for log in (evidence.compute, evidence.key)]
    if not _same(*totals):
        raise AuditError("the compute node and the key node did not pay for the same rounds")
    for path in evidence.ledgers:
        ledger = Ledger.load(path, noise, evidence.spec.digest)
        if not any(_same(ledger.spent_rho, total) for total in totals):
            raise AuditError(f"the privacy ledger {path} is not what the logs add up to")
    if not noise.is_noised:
        return "no noise was agreed, and no budget"
    return (
        f"zCDP {max(totals):.4g} of {noise.total_rho:.4g} (epsilon {noise.epsilon:g}, delta "
        f"{noise.delta:g}); ledgers that say the same: {len(evidence.ledgers)}"
    )


def _spent(log: LogFile, noise: NoisePlan) -> float:
    """What a log's rounds cost, each checked against the plan and paid for before it was used."""
    total = 0.0
    for run in runs_of(log):
        opened = {r.round: r for r in records_of(run, RoundOpened)}
        paid = set[int]()
        for entry in run:
            record = entry.record
            if isinstance(record, RoundSpent):
                cost = _cost(log, record, opened, noise)
                if not _same(math.inf if record.rho is None else record.rho, cost):
                    raise AuditError(f"{log}: round {record.round} was not charged as planned")
                total += cost
                paid.add(record.round)
            elif isinstance(record, Decrypted | Released) and record.round not in paid:
                raise AuditError(f"{log}: round {record.round} was used before it was paid for")
    if noise.is_noised and total > noise.total_rho * (1 + _ROUNDING):
        raise AuditError(f"{log}: more was spent than the agreed privacy budget")
    return total


def _cost(
    log: LogFile, spent: RoundSpent, opened: dict[int, RoundOpened], noise: NoisePlan
) -> float:
    round_ = opened.get(spent.round)
    if round_ is None:
        raise AuditError(f"{log}: round {spent.round} was paid for and never opened")
    return noise.rho(round_.kind, round_.sign)


def _same(one: float, other: float) -> bool:
    return one == other or math.isclose(one, other, rel_tol=_ROUNDING)


def no_secret_key(evidence: Evidence) -> str:
    """Nothing that the compute node was sent, or keeps, is a secret key."""
    kinds = Counter(record.kind for record in records_of(evidence.compute.entries, Received))
    unknown = set(kinds) - PUBLIC_KINDS
    if unknown:
        raise AuditError(f"the compute node received blobs of the unknown kind {min(unknown)}")
    said = f"{sum(kinds.values()):,} blobs received, all of public kinds"
    if evidence.storage is None:
        raise NotThereError(f"{said}; its disk was not searched (--storage)")
    n_files, n_bytes = 0, 0
    for path in sorted(evidence.storage.rglob("*")):
        if path.is_file() and not path.is_symlink():
            content = read_bytes(path, "a file of the compute node", limit=_LARGEST_FILE)
            try:
                refuse_secret_key(content)
            except SecretKeyRefusedError as error:
                raise SecretKeyRefusedError(f"{path}: {error.message}", error.hint) from None
            n_files, n_bytes = n_files + 1, n_bytes + len(content)
    return f"{said}; none in {n_files:,} files ({n_bytes / 1e6:,.1f} MB) on its disk"


def secret_key_destroyed(evidence: Evidence) -> str:
    """The secret key was destroyed after the last decryption, under signature, at both nodes."""
    last = runs_of(evidence.key)[-1]
    statements = records_of(last, SecretKeyDestroyed)
    if not statements:
        raise AuditError(
            "the key node has not said that its secret key is destroyed",
            "The study is not over; or the key node was killed and not started again: where it "
            'keeps a recovery ("began" in its log says so), its disk still holds the sealed key.',
        )
    statement = statements[0]
    verify_key_destroyed(evidence.spec, KeyDestroyed(**statement.model_dump(exclude={"event"})))
    order = [e.record for e in last if isinstance(e.record, Decrypted | SecretKeyDestroyed)]
    if any(isinstance(record, Decrypted) for record in order[order.index(statement) :]):
        raise AuditError("something was decrypted after the secret key was said to be destroyed")
    theirs = records_of(evidence.compute.entries, SecretKeyDestroyed)
    if statement not in theirs:
        raise AuditError("the compute node was not told that the secret key is destroyed")
    return (
        f"{statement.time}, after {statement.decrypted_values:,} decryptions; until then "
        + _where_kept(last)
    )


def _where_kept(run: Sequence[Entry]) -> str:
    """Where the secret key was in a run, by what each process of the key node said of it."""
    began = records_of(run, Began)
    if any(one.recovery == "sealed" for one in began):
        return f"in memory and sealed on the key node's disk ({len(began)} processes)"
    return "in the key node's memory alone"


def results_are_sealed_to_recipients(evidence: Evidence) -> str:
    """Each recipient's sealed results went to it alone, as the key node made them."""
    spec, compute = evidence.spec, evidence.compute
    by_key = {
        record.content
        for record in records_of(evidence.key.entries, Sent)
        if record.kind == BlobKind.RESULT.value
    }
    names = {
        str(BlobName(BlobKind.RESULT, item=item)): recipient
        for item, recipient in enumerate(spec.recipients)
    }
    fetched = Counter[str]()
    for record in records_of(compute.entries, Sent):
        if record.kind != BlobKind.RESULT.value:
            continue
        if names.get(record.blob) != record.peer or record.peer_role != "recipient":
            raise AuditError(f"{record.blob} went to {record.peer}, for whom it is not")
        if record.content not in by_key:
            raise AuditError(f"{record.blob} is not what the key node made")
        fetched[record.peer] += 1
    said = ", ".join(name for name in spec.recipients if fetched[name])
    return f"fetched by {said or 'nobody'}"


def closing_record_fits(evidence: Evidence) -> str:
    """The closing record is signed, is the one that the log speaks of, and fits what it says."""
    if evidence.closing is None:
        raise NotThereError("no closing record was given (--closing)")
    content = read_bytes(evidence.closing, "the closing record", limit=RECORD_BYTES)
    record: ClosingRecord = verify_record(evidence.spec, content)
    ended = records_of(evidence.compute.entries, StudyEnded)
    digest = hashlib.sha256(content).hexdigest()
    if record.key_destroyed is not None:
        said = SecretKeyDestroyed(**vars(record.key_destroyed))
        if said not in records_of(evidence.compute.entries, SecretKeyDestroyed):
            raise AuditError("the closing record and the logs state other ends of the secret key")
    if (record.reason, digest) not in {(one.reason, one.record) for one in ended}:
        raise AuditError("the compute node's log does not speak of this closing record")
    return (
        f"{record.reason} {record.time}: {record.purged.n_blobs} blobs "
        f"({record.purged.n_bytes / 1e6:,.1f} MB) deleted"
    )


def refusals(evidence: Evidence) -> str:
    """What the compute node refused: not a failure, but worth a look."""
    entries = evidence.compute.entries
    counts = Counter(
        (record.peer or "a stranger", record.call, record.code)
        for record in records_of(entries, Refused)
    )
    said = [
        f"{peer}: {call} ({code}) {count} times"
        for (peer, call, code), count in counts.most_common(5)
    ]
    if len(counts) > len(said):
        said.append(f"and {len(counts) - len(said)} other kinds")
    if records_of(entries, RefusalsOmitted):
        said.append("more were not written down")
    return "; ".join(said) or "none"
