"""What a party or the key node asks of the compute node: every call with deadline and retries.

Runs on: party nodes and the key node. Calls are synchronous and may be made from several threads.
A call that fails on the way is repeated with growing pauses until the patience is used up; the
compute node treats the repetition of something that it has already done as done.
"""

from __future__ import annotations

import random
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import grpc
import tenacity

from mpcseg import __version__
from mpcseg.errors import MpcsegError, NodeUnreachableError, ProtocolError
from mpcseg.nodes.diagnosis import diagnose
from mpcseg.nodes.progress import Progress
from mpcseg.nodes.transport import open_channel
from mpcseg.reference.rounds import RoundKind
from mpcseg.study.identity import Identity
from mpcseg.study.spec import StudySpec
from mpcseg.wire import conversions as convert
from mpcseg.wire.blobs import chunks_of, header_of, receive
from mpcseg.wire.events import Event, KeyAttestation, NodeAbsent, NodeBack, PartyReady
from mpcseg.wire.names import BlobName, Chunk
from mpcseg.wire.status import from_call, to_detail
from mpcseg.wire.v1 import blob_pb2, compute_pb2_grpc, event_pb2, round_pb2, session_pb2

T = TypeVar("T")

_CALL_SECONDS = 30.0
# A watch is reopened now and then, so that no call is without a deadline.
_WATCH_SECONDS = 600.0
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


@dataclass(frozen=True)
class Joined:
    """What the compute node answered to Join.

    Attributes:
        session: to be named in every call.
        committed: this party's blocks are complete already.
    """

    session: str
    committed: bool


class ComputeClient:
    """The compute node, as its clients see it. Use as a context manager, or ``disconnect``.

    Args:
        spec: the study.
        identity: this node's own.
        address: "host:port" of the compute node.
        parameter_digest: hex digest of the parameter set that this node planned.
        progress: told about every retry.
        patience: seconds for which to keep trying when the compute node does not answer.

    Every method raises what the compute node raised, ``NodeUnreachableError`` when it does not
    answer for ``patience`` seconds, and ``UnknownCertificateError`` when one side's certificate is
    not the one that the study names.
    """

    def __init__(
        self,
        spec: StudySpec,
        identity: Identity,
        address: str,
        *,
        parameter_digest: str,
        progress: Progress,
        patience: float,
    ) -> None:
        self._spec = spec
        self._identity = identity
        self._parameter_digest = parameter_digest
        self._progress = progress
        self._waits = backoff(patience)
        self._instance = secrets.token_hex(16)
        self._session = ""
        self._channel = open_channel(spec, identity, address)
        self._stub = compute_pb2_grpc.ComputeNodeStub(self._channel)
        self._count = threading.Lock()
        self.address = address
        self.bytes_sent: Counter[str] = Counter()
        self.bytes_received: Counter[str] = Counter()

    def join(self) -> Joined:
        """Enter the study, or enter it again after the connection was lost."""
        request = session_pb2.JoinRequest(
            protocol_version=convert.PROTOCOL_VERSION,
            software_version=__version__,
            study_digest=self._spec.digest,
            parameter_digest=self._parameter_digest,
            instance=self._instance,
        )
        reply = self._retry(lambda: self._stub.Join(request, timeout=_CALL_SECONDS))
        self._session = reply.session
        return Joined(reply.session, reply.committed)

    def watch_once(self, after: int) -> Iterator[tuple[int, Event]]:
        """Yield numbered events after number ``after`` until the stream ends; no retries.

        Raises:
            grpc.RpcError: the stream broke; ``transient`` says whether to try again.
            ProtocolError: an event that is not known, or of a node that is not in the study.
        """
        request = event_pb2.WatchRequest(
            study_digest=self._spec.digest, session=self._session, after=after
        )
        stream = self._stub.Watch(request, timeout=_WATCH_SECONDS)
        try:
            for message in stream:
                event = convert.event_from_wire(message)
                self._verify_name(event)
                yield message.number, event
        finally:
            stream.cancel()

    def _verify_name(self, event: Event) -> None:
        """Check that an event names a node of the study, for names are shown to a person."""
        match event:
            case PartyReady(name):
                known = name in (party.name for party in self._spec.parties)
            case NodeAbsent(name) | NodeBack(name):
                known = name in (node.name for node in self._spec.nodes)
            case _:
                known = True
        if not known:
            raise ProtocolError("the compute node speaks of a node that is not in the study")

    def upload(self, name: BlobName, blob: bytes) -> None:
        """Send one blob; one that the compute node already has is not sent again."""
        header = header_of(name, blob)
        opening = blob_pb2.UploadRequest(
            header=blob_pb2.UploadHeader(
                study_digest=self._spec.digest,
                session=self._session,
                blob=convert.header_to_wire(header),
            )
        )

        def requests() -> Iterator[blob_pb2.UploadRequest]:
            yield opening
            for chunk in chunks_of(blob):
                yield blob_pb2.UploadRequest(chunk=convert.chunk_to_wire(chunk))

        seconds = _CALL_SECONDS + len(blob) / _BYTES_PER_SECOND
        self._retry(lambda: self._stub.Upload(requests(), timeout=seconds))
        with self._count:
            self.bytes_sent[name.kind.value] += len(blob)

    def download(self, name: BlobName, limit: int) -> bytes:
        """Fetch one blob of at most ``limit`` bytes, checked against its digest."""
        request = blob_pb2.DownloadRequest(
            study_digest=self._spec.digest, session=self._session, name=convert.name_to_wire(name)
        )
        seconds = _CALL_SECONDS + limit / _BYTES_PER_SECOND
        blob = self._retry(lambda: self._download_once(request, name, limit, seconds))
        with self._count:
            self.bytes_received[name.kind.value] += len(blob)
        return blob

    def _download_once(
        self, request: blob_pb2.DownloadRequest, name: BlobName, limit: int, seconds: float
    ) -> bytes:
        stream = self._stub.Download(request, timeout=seconds)
        try:
            first = next(stream, None)
            if first is None or first.WhichOneof("part") != "header":
                raise ProtocolError("the compute node answered a download without a header")
            header = convert.header_from_wire(first.header)
            if header.name != name:
                raise ProtocolError(f"the compute node sent {header.name} when asked for {name}")
            chunks: Iterator[Chunk] = (convert.chunk_from_wire(message) for message in stream)
            return receive(header, chunks, limit)
        finally:
            stream.cancel()

    def publish_keys(self, attestation: KeyAttestation) -> None:
        """Key node: vouch for the public key, once both keys are uploaded."""
        request = round_pb2.PublishKeysRequest(
            study_digest=self._spec.digest,
            session=self._session,
            attestation=convert.attestation_to_wire(attestation),
        )
        self._retry(lambda: self._stub.PublishKeys(request, timeout=_CALL_SECONDS))

    def commit(self, n_blocks: int, manifest_sha256: bytes) -> None:
        """Party: say that its blocks are complete."""
        request = round_pb2.CommitRequest(
            study_digest=self._spec.digest,
            session=self._session,
            n_blocks=n_blocks,
            manifest_sha256=manifest_sha256,
        )
        self._retry(lambda: self._stub.Commit(request, timeout=_CALL_SECONDS))

    def open_round(self, kind: RoundKind, index: int, sign: tuple[int, ...]) -> None:
        """Key node: ask for the next round."""
        request = round_pb2.OpenRoundRequest(
            study_digest=self._spec.digest,
            session=self._session,
            kind=convert.round_kind_to_wire(kind),
            index=index,
            sign_degrees=sign,
        )
        self._retry(lambda: self._stub.OpenRound(request, timeout=_CALL_SECONDS))

    def finish(self) -> None:
        """Key node: the study is finished."""
        request = session_pb2.CloseRequest(
            study_digest=self._spec.digest, session=self._session, finished=session_pb2.Finished()
        )
        self._retry(lambda: self._stub.Close(request, timeout=_CALL_SECONDS))

    def abort(self, error: MpcsegError) -> None:
        """Stop the study for everybody, as well as possible: tried once, and never raises."""
        request = session_pb2.CloseRequest(
            study_digest=self._spec.digest, session=self._session, aborted=to_detail(error)
        )
        try:
            self._stub.Close(request, timeout=5.0)
        except grpc.RpcError as failure:
            # An answer, whichever, means that the study is over there already.
            if from_call(failure) is None:
                self._progress.message("the compute node could not be told why this node stops")

    def disconnect(self) -> None:
        """Close the channel."""
        self._channel.close()

    def __enter__(self) -> ComputeClient:
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
            reason = diagnose(self.address, self._identity, self._spec.compute.fingerprint)
            return True

        def pause(state: tenacity.RetryCallState) -> float:
            # Jitter, so that the nodes of a study do not all come back in the same moment.
            # Tenacity asks for a pause after the last try too, and does not make it.
            wait = (*self._waits, 0.0)[state.attempt_number - 1]
            return wait * random.uniform(0.75, 1.25)  # noqa: S311

        def tell(state: tenacity.RetryCallState) -> None:
            self._progress.message(
                f"compute node at {self.address} does not answer, trying again in "
                f"{state.upcoming_sleep:.1f} s ({state.attempt_number} of {len(self._waits)})"
            )

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

    def _retry(self, call: Callable[[], T]) -> T:
        return self.retrying()(call)


def backoff(patience: float) -> tuple[float, ...]:
    """Return the pauses between tries, in seconds: doubling from 0.5 to 15, ``patience`` in all."""
    waits: list[float] = []
    pause = 0.5
    while sum(waits) < patience:
        waits.append(min(pause, max(patience - sum(waits), 0.1)))
        pause = min(2 * pause, 15.0)
    return tuple(waits)
