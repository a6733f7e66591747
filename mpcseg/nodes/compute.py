"""The compute node: the only server of a study. It holds ciphertexts and evaluation keys only.

docs/protocol.md sections 1 and 3. It waits for the keys, collects every party's blocks, evaluates
the rounds that the key node asks for, hands out the sealed results, and deletes all of it when the
study is closed. It may be killed at any moment: started again, it goes on (ADR 0018).
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from mpcseg.errors import SuspendedError
from mpcseg.nodes.hosted import HostedStudy, Limits, open_study
from mpcseg.nodes.progress import Progress
from mpcseg.nodes.roles import MAX_BLOCKS, Role
from mpcseg.nodes.summary import ComputeSummary
from mpcseg.nodes.transport import Roster, listen_on, make_server, verify_identity
from mpcseg.study.identity import Identity
from mpcseg.study.spec import StudySpec
from mpcseg.wire.v1 import compute_pb2_grpc

# How long calls that are being answered may take when everything else is over.
_GRACE_SECONDS = 1.0


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

    After the last round it goes on to serve the sealed results until the study is closed or the
    agreed retention is over. A process that was killed or stopped before is gone on with.

    Args:
        spec: the study.
        identity: this node's own.
        listen: "host:port" to listen on; port 0 takes a free one. The progress event
            "listening" has the address.
        storage: folder for ciphertexts; they are removed when the study ends, however it ends,
            and stay when this process is stopped. Privacy ledger, audit log and closing record of
            the agreement stay there.
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
        StudyAbortedError: another node stopped the study.
        WorkerError: a worker process kept dying.
        SuspendedError: this node's operator stopped it; the study goes on when it is started again.
        StorageError: so does it when this node's disk is mended.
    """
    verify_identity(spec, identity, Role.COMPUTE)
    limits = Limits(workers, patience, arrival, max_blocks)
    try:
        with open_study(spec, identity, storage, limits, progress) as study:
            return asyncio.run(_serve(spec, identity, study, listen, progress))
    except KeyboardInterrupt:
        # Before the event loop took the signals, or a second one.
        raise SuspendedError(
            "stopped; start it again with the same command and it goes on"
        ) from None


async def _serve(
    spec: StudySpec, identity: Identity, study: HostedStudy, address: str, progress: Progress
) -> ComputeSummary:
    server = make_server(Roster(spec))
    compute_pb2_grpc.add_ComputeNodeServicer_to_server(study.prepare(), server)
    checkup = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checkup, server)
    port = listen_on(server, spec, identity, address)
    await server.start()
    await checkup.set("", health_pb2.HealthCheckResponse.SERVING)
    progress.event("listening", address=f"{address.rpartition(':')[0]}:{port}")
    try:
        with _stopping_on_signals(study.stop):
            await study.run()
    finally:
        await checkup.enter_graceful_shutdown()
        await server.stop(grace=_GRACE_SECONDS)
        await study.close()
    if study.state.error is not None:
        raise study.state.error
    summary = study.summary()
    progress.message(
        f"the study is over ({summary.ending}); ciphertexts, keys and results are deleted"
    )
    return summary


@contextlib.contextmanager
def _stopping_on_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Stop in good order when this process is told to; a second signal ends it at once."""
    loop = asyncio.get_running_loop()
    # Signals reach the main thread only; a node that runs in another one is not sent any.
    is_main = threading.current_thread() is threading.main_thread()
    signals = [signal.SIGINT, signal.SIGTERM] if is_main else []

    def release() -> None:
        while signals:
            loop.remove_signal_handler(signals.pop())

    def stop_once() -> None:
        release()
        stop()

    for number in signals:
        loop.add_signal_handler(number, stop_once)
    try:
        yield
    finally:
        release()
