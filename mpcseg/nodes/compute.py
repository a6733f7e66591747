"""The compute node: the only server of a study. It holds ciphertexts and evaluation keys only.

docs/protocol.md sections 1 and 3. It waits for the keys, collects every party's blocks, evaluates
the rounds that the key node asks for, and removes all of it when the study closes.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from mpcseg.engine import Engine
from mpcseg.errors import StudyAbortedError
from mpcseg.memory import peak_rss_mb
from mpcseg.nodes.blob_checks import BlobChecks
from mpcseg.nodes.blob_store import BlobStore
from mpcseg.nodes.changes import Changes
from mpcseg.nodes.membership import Membership
from mpcseg.nodes.planning import plan_of
from mpcseg.nodes.progress import Progress
from mpcseg.nodes.roles import MAX_BLOCKS, Role
from mpcseg.nodes.rounds import RoundRunner
from mpcseg.nodes.servicer import ComputeServicer
from mpcseg.nodes.study_rules import StudyRules
from mpcseg.nodes.study_state import Phase, StudyState
from mpcseg.nodes.summary import ComputeSummary
from mpcseg.nodes.transport import Roster, listen_on, make_server, verify_identity
from mpcseg.study.identity import Identity
from mpcseg.study.spec import StudySpec
from mpcseg.wire.v1 import compute_pb2_grpc

# How long the end of the study is offered to nodes whose watch is broken at that moment.
_LINGER_SECONDS = 5.0
_TICK_SECONDS = 0.25


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
    """Serve one study and return when it is finished. Runs on the compute node.

    Args:
        spec: the study.
        identity: this node's own.
        listen: "host:port" to listen on; port 0 takes a free one. The progress event
            "listening" has the address.
        storage: folder for ciphertexts; they are removed when the study ends, however it ends.
        workers: worker processes for the evaluation.
        progress: told what happens; free of values.
        patience: seconds for which the study waits for a node that went away.
        arrival: seconds, from the first node's coming, for which it waits for the others.
        max_blocks: blocks that one party may upload.

    Raises:
        ConfigError: the identity, the address or the folder cannot be used.
        PlanError: no parameter set can carry the study.
        NodeVanishedError: a node that the study needs stayed away.
        StudyAbortedError: another node, or this one's operator, stopped the study.
        WorkerError: a worker process kept dying.
    """
    verify_identity(spec, identity, Role.COMPUTE)
    node = _Parts(spec, identity, workers, patience, arrival, max_blocks)
    roster = Roster(spec)
    store = BlobStore(storage, (roster.key, *roster.parties))
    try:
        return asyncio.run(_serve(node, store, listen, progress))
    finally:
        store.close()


@dataclass(frozen=True)
class _Parts:
    """What a compute node is started with."""

    spec: StudySpec
    identity: Identity
    workers: int
    patience: float
    arrival: float
    max_blocks: int


async def _serve(
    node: _Parts, store: BlobStore, address: str, progress: Progress
) -> ComputeSummary:
    spec, plan = node.spec, plan_of(node.spec)
    roster = Roster(spec)
    rules = StudyRules(
        study_digest=spec.digest,
        parameter_digest=plan.digest,
        key=roster.key,
        parties=roster.parties,
        n_features=spec.n_features,
        n_clusters=spec.n_clusters,
        n_rounds=spec.n_rounds,
        signs=frozenset({plan.blunt, plan.sharp}),
        max_blocks=node.max_blocks,
        slot_ranges=plan.slot_ranges,
    )
    membership = Membership(patience=node.patience, arrival=node.arrival)
    state = StudyState(rules, membership)
    engine = Engine(plan.parameters, store.root / "engine", node.workers)
    changes = Changes()
    rounds = RoundRunner(state, store, engine, progress, changes.happened)
    servicer = ComputeServicer(
        spec,
        state,
        store,
        BlobChecks(plan.parameters, spec.n_clusters, spec.n_features),
        rounds,
        changes,
        progress=progress,
    )
    server = make_server(spec)
    compute_pb2_grpc.add_ComputeNodeServicer_to_server(servicer, server)
    checkup = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checkup, server)
    port = listen_on(server, spec, node.identity, address)
    clock = _Clock()
    await server.start()
    await checkup.set("", health_pb2.HealthCheckResponse.SERVING)
    progress.event("listening", address=f"{address.rpartition(':')[0]}:{port}")
    try:
        with _stopping_on_signals(state, changes):
            await _until_over(state, changes, clock)
            await _tell_everybody(state, servicer, changes, min(_LINGER_SECONDS, node.patience))
    finally:
        await checkup.enter_graceful_shutdown()
        await server.stop(grace=1.0)
        await rounds.close()
    if state.error is not None:
        raise state.error
    progress.message("the study is finished; every ciphertext is removed")
    return ComputeSummary(
        seconds=clock.seconds(),
        seconds_per_round=tuple(rounds.seconds),
        bytes_by_link=servicer.traffic.by_link(),
        peak_rss_mb=peak_rss_mb() + engine.peak_rss_mb,
        n_blocks={party.name: count for party, count in state.n_blocks.items()},
        n_refused=servicer.n_refused,
        worker_restarts=engine.worker_restarts,
    )


async def _until_over(state: StudyState, changes: Changes, clock: _Clock) -> None:
    """Return when the study is over; gives up on vanished nodes meanwhile."""
    while state.phase is not Phase.OVER:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(changes.next(), _TICK_SECONDS)
        clock.note(state.phase)
        before = len(state.events)
        state.tick(time.monotonic())
        if len(state.events) > before:
            changes.happened()


async def _tell_everybody(
    state: StudyState, servicer: ComputeServicer, changes: Changes, seconds: float
) -> None:
    """Wait until every node has had the study's last event, or is not there to be told."""
    deadline = time.monotonic() + seconds
    while state.membership.listeners() - servicer.told and time.monotonic() < deadline:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(changes.next(), _TICK_SECONDS)


@contextlib.contextmanager
def _stopping_on_signals(state: StudyState, changes: Changes) -> Iterator[None]:
    """End the study for everybody when this process is told to stop."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        state.abort(StudyAbortedError("the operator of the compute node stopped the study"))
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
        names = {Phase.KEYS: "keys", Phase.BLOCKS: "collect", Phase.ROUNDS: "rounds"}
        began = [*self._began.items()]
        spans = {
            names[phase]: later - start for (phase, start), (_, later) in itertools.pairwise(began)
        }
        return {**spans, "total": began[-1][1] - began[0][1]}
