"""The compute node's gRPC service: from calls to the state machine and the blob store, and back."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import grpc

from mpcseg.audit.records import StartedAnew
from mpcseg.errors import LogError, ProtocolError
from mpcseg.nodes.answering import Context, answered
from mpcseg.nodes.blob_calls import BlobCalls
from mpcseg.nodes.course_calls import CourseCalls
from mpcseg.nodes.status_calls import StatusCalls
from mpcseg.nodes.study_rules import Claims
from mpcseg.study.closing import Action, SignedRequest, verify_request
from mpcseg.wire import conversions as convert
from mpcseg.wire.status import from_detail
from mpcseg.wire.v1 import audit_pb2, closing_pb2, event_pb2, session_pb2

SPARE_CHECKPOINTS = 100
"""Checkpoints that a node may leave beside one for each Lloyd round, for the same reason."""


class ComputeServicer(BlobCalls, CourseCalls, StatusCalls):
    """Answers the calls of proto/mpcseg/v1/compute.proto.

    Attributes:
        handed_over: whether somebody who asked for the end has the closing record.
    """

    handed_over = False

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
        had_sent = self._state.blobs_of(caller)
        token, anew = self._state.join(caller, claims, time.monotonic())
        if had_sent and not self._state.blobs_of(caller):
            self._note(StartedAnew(peer=caller.name, peer_role=caller.role.value))
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
                # A watch lasts for hours, in which the certificate can be replaced.
                self._roster.organisation(context.auth_context())
                if self._state.suspended is not None:
                    # What has happened since may not stand in the log, and then has not happened.
                    await context.abort(grpc.StatusCode.UNAVAILABLE, "the node is being stopped")
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
        if self._left[caller] > self._state.rules.most_rounds + SPARE_CHECKPOINTS:
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
    async def Withdraw(  # noqa: N802
        self, request: closing_pb2.WithdrawRequest, context: Context
    ) -> closing_pb2.WithdrawReply:
        """End the study for a party that withdraws; answered when every ciphertext is deleted."""
        signed = self._signed(request, context, "withdraw")
        if self._state.withdraw(signed):
            self.progress.message(f"party node {signed.organisation} withdraws from the study")
            self._changes.happened()
        record = await asyncio.shield(self._record)
        self.handed_over = True
        return closing_pb2.WithdrawReply(record=record)

    @answered
    async def CloseStudy(  # noqa: N802
        self, request: closing_pb2.CloseStudyRequest, context: Context
    ) -> closing_pb2.CloseStudyReply:
        """Close the study; answered when everything is deleted."""
        signed = self._signed(request, context, "close")
        if self._state.close(signed):
            self._changes.happened()
        record = await asyncio.shield(self._record)
        self.handed_over = True
        return closing_pb2.CloseStudyReply(record=record)

    def _signed(self, request: Any, context: Context, action: Action) -> SignedRequest:
        """Return what an organisation asks for, if it may and its signature holds."""
        organisation = self._organisation(request, context)
        signed = SignedRequest(organisation, action, request.signed.time, request.signed.signature)
        verify_request(self._spec, signed)
        return signed
