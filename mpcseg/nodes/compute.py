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
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from mpcseg.errors import MpcsegError, SuspendedError
from mpcseg.nodes.hosted import HostedStudy, Limits, open_study
from mpcseg.nodes.hosting import Hosted, Reception, study_folder, verify_distinct
from mpcseg.nodes.progress import Progress
from mpcseg.nodes.roles import MAX_BLOCKS, Role
from mpcseg.nodes.rounds import unexpected
from mpcseg.nodes.summary import ComputeSummary
from mpcseg.nodes.transport import listen_on, make_server, verify_identity
from mpcseg.nodes.upload_gate import UploadGate
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
    outcomes = serve_studies(
        {spec: progress},
        identity,
        listen,
        storage,
        workers,
        patience=patience,
        arrival=arrival,
        max_blocks=max_blocks,
    )
    outcome = outcomes[spec.digest]
    if isinstance(outcome, MpcsegError):
        raise outcome
    return outcome


def serve_studies(  # noqa: PLR0913  as above
    studies: Mapping[StudySpec, Progress],
    identity: Identity,
    listen: str,
    storage: Path,
    workers: int,
    *,
    patience: float = 60.0,
    arrival: float = 600.0,
    max_blocks: int = MAX_BLOCKS,
) -> dict[str, ComputeSummary | MpcsegError]:
    """Serve studies on one port, and return when all are over. Runs on the compute node.

    Each has files, log, ledger, state and worker processes of its own, and ends by itself: what
    ends or stops one touches no other. The workers are dealt evenly, one to each study at least.

    Args:
        studies: the studies, each with what is told what happens in it.
        identity: as `serve_compute`, as the following.
        listen: where to listen.
        storage: one study has it to itself; of several, each has a folder of its own in it.
        workers: worker processes, of all studies together.
        patience: for each study.
        arrival: for each study.
        max_blocks: blocks that one party may upload to one study.

    Returns:
        By the agreement's digest what the study's process measured, or why it ended early. One that
        was closed before, or cannot be begun, is not served; the others are.

    Raises:
        ConfigError: the identity or the address cannot be used, or the studies not together.
        SuspendedError: this node's operator stopped it before it served.
    """
    verify_distinct([*studies])
    for spec in studies:
        verify_identity(spec, identity, Role.COMPUTE)
    share = max(1, workers // len(studies))
    limits = Limits(share, patience, arrival, max_blocks, UploadGate())
    outcomes: dict[str, ComputeSummary | MpcsegError] = {}
    hosted: dict[StudySpec, HostedStudy] = {}
    try:
        with ExitStack() as opened:
            for spec, progress in studies.items():
                folder = study_folder(storage, spec, is_alone=len(studies) == 1)
                try:
                    study = open_study(spec, identity, folder, limits, progress)
                    hosted[spec] = opened.enter_context(study)
                except MpcsegError as error:
                    outcomes[spec.digest] = error
                    if len(studies) > 1:
                        progress.message(f"is not served: {error.message}")
            if hosted:
                outcomes |= asyncio.run(_serve(identity, hosted, listen, studies))
            return outcomes
    except KeyboardInterrupt:
        # Before the event loop took the signals, or a second one.
        raise SuspendedError(
            "stopped; start it again with the same command and it goes on"
        ) from None


async def _serve(
    identity: Identity,
    studies: Mapping[StudySpec, HostedStudy],
    address: str,
    told: Mapping[StudySpec, Progress],
) -> dict[str, ComputeSummary | MpcsegError]:
    servicers = {spec.digest: (study.roster, study.prepare()) for spec, study in studies.items()}
    hosted = Hosted(servicers)
    server = make_server(hosted)
    compute_pb2_grpc.add_ComputeNodeServicer_to_server(Reception(hosted), server)
    checkup = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checkup, server)
    rosters = [study.roster for study in studies.values()]
    port = listen_on(server, rosters, identity, address)
    await server.start()
    await checkup.set("", health_pb2.HealthCheckResponse.SERVING)
    for spec in studies:
        told[spec].event("listening", address=f"{address.rpartition(':')[0]}:{port}")

    def stop() -> None:
        for study in studies.values():
            study.stop()

    try:
        with _stopping_on_signals(stop):
            ends = [_outcome(study, told[spec]) for spec, study in studies.items()]
            outcomes = await asyncio.gather(*ends)
    finally:
        await checkup.enter_graceful_shutdown()
        await server.stop(grace=_GRACE_SECONDS)
        for study in studies.values():
            await study.close()
    return {spec.digest: outcome for spec, outcome in zip(studies, outcomes, strict=True)}


async def _outcome(study: HostedStudy, progress: Progress) -> ComputeSummary | MpcsegError:
    """See one study to its end, whatever it is, so that the others go on."""
    try:
        await study.run()
    except MpcsegError as error:
        return error
    except Exception as error:
        # Whatever it is: the other studies are none of its business.
        return unexpected(error, progress)
    if study.state.error is not None:
        return study.state.error
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
