"""The compute node's call that says how far the study is."""

from __future__ import annotations

import time

from mpcseg.nodes.answering import Context, answered
from mpcseg.nodes.calls import StudyCalls
from mpcseg.nodes.status import status_for
from mpcseg.wire.study_status import status_to_wire
from mpcseg.wire.v1 import status_pb2


class StatusCalls(StudyCalls):
    """What any organisation of the agreement may ask, without a session."""

    @answered
    async def GetStatus(  # noqa: N802  named by the .proto
        self, request: status_pb2.GetStatusRequest, context: Context
    ) -> status_pb2.GetStatusReply:
        """Say how far the study is, as the organisation may know it."""
        organisation = self._organisation(request, context)
        own = ("recipient", organisation)
        now = time.monotonic()
        status = status_for(
            self._state,
            organisation,
            now=now,
            seconds=now - self._began,
            fetched=any((role, peer) == own for role, peer, _ in self._sent),
        )
        return status_to_wire(status)
