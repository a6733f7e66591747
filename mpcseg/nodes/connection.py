"""A way to the compute node, with deadlines and retries; below the calls that are made on it.

Runs on: party nodes, the key node, and wherever an organisation fetches results or closes a study.
Calls are synchronous and may be made from several threads. A call that fails on the way is
repeated with growing pauses until the patience is used up; the compute node treats the repetition
of something that it has already done as done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Self, TypeVar

import grpc

from mpcseg.errors import ProtocolError, StorageError, SuspendedError, UnknownSessionError
from mpcseg.nodes.diagnosis import diagnose
from mpcseg.nodes.progress import Progress
from mpcseg.nodes.retries import Retries
from mpcseg.nodes.route import proxy_for
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
_BYTES_PER_SECOND = 10_000

_TRANSIENT = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    # How a server that is being stopped, or a connection that breaks inside a stream, shows.
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}

# The compute node was stopped, its disk is full, or it was started anew: it comes back.
_PASSING = (StorageError, SuspendedError, UnknownSessionError)


class Connection:
    """The compute node of a study. Use as a context manager, or ``disconnect``.

    Args:
        spec: the study.
        identity: the calling organisation's own.
        address: "host:port" of the compute node.
        progress: told about every retry.
        patience: seconds for which to keep trying when the compute node does not answer.
        proxy: URL of the HTTP proxy on the way, as in `mpcseg.nodes.route.proxy_for`.

    Every call raises what the compute node raised, ``NodeUnreachableError`` when it does not
    answer for ``patience`` seconds, ``UnknownCertificateError`` when one side's certificate is
    not the one that counts in the study, ``CertificateEndedError`` when it is not valid any more,
    ``ProxyError`` when the proxy refuses, and ``ProtocolError`` for an answer of another study.
    """

    def __init__(
        self,
        spec: StudySpec,
        identity: Identity,
        address: str,
        *,
        progress: Progress,
        patience: float,
        proxy: str | None = None,
    ) -> None:
        self.spec = spec
        self.identity = identity
        self.address = address
        self.progress = progress
        self._retries = Retries(address, patience, progress)
        self._proxy = proxy_for(address, proxy)
        self._channel = open_channel(spec, identity, address, self._proxy)
        self.stub = compute_pb2_grpc.ComputeNodeStub(self._channel)

    def call(self, method: Callable[..., T], request: object, seconds: float = CALL_SECONDS) -> T:
        """Make a call, again where it fails on the way, and check that the answer is this study's.

        Args:
            method: of the stub.
            request: its message; or a function that makes it, or a stream of messages, afresh for
                each try.
            seconds: for each try.
        """

        def once() -> T:
            return method(request() if callable(request) else request, timeout=seconds)

        reply = self.repeat(once)
        self.verify_study(reply)
        return reply

    def fetch(
        self, method: Callable[..., Any], request: object, name: BlobName, limit: int
    ) -> bytes:
        """Fetch one blob of at most ``limit`` bytes, checked against its digest.

        Args:
            method: of the stub, answered by a stream of ``DownloadReply``.
            request: its message, or a function that makes it afresh for each try.
            name: the blob that must come.
            limit: the most bytes it may have.
        """
        seconds = transfer_seconds(limit)

        def once() -> bytes:
            stream = method(request() if callable(request) else request, timeout=seconds)
            try:
                return self._receive(stream, name, limit)
            finally:
                stream.cancel()

        return self.repeat(once)

    def collect(self, method: Callable[..., Any], request: object, most: int) -> list[Any]:
        """Return all messages of an answer that is a stream of ``most`` of them at most.

        Args:
            method: of the stub.
            request: its message, or a function that makes it afresh for each try.
            most: messages that may come.
        """

        def once() -> list[Any]:
            messages: list[Any] = []
            stream = method(request() if callable(request) else request, timeout=CALL_SECONDS)
            try:
                for message in stream:
                    self.verify_study(message)
                    messages.append(message)
                    if len(messages) > most:
                        raise ProtocolError("the compute node answers without an end")
            finally:
                stream.cancel()
            return messages

        return self.repeat(once)

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
        """Close the channel; what is on its way in other threads ends, and is not tried again."""
        self._retries.leave()
        self._channel.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Disconnect."""
        self.disconnect()

    def explain(self, error: grpc.RpcError) -> str:
        """Return why a call failed that may be repeated; otherwise raise what went wrong."""
        ours = from_call(error)
        if isinstance(ours, _PASSING):
            return ours.message
        if ours is not None:
            raise ours from None
        code = error.code() if isinstance(error, grpc.Call) else grpc.StatusCode.UNAVAILABLE
        if code not in _TRANSIENT:
            raise ProtocolError(f"the compute node refused a call ({code.name})") from None
        return diagnose(self.address, self.identity, self.spec, proxy=self._proxy)

    def attempt(self, once: Callable[[], T]) -> T:
        """Make one try of a call; where calls belong to a session, in one that is known there."""
        return once()

    def pause(self, seconds: float) -> None:
        """Wait, unless this node is leaving."""
        self._retries.pause(seconds)

    def repeat(self, once: Callable[[], T]) -> T:
        """Return what ``once`` returns; tried again where it raises ``grpc.RpcError``."""
        return self._retries.run(lambda: self.attempt(once), self.explain)


def transfer_seconds(n_bytes: int) -> float:
    """Return how long a transfer may take on the slowest line that is given time for."""
    return CALL_SECONDS + n_bytes / _BYTES_PER_SECOND
