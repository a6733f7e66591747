"""Calls of the compute node that move blobs: up, down, and which are there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from mpcseg.audit.records import NodeRole
from mpcseg.errors import ProtocolError, TruncatedStreamError
from mpcseg.nodes import logbook
from mpcseg.nodes.answering import Context, answered
from mpcseg.nodes.calls import StudyCalls
from mpcseg.nodes.roles import Caller, Role
from mpcseg.wire import conversions as convert
from mpcseg.wire.blobs import FileReceiver, chunks_of_file
from mpcseg.wire.names import BlobHeader, BlobKind
from mpcseg.wire.v1 import blob_pb2

CHUNK_SECONDS = 60.0
"""Longest silence within an upload; a client that stalls longer gives its place back."""


async def paced(
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


class BlobCalls(StudyCalls):
    """Uploads and downloads."""

    @answered
    async def Upload(  # noqa: N802  named by the .proto, as below
        self, requests: AsyncIterator[blob_pb2.UploadRequest], context: Context
    ) -> blob_pb2.UploadReply:
        """Receive one blob: all of it, checked, or nothing."""
        requests = paced(requests)
        opening = await anext(requests, None)
        if opening is None or opening.WhichOneof("part") != "header":
            raise ProtocolError("a blob stream did not begin with its header")
        caller = self._verified(opening.header, context)
        header = convert.header_from_wire(opening.header.blob)
        if not self._state.admit(caller, header):
            return blob_pb2.UploadReply(already_there=True)
        self._checks.verify_length(header, self._rounds.sign, self._rounds.n_clusters)
        path = self._store.path(caller, header.name)
        async with self._gate.receiving(self._spec.digest, caller, header.length):
            if caller.role is Role.PARTY:
                self._quota.take(caller, header.length)
            accepted = await self._receive(caller, opening.header.session, header, path, requests)
        if accepted:
            link = f"{caller.role.value}_to_compute"
            self.traffic.add(link, header.name.kind.value, header.length)
            if header.name.kind is BlobKind.HYPERPLANE:
                self._rounds.arrived(header.name, path)
        return blob_pb2.UploadReply(already_there=not accepted)

    async def _receive(
        self,
        caller: Caller,
        session: str,
        header: BlobHeader,
        path: Path,
        requests: AsyncIterator[blob_pb2.UploadRequest],
    ) -> bool:
        """Take in what follows the header; False if another upload of the blob was faster."""
        sign, k = self._rounds.sign, self._rounds.n_clusters
        with FileReceiver(path, header, self._checks.limit(header.name, sign, k)) as receiver:
            async for message in requests:
                await asyncio.to_thread(receiver.feed, convert.chunk_from_wire(message))
            await asyncio.to_thread(receiver.seal)
            async with self._gate.checking:
                await asyncio.to_thread(
                    self._checks.verify_content, header.name, receiver.path, sign, k
                )
            start = await asyncio.to_thread(logbook.head_of, receiver.path)
            came = logbook.received(header, start, caller.name, caller.role.value)
            # No await from here: log, state and file change together or not at all.
            self._state.verify_call(caller.name, self._spec.digest, session)
            accepted = self._state.admit(caller, header)
            if accepted:
                self._note(came)
                self._state.accept(caller, session, header)
                receiver.keep()
        return accepted

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
        async with self._handing:
            if (role, peer, header) not in self._sent:  # once, however often it is asked for
                start = await asyncio.to_thread(logbook.head_of, path)
                goes = logbook.sent(header, start, peer, role)
                await asyncio.to_thread(self._log.append, goes)
                self._sent.add((role, peer, header))
            if role == "recipient":
                # Who has results can have the study verified while this node still serves it:
                # what nobody has signed would not count then.
                await asyncio.to_thread(self._log.sign_what_is_new)
        opening = blob_pb2.DownloadHeader(
            study_digest=self._spec.digest, blob=convert.header_to_wire(header)
        )
        await context.write(blob_pb2.DownloadReply(header=opening))
        chunks = chunks_of_file(path)
        while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
            await context.write(blob_pb2.DownloadReply(chunk=convert.chunk_to_wire(chunk)))
