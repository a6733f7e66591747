"""What a party or the key node asks of the compute node in its session.

Runs on: party nodes and the key node.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import grpc

from mpcseg import __version__
from mpcseg.audit.log import AuditLog
from mpcseg.errors import (
    DuplicateNodeError,
    MpcsegError,
    NodeUnreachableError,
    ProtocolError,
    StudyClosedError,
    UnknownSessionError,
)
from mpcseg.nodes import logbook
from mpcseg.nodes.connection import CALL_SECONDS, Connection, transfer_seconds
from mpcseg.nodes.pace import Pace
from mpcseg.nodes.progress import Progress
from mpcseg.nodes.roles import Role
from mpcseg.reference.rounds import RoundKind
from mpcseg.study.closing import KeyDestroyed
from mpcseg.study.identity import Identity
from mpcseg.study.spec import StudySpec
from mpcseg.wire import conversions as convert
from mpcseg.wire.blobs import chunks_of, header_of
from mpcseg.wire.events import Event, KeyAttestation, NodeAbsent, NodeBack, PartyReady
from mpcseg.wire.names import BlobHeader, BlobKind, BlobName
from mpcseg.wire.status import from_call, to_detail
from mpcseg.wire.v1 import audit_pb2, blob_pb2, closing_pb2, event_pb2, round_pb2, session_pb2

T = TypeVar("T")

# A watch is reopened now and then, so that no call is without a deadline.
_WATCH_SECONDS = 600.0
# Of at most 1,000 headers each: more than the largest party has blobs.
_MOST_LISTS = 1_000
# How often the place of a process that died is asked for.
_PLACE_PAUSE = 2.0
# For what is said in passing when a node ends.
_LAST_WORD_SECONDS = 5.0


@dataclass(frozen=True)
class Joined:
    """What the compute node answered to Join.

    Attributes:
        session: to be named in every call.
        committed: this party's blocks are complete already.
    """

    session: str
    committed: bool


class ComputeClient(Connection):
    """The compute node, as a node of the study sees it.

    Args:
        spec: the study.
        identity: this node's own.
        role: in which it takes part.
        address: "host:port" of the compute node.
        parameter_digest: hex digest of what this node planned.
        log: this node's audit log; everything that is sent or received stands in it.
        progress: told about every retry.
        patience: seconds for which to keep trying when the compute node does not answer.
        proxy: URL of the HTTP proxy on the way, as in `mpcseg.nodes.route.proxy_for`.
        max_upload_mbit: megabits per second that this node sends blobs with; None for no limit.
    """

    def __init__(  # noqa: PLR0913  a client is made of all of these
        self,
        spec: StudySpec,
        identity: Identity,
        role: Role,
        address: str,
        *,
        parameter_digest: str,
        log: AuditLog,
        progress: Progress,
        patience: float,
        proxy: str | None = None,
        max_upload_mbit: float | None = None,
    ) -> None:
        super().__init__(spec, identity, address, progress=progress, patience=patience, proxy=proxy)
        self._pace = Pace(max_upload_mbit, pause=self.pause)
        self._role = role
        self._parameter_digest = parameter_digest
        self.log = log
        self._instance = secrets.token_hex(16)
        self._session = ""
        self._complete = False
        self._joining = threading.Lock()
        self._count = threading.Lock()
        self.bytes_sent: Counter[str] = Counter()
        self.bytes_received: Counter[str] = Counter()

    @property
    def session(self) -> str:
        """The session at present; another one after the compute node was started anew."""
        return self._session

    def join(self, *, resumes: bool = False, place_seconds: float = 0.0) -> Joined:
        """Enter the study, or enter it again after the connection was lost.

        Args:
            resumes: this node goes on with what an earlier process of it has sent; without it, what
                a party sent and did not commit is forgotten.
            place_seconds: how long to wait for the place of an earlier process of this node.
        """
        given_up = time.monotonic() + place_seconds
        told = False
        while True:
            try:
                reply = self.repeat(lambda: self._join(resumes))
            except DuplicateNodeError:
                # The connection of a process that died counts until its silence is noticed.
                if time.monotonic() > given_up:
                    raise
                if not told:
                    self.progress.message("waiting until this node's earlier process has gone")
                    told = True
                self.pause(_PLACE_PAUSE)
            else:
                self._complete = self._complete or reply.committed
                return Joined(reply.session, reply.committed)

    def _join(self, resumes: bool) -> session_pb2.JoinReply:
        request = session_pb2.JoinRequest(
            protocol_version=convert.PROTOCOL_VERSION,
            software_version=__version__,
            study_digest=self.spec.digest,
            parameter_digest=self._parameter_digest,
            instance=self._instance,
            role=convert.role_to_wire(self._role),
            resumes=resumes,
        )
        reply: session_pb2.JoinReply = self.stub.Join(request, timeout=CALL_SECONDS)
        self.verify_study(reply)
        self._session = reply.session
        return reply

    def attempt(self, once: Callable[[], T]) -> T:
        """Make one try of a call; joins again where the compute node was started anew since."""
        session = self._session
        try:
            return once()
        except grpc.RpcError as error:
            if not isinstance(from_call(error), UnknownSessionError):
                raise
        with self._joining:
            # Several threads notice at once; the first one joins for all of them.
            if self._session == session:
                self.progress.message("the compute node was started anew; joining it again")
                self._verify_kept(self._join(resumes=True))
        return once()

    def _verify_kept(self, reply: session_pb2.JoinReply) -> None:
        """Check that a compute node that was started anew goes on with the same run of the study.

        Raises:
            ProtocolError: what this node had completed there is gone.
        """
        kept = reply.committed or not self._complete
        if self._complete and self._role is Role.KEY:
            request = blob_pb2.ListBlobsRequest(
                study_digest=self.spec.digest, session=reply.session
            )
            lists = self.stub.ListBlobs(request, timeout=CALL_SECONDS)
            headers = [convert.header_from_wire(blob) for one in lists for blob in one.blobs]
            kept = any(header.name == BlobName(BlobKind.PUBLIC_KEY) for header in headers)
        if not kept:
            raise ProtocolError(
                "the compute node was started anew, and what this node had sent to it is gone",
                "Run the study again on all nodes.",
            )

    def watch_once(self, session: str, after: int) -> Iterator[tuple[int, Event]]:
        """Yield a session's numbered events after number ``after`` until the stream ends, once.

        Raises:
            grpc.RpcError: the stream broke; ``transient`` says whether to try again.
            ProtocolError: an event that is not known, of another study, or of a node that is not
                in the study.
        """
        request = event_pb2.WatchRequest(
            study_digest=self.spec.digest, session=session, after=after
        )
        stream = self.stub.Watch(request, timeout=_WATCH_SECONDS)
        try:
            for message in stream:
                self.verify_study(message)
                event = convert.event_from_wire(message)
                self._verify_name(event)
                yield message.number, event
        finally:
            stream.cancel()

    def _verify_name(self, event: Event) -> None:
        """Check that an event names a node of the study, for names are shown to a person."""
        parties = {(party.name, Role.PARTY) for party in self.spec.parties}
        match event:
            case PartyReady(name):
                known = (name, Role.PARTY) in parties
            case NodeAbsent(name, role) | NodeBack(name, role):
                known = (name, role) in {*parties, (self.spec.key.name, Role.KEY)}
            case _:
                known = True
        if not known:
            raise ProtocolError("the compute node speaks of a node that is not in the study")

    def upload(self, name: BlobName, blob: bytes) -> None:
        """Send one blob; one that the compute node already has is not sent again."""
        header = header_of(name, blob)
        # Before its first byte leaves: a node that dies has written too much, never too little.
        self.log.append(logbook.sent(header, blob, self.spec.compute.name, "compute"))

        def requests() -> Iterator[blob_pb2.UploadRequest]:
            yield blob_pb2.UploadRequest(
                header=blob_pb2.UploadHeader(
                    study_digest=self.spec.digest,
                    session=self._session,
                    blob=convert.header_to_wire(header),
                )
            )
            for chunk in chunks_of(blob):
                self._pace.take(len(chunk.data))
                yield blob_pb2.UploadRequest(chunk=convert.chunk_to_wire(chunk))

        self.call(self.stub.Upload, requests, transfer_seconds(len(blob)))
        with self._count:
            self.bytes_sent[name.kind.value] += len(blob)
        self._crossed(f"{self._role.value}_to_compute", name, len(blob))

    def list_blobs(self) -> list[BlobHeader]:
        """Return what the compute node says that it has of this node's own blobs.

        Its word alone: this node's log says which of them it has sent, and with what digests.
        """
        messages = self.collect(
            self.stub.ListBlobs,
            lambda: blob_pb2.ListBlobsRequest(study_digest=self.spec.digest, session=self._session),
            _MOST_LISTS,
        )
        return [convert.header_from_wire(blob) for message in messages for blob in message.blobs]

    def download(self, name: BlobName, limit: int) -> bytes:
        """Fetch one blob of at most ``limit`` bytes, checked against its digest.

        The caller writes it into the log, with what it does with it.
        """

        def request() -> blob_pb2.DownloadRequest:
            return blob_pb2.DownloadRequest(
                study_digest=self.spec.digest,
                session=self._session,
                name=convert.name_to_wire(name),
            )

        blob = self.fetch(self.stub.Download, request, name, limit)
        with self._count:
            self.bytes_received[name.kind.value] += len(blob)
        self._crossed(f"compute_to_{self._role.value}", name, len(blob))
        return blob

    def _crossed(self, link: str, name: BlobName, n_bytes: int) -> None:
        self.progress.event("blob", link=link, blob_kind=name.kind.value, n_bytes=n_bytes)

    def publish_keys(self, attestation: KeyAttestation) -> None:
        """Key node: vouch for the public key, once both keys are uploaded."""

        def request() -> round_pb2.PublishKeysRequest:
            return round_pb2.PublishKeysRequest(
                study_digest=self.spec.digest,
                session=self._session,
                attestation=convert.attestation_to_wire(attestation),
            )

        self.call(self.stub.PublishKeys, request)
        self._complete = True

    def commit(self, n_blocks: int, manifest_sha256: bytes) -> None:
        """Party: say that its blocks are complete."""

        def request() -> round_pb2.CommitRequest:
            return round_pb2.CommitRequest(
                study_digest=self.spec.digest,
                session=self._session,
                n_blocks=n_blocks,
                manifest_sha256=manifest_sha256,
            )

        self.call(self.stub.Commit, request)
        self._complete = True

    def open_round(
        self, kind: RoundKind, index: int, sign: tuple[int, ...], n_clusters: int = 0
    ) -> None:
        """Key node: ask for the next round."""

        def request() -> round_pb2.OpenRoundRequest:
            return round_pb2.OpenRoundRequest(
                study_digest=self.spec.digest,
                session=self._session,
                kind=convert.round_kind_to_wire(kind),
                index=index,
                sign_degrees=sign,
                n_clusters=n_clusters,
            )

        self.call(self.stub.OpenRound, request)

    def exchange_checkpoints(self) -> None:
        """Take the head of the compute node's audit log, and leave that of this node's.

        Not before all blocks are complete: the size of the compute node's log would tell how many
        blocks a party has.

        Raises:
            LogError: one of the two logs was cut or rewritten since the last exchange.
            SignatureError: the compute node's organisation has not signed what came.
        """
        compute = self.spec.compute.name
        reply = self.call(
            self.stub.GetCheckpoint,
            lambda: audit_pb2.GetCheckpointRequest(
                study_digest=self.spec.digest,
                session=self._session,
                known_size=self.log.known_size(compute, "compute"),
            ),
        )
        taken = convert.checkpoint_from_wire(reply.checkpoint)
        if (taken.organisation, taken.role) != (compute, "compute"):
            raise ProtocolError("the compute node shows the checkpoint of another log")
        self.log.take(taken, convert.proof_from_wire(reply.consistency))
        own = self.log.checkpoint()
        self.call(
            self.stub.LeaveCheckpoint,
            lambda: audit_pb2.LeaveCheckpointRequest(
                study_digest=self.spec.digest,
                session=self._session,
                checkpoint=convert.checkpoint_to_wire(own),
                consistency=self.log.consistency_proof(reply.known_size, own.size),
            ),
        )

    def exchange_last_checkpoints(self) -> None:
        """Do so once more, when the study has its results; whoever closed it then was faster.

        Raises:
            LogError, SignatureError: as `exchange_checkpoints`.
        """
        try:
            self.exchange_checkpoints()
        except (NodeUnreachableError, StudyClosedError):
            self.progress.message(
                "the study was closed before the last checkpoints of the audit logs were exchanged"
            )

    def finish(self, statement: KeyDestroyed) -> None:
        """Key node: the sealed results are uploaded and the secret key is destroyed."""

        def request() -> closing_pb2.FinishRequest:
            return closing_pb2.FinishRequest(
                study_digest=self.spec.digest,
                session=self._session,
                statement=convert.destroyed_to_wire(statement),
            )

        self.call(self.stub.Finish, request)

    def report_destroyed(self, statement: KeyDestroyed) -> None:
        """Key node: the secret key is destroyed, of a study that ended early; never raises."""
        request = closing_pb2.ReportDestroyedRequest(
            study_digest=self.spec.digest,
            session=self._session,
            statement=convert.destroyed_to_wire(statement),
        )
        try:
            self.stub.ReportDestroyed(request, timeout=_LAST_WORD_SECONDS)
        except grpc.RpcError:
            self.progress.message("the compute node could not be told that the key is destroyed")

    def abort(self, error: MpcsegError) -> None:
        """Stop the study for everybody, as well as possible: tried once, and never raises."""
        request = session_pb2.AbortRequest(
            study_digest=self.spec.digest, session=self._session, reason=to_detail(error)
        )
        try:
            self.stub.Abort(request, timeout=_LAST_WORD_SECONDS)
        except grpc.RpcError as failure:
            # An answer, whichever, means that the study is over there already.
            if from_call(failure) is None:
                self.progress.message("the compute node could not be told why this node stops")
