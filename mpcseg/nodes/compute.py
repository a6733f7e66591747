"""The compute node: the only server of a study. It holds ciphertexts and evaluation keys only.

docs/protocol.md sections 1 and 3. It waits for the keys, collects every party's blocks, evaluates
the rounds that the key node asks for, hands out the sealed results, and deletes all of it when the
study is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from mpcseg.audit.log import AuditLog
from mpcseg.audit.records import RoundEvaluated, RoundSpent, StudyEnded
from mpcseg.engine import Engine, RoundEvidence
from mpcseg.errors import StudyAbortedError
from mpcseg.memory import peak_rss_mb
from mpcseg.nodes import logbook
from mpcseg.nodes.blob_checks import BlobChecks
from mpcseg.nodes.blob_store import BlobStore
from mpcseg.nodes.changes import Changes
from mpcseg.nodes.events import tell_absence, tell_budget
from mpcseg.nodes.membership import Membership
from mpcseg.nodes.planning import StudyPlan, study_plan
from mpcseg.nodes.progress import Progress
from mpcseg.nodes.records import ledger_path, verify_not_closed, write_record
from mpcseg.nodes.roles import MAX_BLOCKS, Role
from mpcseg.nodes.rounds import RoundRunner
from mpcseg.nodes.servicer import ComputeServicer
from mpcseg.nodes.study_course import Ending, Phase
from mpcseg.nodes.study_rules import RoundOrder, StudyRules
from mpcseg.nodes.study_state import StudyState
from mpcseg.nodes.summary import ComputeSummary
from mpcseg.nodes.transport import Roster, listen_on, make_server, verify_identity
from mpcseg.privacy.ledger import Ledger, finite
from mpcseg.study.closing import ClosingRecord, now, sign_record, sign_request
from mpcseg.study.identity import Identity
from mpcseg.study.results import sealed_bytes
from mpcseg.study.spec import StudySpec
from mpcseg.wire.v1 import compute_pb2_grpc

# How long the end of the study is offered to nodes whose watch is broken at that moment.
_LINGER_SECONDS = 5.0
_TICK_SECONDS = 0.25
# How long calls that are being answered may take when everything else is over.
_GRACE_SECONDS = 1.0
_SECONDS_PER_DAY = 86_400.0


def serve_compute(  # noqa: PLR0913  a node is started with all of these
    spec: StudySpec,
    identity: Identity,
    listen: str,
    storage: Path,
    workers: int,
    progress: Progress,
    *,
    patience: float = 60.0,
    arrival: float = 600.0,
    max_blocks: int = MAX_BLOCKS,
) -> ComputeSummary:
    """Serve one study and return when it is closed. Runs on the compute node.

    After the last round it goes on to serve the sealed results until the study is closed, the
    agreed retention is over, or its operator stops it, which closes the study as well.

    Args:
        spec: the study.
        identity: this node's own.
        listen: "host:port" to listen on; port 0 takes a free one. The progress event
            "listening" has the address.
        storage: folder for ciphertexts; they are removed when the study ends, however it ends.
            Privacy ledger, audit log and closing record of the agreement stay there.
        workers: worker processes for the evaluation.
        progress: told what happens; free of values.
        patience: seconds for which the study waits for a node that went away.
        arrival: seconds, from the first node's coming, for which it waits for the others.
        max_blocks: blocks that one party may upload.

    Raises:
        ConfigError: the identity, the address or the folder cannot be used.
        PlanError: no parameter set can carry the study.
        BudgetError: an earlier run of this agreement has spent its privacy budget.
        StudyClosedError: the study was closed before, or is before it has results.
        WithdrawnError: a party withdrew.
        NodeVanishedError: a node that the study needs stayed away.
        StudyAbortedError: another node, or this one's operator, stopped the study.
        WorkerError: a worker process kept dying.
    """
    verify_identity(spec, identity, Role.COMPUTE)
    roster = Roster(spec)
    store = BlobStore(storage, (roster.key, *roster.parties))
    try:
        verify_not_closed(storage, spec)
        plan = study_plan(spec)
        ledger = Ledger.load(ledger_path(storage, spec), plan.noise, spec.digest)
        ledger.verify_study_affordable()
        with AuditLog(storage, spec, identity, "compute") as log:
            log.append(logbook.began(plan))
            node = _Node(
                spec,
                identity,
                plan,
                storage=storage,
                store=store,
                ledger=ledger,
                log=log,
                limits=_Limits(workers, patience, arrival, max_blocks),
                progress=progress,
            )
            return asyncio.run(node.serve(listen))
    finally:
        store.close()


@dataclass(frozen=True)
class _Limits:
    """What the operator of a compute node allows."""

    workers: int
    patience: float
    arrival: float
    max_blocks: int


class _Node:
    """A compute node and the parts that it is made of; lives in one event loop."""

    def __init__(  # noqa: PLR0913  a node is made of all of these
        self,
        spec: StudySpec,
        identity: Identity,
        plan: StudyPlan,
        *,
        storage: Path,
        store: BlobStore,
        ledger: Ledger,
        log: AuditLog,
        limits: _Limits,
        progress: Progress,
    ) -> None:
        self._spec = spec
        self._identity = identity
        self._storage = storage
        self._store = store
        self._ledger = ledger
        self._log = log
        self._patience = limits.patience
        self._progress = progress
        membership = Membership(patience=limits.patience, arrival=limits.arrival)
        self._state = StudyState(_rules(spec, plan, limits.max_blocks), membership, ledger)
        self._engine = Engine(plan.circuit.parameters, store.root / "engine", limits.workers)
        self._plan = plan
        self._told, self._phase = 0, Phase.KEYS

    async def serve(self, address: str) -> ComputeSummary:
        """Serve the study to its end."""
        spec, state, progress = self._spec, self._state, self._progress
        changes = Changes()
        rounds = RoundRunner(
            state,
            self._store,
            self._engine,
            self._plan.noise,
            spend=self._spend,
            evaluated=self._evaluated,
            progress=progress,
            changed=changes.happened,
        )
        record: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        checks = BlobChecks(
            self._plan.circuit.parameters,
            spec.n_clusters,
            spec.n_features,
            result_bytes=max(sealed_bytes(spec, name) for name in spec.recipients),
        )
        servicer = ComputeServicer(
            spec,
            state,
            self._store,
            checks,
            rounds,
            changes,
            record,
            log=self._log,
            progress=progress,
        )
        server = make_server(Roster(spec))
        compute_pb2_grpc.add_ComputeNodeServicer_to_server(servicer, server)
        checkup = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(checkup, server)
        port = listen_on(server, spec, self._identity, address)
        clock = _Clock()
        await server.start()
        await checkup.set("", health_pb2.HealthCheckResponse.SERVING)
        progress.event("listening", address=f"{address.rpartition(':')[0]}:{port}")
        try:
            with _stopping_on_signals(self._stop, changes):
                await self._until(Phase.RESULTS, changes, clock)
                if state.phase is Phase.RESULTS:
                    await rounds.close()
                    progress.message(
                        "the study is finished; serving its sealed results for "
                        f"{spec.retention_days:g} days, or until it is closed or this node stopped"
                    )
                await self._until(Phase.OVER, changes, clock)
            self._tell()
            await rounds.close()
            await self._tell_everybody(servicer, changes)
            record.set_result(await asyncio.to_thread(self._end))
        finally:
            await checkup.enter_graceful_shutdown()
            await server.stop(grace=_GRACE_SECONDS)
            await rounds.close()
        if state.error is not None:
            raise state.error
        ending = state.ending.reason if state.ending else ""
        progress.message(f"the study is over ({ending}); ciphertexts, keys and results are deleted")
        return ComputeSummary(
            seconds=clock.seconds(),
            seconds_per_round=tuple(rounds.seconds),
            bytes_by_link=servicer.traffic.by_link(),
            peak_rss_mb=peak_rss_mb() + self._engine.peak_rss_mb,
            n_blocks={party.name: count for party, count in state.n_blocks.items()},
            n_refused=servicer.n_refused,
            worker_restarts=self._engine.worker_restarts,
            ending=ending,
        )

    def _spend(self, order: RoundOrder) -> None:
        """Enter a round into the ledger, on disk, before anything of it leaves this node."""
        spent = self._ledger.spend(order.kind, order.index, order.sign)
        self._ledger.save(ledger_path(self._storage, self._spec))
        self._log.append(RoundSpent(round=order.index, rho=finite(spent.rho)))
        tell_budget(self._progress, self._ledger, self._spec, order.index)

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

    def _stop(self) -> None:
        """End the study on the operator's word: a finished one is closed, any other aborted."""
        if self._state.phase is Phase.RESULTS:
            self._state.close(sign_request(self._identity, self._spec.digest, "close", now()))
        else:
            self._state.abort(
                StudyAbortedError("the operator of the compute node stopped the study")
            )

    def _end(self) -> bytes:
        """Delete everything, and put on record that it is gone."""
        state = self._state
        purged = self._store.purge()
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
        return signed

    async def _until(self, phase: Phase, changes: Changes, clock: _Clock) -> None:
        """Return when the study has come to a phase, or is over; looks at the clock meanwhile."""
        state = self._state
        while state.phase not in (phase, Phase.OVER):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changes.next(), _TICK_SECONDS)
            clock.note(state.phase)
            before = len(state.events)
            state.tick(time.monotonic())
            if len(state.events) > before:
                changes.happened()
            self._tell()
        clock.note(state.phase)

    def _tell(self) -> None:
        """Report to this node's operator what has happened since the last time."""
        state = self._state
        for event in state.events[self._told :]:
            self._told += 1
            tell_absence(self._progress, event)
        if state.phase is not self._phase:
            self._phase = state.phase
            self._progress.event("phase", phase=state.phase.name.lower())

    async def _tell_everybody(self, servicer: ComputeServicer, changes: Changes) -> None:
        """Wait until every node has had its last event, or is not there to be told.

        The key node, where it has a key, also gets the time to say that it is destroyed.
        """
        state = self._state
        deadline = time.monotonic() + min(_LINGER_SECONDS, self._patience)
        while time.monotonic() < deadline and (
            state.membership.listeners() - servicer.told or state.awaits_destruction
        ):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changes.next(), _TICK_SECONDS)


def _rules(spec: StudySpec, plan: StudyPlan, max_blocks: int) -> StudyRules:
    roster = Roster(spec)
    return StudyRules(
        study_digest=spec.digest,
        parameter_digest=plan.digest,
        compute=spec.compute.name,
        key=roster.key,
        parties=roster.parties,
        n_features=spec.n_features,
        n_clusters=spec.n_clusters,
        n_rounds=spec.n_rounds,
        signs=frozenset({plan.circuit.blunt, plan.circuit.sharp}),
        max_blocks=max_blocks,
        slot_ranges=plan.circuit.slot_ranges,
        recipients=spec.recipients,
        retention=spec.retention_days * _SECONDS_PER_DAY,
    )


@contextlib.contextmanager
def _stopping_on_signals(end: Callable[[], None], changes: Changes) -> Iterator[None]:
    """End the study for everybody when this process is told to stop."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        end()
        changes.happened()

    # Signals reach the main thread only; a node that runs in another one is not sent any.
    is_main = threading.current_thread() is threading.main_thread()
    signals = [signal.SIGINT, signal.SIGTERM] if is_main else []
    for number in signals:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


class _Clock:
    """When each phase of the study began."""

    def __init__(self) -> None:
        self._began = {Phase.KEYS: time.monotonic()}

    def note(self, phase: Phase) -> None:
        """Remember the moment of a new phase."""
        self._began.setdefault(phase, time.monotonic())

    def seconds(self) -> dict[str, float]:
        """Return the length of each phase, and of all."""
        names = {
            Phase.KEYS: "keys",
            Phase.BLOCKS: "collect",
            Phase.ROUNDS: "rounds",
            Phase.RESULTS: "results",
        }
        began = [*self._began.items()]
        spans = {
            names[phase]: later - start for (phase, start), (_, later) in itertools.pairwise(began)
        }
        return {**spans, "total": began[-1][1] - began[0][1]}
