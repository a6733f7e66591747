"""The compute node's gRPC service: from calls to the state machine and the blob store, and back.

Handlers run on one event loop: disk and checks go to threads, evaluation to the engine's processes,
so that health checks are answered at any time. What must change together with the state, such as an
entry of the audit log, is written on the loop itself; that takes milliseconds.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from mpcseg.audit.log import AuditLog
from mpcseg.audit.records import (
    BlocksCommitted,
    KeysVouched,
    NodeRole,
    Record,
    RefusalsOmitted,
    Refused,
    RoundOpened,
    SecretKeyDestroyed,
)
from mpcseg.errors import (
    LogError,
    MpcsegError,
    ProtocolError,
    TruncatedStreamError,
    UnknownCertificateError,
)
from mpcseg.nodes import logbook
from mpcseg.nodes.answering import Answering, Context, answered
from mpcseg.nodes.blob_checks import BlobChecks
from mpcseg.nodes.blob_store import BlobStore
from mpcseg.nodes.changes import Changes
from mpcseg.nodes.progress import Progress
from mpcseg.nodes.roles import Caller
from mpcseg.nodes.rounds import RoundRunner
from mpcseg.nodes.status import status_for
from mpcseg.nodes.study_rules import Claims, RoundOrder, block_names
from mpcseg.nodes.study_state import StudyState
from mpcseg.nodes.summary import Traffic
from mpcseg.nodes.transport import Roster
from mpcseg.study.card import verify_signature
from mpcseg.study.closing import (
    Action,
    KeyDestroyed,
    SignedRequest,
    verify_key_destroyed,
    verify_request,
)
from mpcseg.study.spec import StudySpec
from mpcseg.wire import conversions as convert
from mpcseg.wire.blobs import FileReceiver, chunks_of_file
from mpcseg.wire.events import KEYS_PURPOSE, attested_bytes
from mpcseg.wire.names import BlobHeader, BlobKind
from mpcseg.wire.status import from_detail
from mpcseg.wire.study_status import status_to_wire
from mpcseg.wire.v1 import (
    audit_pb2,
    blob_pb2,
    closing_pb2,
    event_pb2,
    round_pb2,
    session_pb2,
    status_pb2,
)

CHUNK_SECONDS = 60.0
"""Longest silence within an upload; a client that stalls longer gives its place back."""


async def _paced(
    requests: AsyncIterator[blob_pb2.UploadRequest],
) -> AsyncIterator[blob_pb2.UploadRequest]:
    """Yield the messages of an upload.

    Raises:
        TruncatedStreamError: none came for :data:`CHUNK_SECONDS`.
    """
    while True:
        try:
            async with asyncio.timeout(CHUNK_SECONDS):
                message = await anext(requests, None)
        except TimeoutError:
            raise TruncatedStreamError(
                f"an upload fell silent for {CHUNK_SECONDS:g} s and was given up"
            ) from None
        if message is None:
            return
        yield message


HEADERS_IN_A_MESSAGE = 1000


MOST_REFUSALS = 1000
"""Refused calls that are written into the log: a member who floods the node fills no disk."""


SPARE_CHECKPOINTS = 100
"""Checkpoints that a node may leave beside one for each Lloyd round, for the same reason."""


class ComputeServicer(Answering):
    """Answers the calls of proto/mpcseg/v1/compute.proto.

    Args:
        spec: the study.
        state: of the study.
        store: where blobs are kept.
        checks: what blobs must look like.
        rounds: runs what the key node asks for.
        changes: wakes those who watch.
        record: resolves to the closing record, once the study is over and everything deleted.
        log: the compute node's audit log: what is not in it does not happen.
        progress: the compute node's own.

    Attributes:
        traffic: payload bytes so far.
        told: callers that know that their part is over.
    """

    def __init__(  # noqa: PLR0913  a service is made of all of these
        self,
        spec: StudySpec,
        state: StudyState,
        store: BlobStore,
        checks: BlobChecks,
        rounds: RoundRunner,
        changes: Changes,
        record: asyncio.Future[bytes],
        *,
        log: AuditLog,
        progress: Progress,
    ) -> None:
        super().__init__(spec.digest, progress)
        self._spec = spec
        self._roster = Roster(spec)
        self._state = state
        self._store = store
        self._checks = checks
        self._rounds = rounds
        self._changes = changes
        self._record = record
        self._log = log
        self._began = time.monotonic()
        self._sent: set[tuple[NodeRole, str, BlobHeader]] = set()
        self._left: Counter[Caller] = Counter()
        self.traffic = Traffic(progress)
        self.told: set[Caller] = set()

    @answered
    async def Join(  # noqa: N802  named by the .proto, as below
        self, request: session_pb2.JoinRequest, context: Context
    ) -> session_pb2.JoinReply:
        """Let a node in."""
        organisation = self._roster.organisation(context.auth_context())
        caller = self._roster.caller(organisation, convert.role_from_wire(request.role))
        claims = Claims(
            request.protocol_version,
            request.software_version,
            request.study_digest,
            request.parameter_digest,
            request.instance,
            request.resumes,
        )
        token, anew = self._state.join(caller, claims, time.monotonic())
        self._changes.happened()
        self.progress.event("joined", node=caller.name, role=caller.role.value, anew=anew)
        return session_pb2.JoinReply(session=token, committed=caller in self._state.n_blocks)

    @answered
    async def Watch(  # noqa: N802
        self, request: event_pb2.WatchRequest, context: Context
    ) -> None:
        """Tell a node every event after the last one that it has seen."""
        caller = self._verified(request, context)
        self._state.watch_opened(caller)
        self._changes.happened()
        try:
            number = min(request.after, len(self._state.events))
            while True:
                changed = self._changes.mark()
                while number < len(self._state.events):
                    event = self._state.events[number]
                    number += 1
                    await context.write(convert.event_to_wire(number, event, self._spec.digest))
                if not self._state.is_running:
                    self.told.add(caller)
                    return
                await changed.wait()
        finally:
            self._state.membership.watch_closed(caller, request.session, time.monotonic())
            self._changes.happened()

    @answered
    async def Upload(  # noqa: N802
        self, requests: AsyncIterator[blob_pb2.UploadRequest], context: Context
    ) -> blob_pb2.UploadReply:
        """Receive one blob: all of it, checked, or nothing."""
        requests = _paced(requests)
        opening = await anext(requests, None)
        if opening is None or opening.WhichOneof("part") != "header":
            raise ProtocolError("a blob stream did not begin with its header")
        caller = self._verified(opening.header, context)
        header = convert.header_from_wire(opening.header.blob)
        if not self._state.admit(caller, header):
            return blob_pb2.UploadReply(already_there=True)
        sign = self._rounds.sign
        self._checks.verify_length(header, sign)
        path = self._store.path(caller, header.name)
        with FileReceiver(path, header, self._checks.limit(header.name, sign)) as receiver:
            async for message in requests:
                await asyncio.to_thread(receiver.feed, convert.chunk_from_wire(message))
            await asyncio.to_thread(receiver.seal)
            await asyncio.to_thread(self._checks.verify_content, header.name, receiver.path, sign)
            start = await asyncio.to_thread(logbook.head_of, receiver.path)
            came = logbook.received(header, start, caller.name, caller.role.value)
            # No await from here: log, state and file change together or not at all.
            session = opening.header.session
            self._state.verify_call(caller.name, self._spec.digest, session)
            accepted = self._state.admit(caller, header)
            if accepted:
                self._log.append(came)
                self._state.accept(caller, session, header)
                receiver.keep()
        if accepted:
            link = f"{caller.role.value}_to_compute"
            self.traffic.add(link, header.name.kind.value, header.length)
            if header.name.kind is BlobKind.HYPERPLANE:
                self._rounds.arrived(header.name, path)
        return blob_pb2.UploadReply(already_there=not accepted)

    @answered
    async def ListBlobs(  # noqa: N802
        self, request: blob_pb2.ListBlobsRequest, context: Context
    ) -> None:
        """Tell a node what of its own is here."""
        caller = self._verified(request, context)
        headers = self._state.blobs_of(caller)
        for start in range(0, len(headers), HEADERS_IN_A_MESSAGE):
            some = headers[start : start + HEADERS_IN_A_MESSAGE]
            blobs = [convert.header_to_wire(header) for header in some]
            await context.write(
                blob_pb2.ListBlobsReply(study_digest=self._spec.digest, blobs=blobs)
            )

    @answered
    async def Download(  # noqa: N802
        self, request: blob_pb2.DownloadRequest, context: Context
    ) -> None:
        """Send one blob."""
        caller = self._verified(request, context)
        name = convert.name_from_wire(request.name)
        header: BlobHeader = self._state.admit_download(caller, name)
        if name.kind is BlobKind.RELEASE:
            path = self._store.release_path(name)
        else:
            path = self._store.path(self._state.rules.key, name)
        await self._send(header, path, caller.name, caller.role.value, context)
        self.traffic.add(f"compute_to_{caller.role.value}", name.kind.value, header.length)

    @answered
    async def FetchResult(  # noqa: N802
        self, request: blob_pb2.FetchResultRequest, context: Context
    ) -> None:
        """Send sealed results to the organisation that can open them."""
        organisation = self._organisation(request, context)
        header = self._state.admit_result(organisation, request.recipient)
        path = self._store.path(self._state.rules.key, header.name)
        await self._send(header, path, organisation, "recipient", context)
        self.traffic.add("compute_to_recipient", header.name.kind.value, header.length)
        self.progress.message(f"{organisation} has fetched its sealed results")

    async def _send(
        self, header: BlobHeader, path: Path, peer: str, role: NodeRole, context: Context
    ) -> None:
        if (role, peer, header) not in self._sent:  # once, however often it is asked for
            start = await asyncio.to_thread(logbook.head_of, path)
            goes = logbook.sent(header, start, peer, role)
            await asyncio.to_thread(self._log.append, goes)
            self._sent.add((role, peer, header))
        opening = blob_pb2.DownloadHeader(
            study_digest=self._spec.digest, blob=convert.header_to_wire(header)
        )
        await context.write(blob_pb2.DownloadReply(header=opening))
        chunks = chunks_of_file(path)
        while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
            await context.write(blob_pb2.DownloadReply(chunk=convert.chunk_to_wire(chunk)))

    @answered
    async def PublishKeys(  # noqa: N802
        self, request: round_pb2.PublishKeysRequest, context: Context
    ) -> round_pb2.PublishKeysReply:
        """Take the key node's word for its keys."""
        caller = self._verified(request, context)
        attestation = convert.attestation_from_wire(request.attestation)
        rules = self._state.rules
        signed = attested_bytes(
            rules.study_digest, rules.parameter_digest, attestation.public_key_sha256
        )
        verify_signature(self._spec.key, KEYS_PURPOSE, signed, attestation.signature)
        if self._state.publish_keys(caller, attestation):
            vouched = KeysVouched(
                public_key=attestation.public_key_sha256.hex(), signature=attestation.signature
            )
            self._note(vouched)
            self.progress.message("the keys are here; waiting for the parties' blocks")
            self._rounds.start()
            self._changes.happened()
        return round_pb2.PublishKeysReply()

    @answered
    async def Commit(  # noqa: N802
        self, request: round_pb2.CommitRequest, context: Context
    ) -> round_pb2.CommitReply:
        """Take a party's blocks as complete."""
        caller = self._verified(request, context)
        if self._state.commit(caller, request.n_blocks, request.manifest_sha256):
            committed = BlocksCommitted(
                party=caller.name,
                n_blocks=request.n_blocks,
                manifest=request.manifest_sha256.hex(),
            )
            self._note(committed)
            self.progress.event("party_ready", node=caller.name, n_blocks=request.n_blocks)
            self._changes.happened()
            # Not at Join: there a thread might remove what the new process sends meanwhile. From
            # here on nothing of this party is kept any more.
            names = block_names(request.n_blocks, self._state.rules.n_features)
            await asyncio.to_thread(self._store.keep_only, caller, names)
        return round_pb2.CommitReply()

    @answered
    async def OpenRound(  # noqa: N802
        self, request: round_pb2.OpenRoundRequest, context: Context
    ) -> round_pb2.OpenRoundReply:
        """Begin a round."""
        caller = self._verified(request, context)
        kind = convert.round_kind_from_wire(request.kind)
        order = RoundOrder(kind, request.index, tuple(request.sign_degrees))
        if self._state.open_round(caller, order):
            self._note(RoundOpened(round=order.index, kind=order.kind, sign=order.sign))
            self._rounds.open(order)
            self._changes.happened()
        return round_pb2.OpenRoundReply()

    @answered
    async def Finish(  # noqa: N802
        self, request: closing_pb2.FinishRequest, context: Context
    ) -> closing_pb2.FinishReply:
        """The study has its results."""
        caller = self._verified(request, context)
        if self._state.finish(caller, self._destroyed(request)):
            self._changes.happened()
        self.told.add(caller)
        return closing_pb2.FinishReply()

    @answered
    async def ReportDestroyed(  # noqa: N802
        self, request: closing_pb2.ReportDestroyedRequest, context: Context
    ) -> closing_pb2.ReportDestroyedReply:
        """Take the key node's word that its secret key is gone, also when the study is over."""
        organisation = self._organisation(request, context)
        caller = self._state.membership.caller_of(organisation, request.session)
        self._state.report_destroyed(caller, self._destroyed(request))
        self._changes.happened()
        return closing_pb2.ReportDestroyedReply()

    @answered
    async def GetCheckpoint(  # noqa: N802
        self, request: audit_pb2.GetCheckpointRequest, context: Context
    ) -> audit_pb2.GetCheckpointReply:
        """Show the head of this node's log, and that it goes on from what the caller knows."""
        caller = self._verified(request, context)
        self._state.verify_complete(caller)
        head = await asyncio.to_thread(self._log.checkpoint)
        return audit_pb2.GetCheckpointReply(
            checkpoint=convert.checkpoint_to_wire(head),
            consistency=self._log.consistency_proof(request.known_size, head.size),
            known_size=self._log.known_size(caller.name, caller.role.value),
        )

    @answered
    async def LeaveCheckpoint(  # noqa: N802
        self, request: audit_pb2.LeaveCheckpointRequest, context: Context
    ) -> audit_pb2.LeaveCheckpointReply:
        """Take the head of the caller's log, which must go on from the one before."""
        caller = self._verified(request, context)
        self._state.verify_complete(caller)
        taken = convert.checkpoint_from_wire(request.checkpoint)
        if (taken.organisation, taken.role) != (caller.name, caller.role.value):
            raise LogError(f"{caller} left the checkpoint of another log")
        self._left[caller] += 1
        if self._left[caller] > self._state.rules.n_rounds + SPARE_CHECKPOINTS:
            raise ProtocolError(f"{caller} left more checkpoints than any study takes")
        proof = convert.proof_from_wire(request.consistency)
        await asyncio.to_thread(self._log.take, taken, proof)
        return audit_pb2.LeaveCheckpointReply()

    @answered
    async def Abort(  # noqa: N802
        self, request: session_pb2.AbortRequest, context: Context
    ) -> session_pb2.AbortReply:
        """Stop the study for everybody."""
        caller = self._verified(request, context)
        self._state.abort_by(caller, from_detail(request.reason))
        # Whoever ends the study need not be told that it has ended.
        self.told.add(caller)
        self._changes.happened()
        return session_pb2.AbortReply()

    @answered
    async def GetStatus(  # noqa: N802
        self, request: status_pb2.GetStatusRequest, context: Context
    ) -> status_pb2.GetStatusReply:
        """Say how far the study is, to any organisation of the agreement."""
        organisation = self._organisation(request, context)
        own = ("recipient", organisation)
        status = status_for(
            self._state,
            organisation,
            now=time.monotonic(),
            seconds=time.monotonic() - self._began,
            fetched=any((role, peer) == own for role, peer, _ in self._sent),
        )
        return status_to_wire(status)

    @answered
    async def Withdraw(  # noqa: N802
        self, request: closing_pb2.WithdrawRequest, context: Context
    ) -> closing_pb2.WithdrawReply:
        """End the study for a party that withdraws; answered when every ciphertext is deleted."""
        signed = self._signed(request, context, "withdraw")
        if self._state.withdraw(signed):
            self.progress.message(f"party node {signed.organisation} withdraws from the study")
            self._changes.happened()
        return closing_pb2.WithdrawReply(record=await asyncio.shield(self._record))

    @answered
    async def CloseStudy(  # noqa: N802
        self, request: closing_pb2.CloseStudyRequest, context: Context
    ) -> closing_pb2.CloseStudyReply:
        """Close the study; answered when everything is deleted."""
        signed = self._signed(request, context, "close")
        if self._state.close(signed):
            self._changes.happened()
        return closing_pb2.CloseStudyReply(record=await asyncio.shield(self._record))

    def _note(self, record: Record) -> None:
        """Write down a step that the study has taken; without an entry it does not go on.

        Raises:
            LogError: it cannot be written; the study is over for everybody.
        """
        try:
            self._log.append(record)
        except LogError as error:
            self._state.abort(error)
            self._changes.happened()
            raise

    def refuse(self, call: str, error: MpcsegError, context: Context) -> None:
        """Count a refused call, say why, and write it down; a flood of them not for ever."""
        super().refuse(call, error, context)
        if self.n_refused > MOST_REFUSALS:
            return
        try:
            peer = self._roster.organisation(context.auth_context())
        except UnknownCertificateError:
            peer = ""
        records: list[Record] = [Refused(peer=peer, call=call, code=error.code)]
        if self.n_refused == MOST_REFUSALS:
            records.append(RefusalsOmitted())
        try:
            self._log.append(*records)
        except LogError as failure:
            # The call is refused in any case; with a log that cannot be written nothing goes on.
            self.progress.message(failure.message)

    def ended(self) -> MpcsegError | None:
        """Return why there is no study any more; None while there is."""
        try:
            self._state.verify_not_over()
        except MpcsegError as error:
            return error
        return None

    def _destroyed(self, request: Any) -> KeyDestroyed:
        """Return the key node's statement in a request, if its signature holds."""
        statement = convert.destroyed_from_wire(request.statement)
        verify_key_destroyed(self._spec, statement)
        if statement != self._state.key_destroyed:
            self._log.append(SecretKeyDestroyed(**vars(statement)))
        return statement

    def _signed(self, request: Any, context: Context, action: Action) -> SignedRequest:
        """Return what an organisation asks for, if it may and its signature holds."""
        organisation = self._organisation(request, context)
        signed = SignedRequest(organisation, action, request.signed.time, request.signed.signature)
        verify_request(self._spec, signed)
        return signed

    def _organisation(self, request: Any, context: Context) -> str:
        """Return who is calling, after the checks that calls without a session begin with."""
        organisation = self._roster.organisation(context.auth_context())
        self._state.verify_study(organisation, request.study_digest)
        return organisation

    def _verified(self, request: Any, context: Context) -> Caller:
        """Return who is calling, after the checks that calls of a session begin with."""
        organisation = self._roster.organisation(context.auth_context())
        return self._state.verify_call(organisation, request.study_digest, request.session)
