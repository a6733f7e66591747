"""A way to the compute node, with deadlines and retries; below the calls that are made on it.

Runs on: party nodes, the key node, and wherever an organisation fetches results or closes a study.
Calls are synchronous and may be made from several threads. A call that fails on the way is
repeated with growing pauses until the patience is used up; the compute node treats the repetition
of something that it has already done as done.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any, Self, TypeVar

import grpc
import tenacity

from mpcseg.errors import NodeUnreachableError, ProtocolError
from mpcseg.nodes.diagnosis import diagnose
from mpcseg.nodes.progress import Progress
from mpcseg.nodes.transport import open_channel
from mpcseg.study.identity import Identity
from mpcseg.study.spec import StudySpec
from mpcseg.wire import conversions as convert
from mpcseg.wire.blobs import receive
from mpcseg.wire.names import BlobName, Chunk
from mpcseg.wire.status import from_call
from mpcseg.wire.v1 import blob_pb2, compute_pb2_grpc

T = TypeVar("T")

CALL_SECONDS = 30.0
# The slowest line that a transfer is given time for.
_BYTES_PER_SECOND = 50_000

_TRANSIENT = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    # How a server that is being stopped, or a connection that breaks inside a stream, shows.
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}


class Connection:
    """The compute node of a study. Use as a context manager, or ``disconnect``.

    Args:
        spec: the study.
        identity: the calling organisation's own.
        address: "host:port" of the compute node.
        progress: told about every retry.
        patience: seconds for which to keep trying when the compute node does not answer.

    Every call raises what the compute node raised, ``NodeUnreachableError`` when it does not
    answer for ``patience`` seconds, ``UnknownCertificateError`` when one side's certificate is
    not the one that the agreement names, and ``ProtocolError`` for an answer of another study.
    """

    def __init__(
        self,
        spec: StudySpec,
        identity: Identity,
        address: str,
        *,
        progress: Progress,
        patience: float,
    ) -> None:
        self.spec = spec
        self.identity = identity
        self.address = address
        self.progress = progress
        self._waits = backoff(patience)
        self._channel = open_channel(spec, identity, address)
        self.stub = compute_pb2_grpc.ComputeNodeStub(self._channel)

    def call(self, method: Callable[..., T], request: object, seconds: float = CALL_SECONDS) -> T:
        """Make a call, again where it fails on the way, and check that the answer is this study's.

        Args:
            method: of the stub.
            request: its message; or a function that gives a stream of messages, afresh each time.
            seconds: for each try.
        """

        def once() -> T:
            return method(request() if callable(request) else request, timeout=seconds)

        reply = self.retrying()(once)
        self.verify_study(reply)
        return reply

    def fetch(
        self, method: Callable[..., Any], request: object, name: BlobName, limit: int
    ) -> bytes:
        """Fetch one blob of at most ``limit`` bytes, checked against its digest.

        Args:
            method: of the stub, answered by a stream of ``DownloadReply``.
            request: its message.
            name: the blob that must come.
            limit: the most bytes it may have.
        """
        seconds = transfer_seconds(limit)

        def once() -> bytes:
            stream = method(request, timeout=seconds)
            try:
                return self._receive(stream, name, limit)
            finally:
                stream.cancel()

        return self.retrying()(once)

    def _receive(
        self, stream: Iterator[blob_pb2.DownloadReply], name: BlobName, limit: int
    ) -> bytes:
        first = next(stream, None)
        if first is None or first.WhichOneof("part") != "header":
            raise ProtocolError("the compute node answered a download without a header")
        self.verify_study(first.header)
        header = convert.header_from_wire(first.header.blob)
        if header.name != name:
            raise ProtocolError(f"the compute node sent {header.name} when asked for {name}")
        chunks: Iterator[Chunk] = (convert.chunk_from_wire(message) for message in stream)
        return receive(header, chunks, limit)

    def verify_study(self, message: Any) -> None:
        """Check that what came is of this study: every answer and event carries its digest.

        Raises:
            ProtocolError: it is of another one.
        """
        if message.study_digest != self.spec.digest:
            raise ProtocolError(
                "the compute node answered for another study",
                "Do not go on; ask the operator of the compute node.",
            )

    def disconnect(self) -> None:
        """Close the channel."""
        self._channel.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Disconnect."""
        self.disconnect()

    def explain(self, error: grpc.RpcError) -> None:
        """Return if the failed call may be repeated; otherwise raise what went wrong."""
        ours = from_call(error)
        if ours is not None:
            raise ours from None
        code = error.code() if isinstance(error, grpc.Call) else grpc.StatusCode.UNAVAILABLE
        if code not in _TRANSIENT:
            raise ProtocolError(f"the compute node refused a call ({code.name})") from None

    def retrying(self) -> tenacity.Retrying:
        """Return the retries of one call that raises ``grpc.RpcError``."""
        reason = "it does not answer"

        def again(state: tenacity.RetryCallState) -> bool:
            nonlocal reason
            error = state.outcome.exception() if state.outcome else None
            if not isinstance(error, grpc.RpcError):
                return False
            self.explain(error)
            reason = diagnose(self.address, self.identity, self.spec.compute.fingerprint)
            return True

        def pause(state: tenacity.RetryCallState) -> float:
            # Jitter, so that the nodes of a study do not all come back in the same moment.
            # Tenacity asks for a pause after the last try too, and does not make it.
            wait = (*self._waits, 0.0)[state.attempt_number - 1]
            return wait * random.uniform(0.75, 1.25)  # noqa: S311

        def tell(state: tenacity.RetryCallState) -> None:
            self.progress.message(
                f"compute node at {self.address} does not answer, trying again in "
                f"{state.upcoming_sleep:.1f} s ({state.attempt_number} of {len(self._waits)})"
            )
            pause = round(state.upcoming_sleep, 1)
            self.progress.event("retry", attempt=state.attempt_number, pause_seconds=pause)

        def give_up(_: tenacity.RetryCallState) -> None:
            raise NodeUnreachableError(
                f"the compute node at {self.address} does not answer: {reason}",
                "Start it with `mpcseg compute serve`, or check the address and the firewall.",
            )

        return tenacity.Retrying(
            retry=again,
            wait=pause,
            stop=tenacity.stop_after_attempt(len(self._waits) + 1),
            before_sleep=tell,
            retry_error_callback=give_up,
        )


def transfer_seconds(n_bytes: int) -> float:
    """Return how long a transfer may take on the slowest line that is given time for."""
    return CALL_SECONDS + n_bytes / _BYTES_PER_SECOND


def backoff(patience: float) -> tuple[float, ...]:
    """Return the pauses between tries, in seconds: doubling from 0.5 to 15, ``patience`` in all."""
    waits: list[float] = []
    pause = 0.5
    while sum(waits) < patience:
        waits.append(min(pause, max(patience - sum(waits), 0.1)))
        pause = min(2 * pause, 15.0)
    return tuple(waits)
