"""A line to the compute node that records every byte, outside TLS and inside.

Only where one program owns the identities of all nodes can it look inside: between a node and the
compute node stand three hops. The first and the last pass on and record what they are given, which
is TLS. The one between is the compute node towards the node and the node towards the compute node,
with their own certificates and keys, so that the nodes run as they always do.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

from mpcseg.demo.workspace import LOOPBACK
from mpcseg.nodes.diagnosis import tls_context
from mpcseg.private import open_private
from mpcseg.study.identity import Identity

_PIECE = 1 << 18
_OUTSIDE, _INSIDE = "outside", "inside"


class Relay:
    """Recording lines between the nodes of one machine. A context manager.

    Args:
        folder: for what is recorded, in ``outside`` and ``inside``; a file for every connection and
            direction.
        compute: the compute node's identity.
        target: its address.
    """

    def __init__(self, folder: Path, compute: Identity, target: str) -> None:
        self.outside, self.inside = folder / _OUTSIDE, folder / _INSIDE
        for place in (self.outside, self.inside):
            place.mkdir(parents=True, mode=0o700)
        self._compute = compute
        self._target = target
        self._hops: list[_Hop] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relay", daemon=True)

    def __enter__(self) -> Relay:
        """Start to relay."""
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Close all lines."""
        for hop in self._hops:
            self._run(hop.close()).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def line(self, client: Identity) -> str:
        """Open a line for one organisation; returns the address that its nodes must be given."""
        name, compute = client.name, self._compute
        as_compute = _context(ssl.PROTOCOL_TLS_SERVER, compute, known=client)
        as_client = _context(ssl.PROTOCOL_TLS_CLIENT, client, known=compute)
        address = self._open(self.outside / f"{name}-near-compute", self._target)
        address = self._open(self.inside / name, address, as_compute, as_client)
        return self._open(self.outside / f"{name}-near-client", address)

    def _open(self, records: Path, target: str, *contexts: ssl.SSLContext) -> str:
        hop = _Hop(records, target, self._lost, *contexts)
        self._hops.append(hop)
        address: str = self._run(hop.open()).result()
        return address

    def _lost(self) -> None:
        """Listen no more: the compute node does not either, and that is how it shows."""
        for hop in self._hops:
            hop.stop_listening()

    def _run(self, work: Coroutine[Any, Any, Any]) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)


class _Hop:
    """Takes connections and makes one further on for each; records both directions between."""

    def __init__(
        self,
        records: Path,
        target: str,
        lost: Callable[[], None],
        near: ssl.SSLContext | None = None,
        far: ssl.SSLContext | None = None,
    ) -> None:
        self._records = records
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._lost = lost
        self._near, self._far = near, far
        self._numbers = count()
        self._tasks: set[asyncio.Task[Any]] = set()

    async def open(self) -> str:
        """Listen on a free port and return the address."""
        self._server = await asyncio.start_server(self._connected, LOOPBACK, 0, ssl=self._near)
        return f"{LOOPBACK}:{self._server.sockets[0].getsockname()[1]}"

    def stop_listening(self) -> None:
        """Close the port; connections go on."""
        self._server.close()

    async def close(self) -> None:
        """Close the port and every connection."""
        self.stop_listening()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  a stream's callback runs as a task
        self._tasks.add(task)
        number = next(self._numbers)
        try:
            far = await asyncio.open_connection(*self._target, ssl=self._far)
        except OSError:
            writer.close()
            self._lost()
            return
        finally:
            self._tasks.discard(task)
        pumps = [
            asyncio.create_task(_pump(source, sink, self._file(number, direction)))
            for source, sink, direction in (
                (reader, far[1], "to-compute"),
                (far[0], writer, "from-compute"),
            )
        ]
        self._tasks.update(pumps)
        await asyncio.gather(*pumps, return_exceptions=True)
        self._tasks.difference_update(pumps)

    def _file(self, number: int, direction: str) -> BinaryIO:
        path = self._records.parent / f"{self._records.name}-{number}.{direction}"
        return open_private(path, new=True)


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, record: BinaryIO) -> None:
    with record:
        try:
            with suppress(OSError):
                while data := await source.read(_PIECE):
                    record.write(data)
                    sink.write(data)
                    await sink.drain()
        finally:
            # gRPC has no use for half a connection, and TLS none either.
            sink.close()


def _context(protocol: ssl._SSLMethod, own: Identity, *, known: Identity) -> ssl.SSLContext:
    context = tls_context(own, protocol)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=known.certificate_pem.decode())
    return context
