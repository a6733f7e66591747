"""One study on a compute node: its state, files, log and rounds, from its start to its end.

Runs on: compute node. Nothing here is shared with another study that the same process may serve.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mpcseg.audit.log import AuditLog
from mpcseg.audit.records import (
    CertificateUsed,
    DeletionBegan,
    RenewalTaken,
    RoundEvaluated,
    RoundSpent,
    StudyEnded,
)
from mpcseg.audit.renewals import renewals_to_take
from mpcseg.engine import Engine, RoundEvidence
from mpcseg.errors import MpcsegError, StorageError, SuspendedError
from mpcseg.memory import peak_rss_mb
from mpcseg.nodes import logbook
from mpcseg.nodes.blob_checks import BlobChecks
from mpcseg.nodes.blob_store import BlobStore
from mpcseg.nodes.changes import Changes
from mpcseg.nodes.events import tell_budget
from mpcseg.nodes.membership import Membership
from mpcseg.nodes.pins import Pins, used_versions, warn_of_ends
from mpcseg.nodes.planning import StudyPlan, study_plan
from mpcseg.nodes.progress import Progress
from mpcseg.nodes.records import ledger_path, open_ledger, verify_not_closed, write_record
from mpcseg.nodes.resume import (
    Resumed,
    Run,
    end_record,
    rebuild,
    run_to_resume,
)
from mpcseg.nodes.rounds import RoundRunner
from mpcseg.nodes.servicer import ComputeServicer
from mpcseg.nodes.status import Narrator
from mpcseg.nodes.storage_check import flaws, holds
from mpcseg.nodes.study_course import Ending, Phase
from mpcseg.nodes.study_rules import RoundOrder, study_rules
from mpcseg.nodes.study_state import StudyState
from mpcseg.nodes.summary import ComputeSummary, PhaseClock
from mpcseg.nodes.transport import Roster
from mpcseg.nodes.upload_gate import UploadGate
from mpcseg.privacy.ledger import Ledger, finite
from mpcseg.study.closing import ClosingRecord, now, sign_record
from mpcseg.study.identity import Identity
from mpcseg.study.results import sealed_bytes
from mpcseg.study.spec import StudySpec

# How long the end of the study is offered to nodes whose watch is broken at that moment; and to
# those that an earlier process may not have told, and that must find this one first.
_LINGER_SECONDS = 5.0
_LONG_LINGER_SECONDS = 30.0
_TICK_SECONDS = 0.25
_SECONDS_PER_DAY = 86_400.0


@dataclass(frozen=True)
class Limits:
    """What the operator of a compute node allows.

    Attributes:
        workers: processes for the evaluation.
        patience: seconds for which the study waits for a node that went away.
        arrival: seconds, from the first node's coming, for which it waits for the others.
        max_blocks: blocks that one party may upload.
        gate: gives uploads their turns, those of other studies too.
    """

    workers: int
    patience: float
    arrival: float
    max_blocks: int
    gate: UploadGate


@contextlib.contextmanager
def open_study(
    spec: StudySpec, identity: Identity, storage: Path, limits: Limits, progress: Progress
) -> Iterator[HostedStudy]:
    """Begin a study in a folder, or go on with the one that an earlier process has left there.

    Args:
        spec: the study.
        identity: this node's own.
        storage: folder of the study.
        limits: of the operator.
        progress: told what happens; free of values.

    Raises:
        ConfigError: the folder cannot be used, or another process uses it.
        PlanError: no parameter set can carry the study.
        BudgetError: an earlier run of this agreement has spent its privacy budget.
        StudyClosedError: the study was closed before.
        StorageError: what the study rests on is not there as the log has it, or the disk fails.
        LogError: the log is damaged.
    """
    callers = Roster(spec)
    store = BlobStore(storage, (callers.key, *callers.parties))
    try:
        plan = study_plan(spec)
        with AuditLog(storage, spec, identity, "compute") as log:
            run = run_to_resume(log.earlier)
            if run is None or not run.end_decided:
                verify_not_closed(storage, spec)
            ledger = open_ledger(
                ledger_path(storage, spec), plan.noise, spec, log.earlier, progress
            )
            if run is None:
                ledger.begin_run(len(log))
            else:
                ledger.run = run.number
            study = HostedStudy(
                spec,
                identity,
                plan,
                storage=storage,
                store=store,
                ledger=ledger,
                log=log,
                limits=limits,
                progress=progress,
            )
            if run is None:
                study.begin()
            else:
                study.go_on(run)
            yield study
    finally:
        store.close()


class HostedStudy:
    """A study and the parts that it is made of.

    Args:
        spec: the study.
        identity: this node's own.
        plan: of the study.
        storage: folder of the study.
        store: of its blobs.
        ledger: of its privacy budget, which knows the run.
        log: the compute node's.
        limits: of the operator.
        progress: told what happens; free of values.

    Attributes:
        state: of the study.
        roster: who may call.
        servicer: answers its calls; there from `prepare` on.
    """

    servicer: ComputeServicer

    def __init__(  # noqa: PLR0913  a study is made of all of these
        self,
        spec: StudySpec,
        identity: Identity,
        plan: StudyPlan,
        *,
        storage: Path,
        store: BlobStore,
        ledger: Ledger,
        log: AuditLog,
        limits: Limits,
        progress: Progress,
    ) -> None:
        self._spec = spec
        self._identity = identity
        self._plan = plan
        self._storage = storage
        self._store = store
        self._ledger = ledger
        self._log = log
        self._limits = limits
        self._progress = progress
        self._run: Run | None = None
        self._resumed = Resumed()
        used = used_versions(log.earlier)
        self.roster = Roster(spec, Pins(spec, used, self._note_use, self._tell_refused))
        self.state = self._new_state(limits.arrival)
        self._engine = Engine(plan.circuit.parameters, store.root / "engine", limits.workers)

    def _new_state(self, arrival: float) -> StudyState:
        membership = Membership(patience=self._limits.patience, arrival=arrival)
        rules = study_rules(self._spec, self._plan, self._limits.max_blocks)
        return StudyState(rules, membership, self._ledger)

    def begin(self) -> None:
        """Begin a run of the study, with nothing.

        Raises:
            BudgetError: earlier runs have spent what this one would need.
        """
        self._ledger.verify_study_affordable()
        self._store.begin()
        self._log.append(logbook.began(self._plan), *self._renewals())
        warn_of_ends(self._spec, self._progress)
        self.state.note_end = self._note_end

    def go_on(self, run: Run) -> None:
        """Go on with a run that an earlier process has left.

        Raises:
            StorageError: what the study rests on is not there as the log has it.
            LogError: the log says something that cannot have happened.
        """
        self._run = run
        self._warn_of_clock(run.entries[-1].time)
        # Everybody comes again, and nobody was told to hurry.
        self.state = self._new_state(max(self._limits.arrival, self._limits.patience))
        self._resumed = rebuild(self.state, run, holds(self._store))
        if self.state.phase is not Phase.OVER:
            for flaw in flaws(self._store, self.state, self._resumed):
                raise flaw.error()
            self._store.go_on()
        if self.state.rounds.is_complete:
            age = _seconds_since(self._resumed.completed)
            self.state.complete_since(time.monotonic() - max(age, 0.0))
        self.state.note_end = self._note_end
        self._log.append(logbook.began(self._plan, resumes=True), *self._renewals())
        warn_of_ends(self._spec, self._progress)
        said = f"going on with the study, which is {self.state.phase.value}"
        if self._resumed.lost:
            said += f"; {len(self._resumed.lost)} blobs are asked for again"
        self._progress.message(said)
        self._progress.event("resumed", phase=self.state.phase.name.lower())

    def _renewals(self) -> list[RenewalTaken]:
        return renewals_to_take(self._log.earlier, self._spec)

    def _note_use(self, used: CertificateUsed) -> None:
        """Put on record that an organisation uses its new certificate; no restart undoes it.

        Raises:
            StorageError: it cannot be written; this process takes no further step.
        """
        try:
            self._log.append(used)
        except StorageError as error:
            self.state.suspend(error)
            raise
        self._progress.message(f"{used.organisation} uses its renewed certificate")

    def _tell_refused(self, organisation: str) -> None:
        self._progress.message(
            f"refused a call with a certificate of {organisation} that was replaced: a node that "
            "was not started with the new one yet, or somebody who has the old key"
        )

    def _warn_of_clock(self, last: str) -> None:
        """Say so where the clock is far behind the log: retention is counted by it."""
        if _seconds_since(last) < -_SECONDS_PER_DAY:
            self._progress.message(
                f"this machine's clock is more than a day behind the last entry of the audit log "
                f"({last}); set it right, for the retention is counted by it"
            )

    def prepare(self) -> ComputeServicer:
        """Make what answers the study's calls. In the event loop in which `run` will be."""
        spec = self._spec
        self._changes = Changes()
        self._narrator = Narrator(self.state, self._progress)
        self._record: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._rounds = RoundRunner(
            self.state,
            self._store,
            self._engine,
            self._plan,
            spend=self._spend,
            evaluated=self._evaluated,
            progress=self._progress,
            changed=self._changes.happened,
        )
        checks = BlobChecks(
            self._plan.circuit.parameters,
            spec.most_clusters,
            spec.n_features,
            spec.column_layout,
            result_bytes=max(sealed_bytes(spec, name) for name in spec.recipients),
        )
        self.servicer = ComputeServicer(
            spec,
            self.state,
            self._store,
            checks,
            self._rounds,
            self._changes,
            self._record,
            roster=self.roster,
            log=self._log,
            progress=self._progress,
            resumed=self._resumed,
            gate=self._limits.gate,
        )
        return self.servicer

    async def run(self) -> None:
        """See the study to its end: until everything of it is deleted, and that is on record.

        Raises:
            StorageError, SuspendedError: this process has to stop; the study can go on later.
        """
        state, self._clock = self.state, PhaseClock()
        try:
            self._rounds.resume()
            await self._until(Phase.RESULTS)
            if state.phase is Phase.RESULTS:
                await self._rounds.close()
                self._progress.message(
                    "the study is finished; serving its sealed results for "
                    f"{self._spec.retention_days:g} days, or until it is closed"
                )
            await self._until(Phase.OVER)
            await self._rounds.close()
            await self._tell_everybody()
            self._record.set_result(await asyncio.to_thread(self._end))
            await self._hand_over()
        except MpcsegError as error:
            state.suspend(error)
            self._changes.happened()
            raise

    async def close(self) -> None:
        """Stop whatever runs."""
        await self._rounds.close()

    def stop(self) -> None:
        """Stop on the operator's word: nothing is deleted, and nobody is told that it is over."""
        self.state.suspend(
            SuspendedError(
                "stopped; start it again with the same command and it goes on",
                "To end the study for everybody: mpcseg study close, before or after.",
            )
        )
        self._changes.happened()

    def summary(self) -> ComputeSummary:
        """What this process has measured, of a study that is over."""
        return ComputeSummary(
            seconds=self._clock.seconds(),
            seconds_per_round=tuple(self._rounds.seconds),
            bytes_by_link=self.servicer.traffic.by_link(),
            peak_rss_mb=peak_rss_mb() + self._engine.peak_rss_mb,
            n_blocks={party.name: count for party, count in self.state.n_blocks.items()},
            n_refused=self.servicer.n_refused,
            worker_restarts=self._engine.worker_restarts,
            ending=self.state.ending.reason if self.state.ending else "",
        )

    def _spend(self, order: RoundOrder) -> None:
        """Enter a round into the ledger, on disk, before anything of it leaves this node."""
        spent = self._ledger.spend(order.kind, order.index, order.sign)
        self._ledger.save(ledger_path(self._storage, self._spec))
        tell_budget(self._progress, self._ledger, self._spec, order.index)
        if order.index not in self._resumed.paid:
            self._log.append(RoundSpent(round=order.index, rho=finite(spent.rho)))

    def _evaluated(self, order: RoundOrder, evidence: RoundEvidence) -> None:
        """Commit to what was computed, before anybody can ask for any of it."""
        starts = (logbook.head_of(self._store.release_path(h.name)) for h in evidence.releases)
        self._log.append(
            RoundEvaluated(
                round=order.index,
                seed_commitment=evidence.seed_commitment,
                manifest=evidence.manifest_sha256,
                n_units=evidence.n_units,
                n_releases=len(evidence.releases),
            ),
            *(logbook.released(*pair) for pair in zip(evidence.releases, starts, strict=True)),
        )

    def _note_end(self, ending: Ending) -> None:
        self._log.append(end_record(ending))

    def _end(self) -> bytes:
        """Delete everything, and put on record that it is gone.

        A process that is killed here leaves what the next one needs to complete it.
        """
        state = self.state
        purged = self._run.deletion if self._run else None
        if purged is None:
            purged = self._store.put_away()
            self._log.append(DeletionBegan(n_blobs=purged.n_blobs, n_bytes=purged.n_bytes))
        self._store.remove()
        ending = state.ending or Ending("aborted")
        record = ClosingRecord(
            reason=ending.reason,
            time=now(),
            purged=purged,
            request=ending.request,
            key_destroyed=state.key_destroyed,
            error=ending.error,
        )
        signed = sign_record(self._spec, self._identity, record)
        write_record(self._storage, self._spec, signed)
        digest = hashlib.sha256(signed).hexdigest()
        self._log.append(StudyEnded(reason=record.reason, record=digest))
        self._log.checkpoint()  # before anybody has the record and has the study verified
        return signed

    async def _until(self, phase: Phase) -> None:
        """Return when the study has come to a phase, or is over; looks at the clock meanwhile.

        Raises:
            MpcsegError: why this process has to stop.
        """
        state, narrator = self.state, self._narrator
        narrator.tell()
        while state.phase not in (phase, Phase.OVER):
            if state.suspended is not None:
                raise state.suspended
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changes.next(), _TICK_SECONDS)
            self._clock.note(state.phase)
            before = len(state.events)
            state.tick(time.monotonic())
            if len(state.events) > before:
                self._changes.happened()
            narrator.tell()
        self._clock.note(state.phase)

    @property
    def _is_late(self) -> bool:
        """Whether an earlier process had begun to end the study."""
        return self._run is not None and self._run.end_decided

    async def _hand_over(self) -> None:
        """Where whoever asked for the end was cut off by a restart: wait for it to ask again."""
        ending = self.state.ending
        if self._is_late and ending is not None and ending.request is not None:
            deadline = time.monotonic() + min(_LONG_LINGER_SECONDS, self._limits.patience)
            while time.monotonic() < deadline and not self.servicer.handed_over:
                await asyncio.sleep(_TICK_SECONDS)

    async def _tell_everybody(self) -> None:
        """Wait until every node has had its last event, or is not there to be told.

        The key node, where it has a key, also gets the time to say that it is destroyed.
        """
        state, told = self.state, self.servicer.told
        late = self._is_late
        seconds = _LONG_LINGER_SECONDS if late else _LINGER_SECONDS
        deadline = time.monotonic() + min(seconds, self._limits.patience)
        while time.monotonic() < deadline:
            awaited = state.membership.listeners()
            if late and state.error is not None:
                awaited |= {state.rules.key, *state.rules.parties}
            if not (awaited - told or state.awaits_destruction):
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changes.next(), _TICK_SECONDS)


def _seconds_since(time_: str) -> float:
    """Seconds since an entry was written, by this machine's clock; negative if it was set back."""
    written = datetime.strptime(time_, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    return (datetime.now(UTC) - written).total_seconds()
