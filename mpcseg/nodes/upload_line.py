"""Uploads in the background, so that a node encrypts the next blob while the last one travels."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from mpcseg.nodes.client import ComputeClient
from mpcseg.wire.names import BlobName

_WAITING_BLOBS = 4
"""Encrypted blobs that wait for the line; more would only take memory."""

_AT_ONCE = 3
"""Blobs on their way at a time: each costs round trips, in which the line would lie idle."""


class UploadLine:
    """Sends blobs in threads of its own, a few at a time. Party and key node.

    A failed upload is raised by the next ``send``, or at the end of the block.

    Args:
        client: the compute node.
        on_sent: called after each blob, one call at a time, with the seconds it took.
    """

    def __init__(
        self, client: ComputeClient, on_sent: Callable[[float], None] = lambda _: None
    ) -> None:
        self._client = client
        self._on_sent = on_sent
        self._waiting: deque[Future[None]] = deque()
        self._threads = ThreadPoolExecutor(_AT_ONCE, "upload")
        self._telling = threading.Lock()

    def send(self, name: BlobName, blob: bytes) -> None:
        """Queue a blob; waits while the queue is full."""
        self._waiting.append(self._threads.submit(self._upload, name, blob))
        while len(self._waiting) > _WAITING_BLOBS:
            self._waiting.popleft().result()

    def _upload(self, name: BlobName, blob: bytes) -> None:
        began = time.monotonic()
        self._client.upload(name, blob)
        seconds = time.monotonic() - began
        with self._telling:
            self._on_sent(seconds)

    def __enter__(self) -> UploadLine:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """Wait until everything is sent; after an error, give up what is not."""
        try:
            while kind is None and self._waiting:
                self._waiting.popleft().result()
        finally:
            # What is on its way may take hours where the line is down; it ends with the channel.
            self._threads.shutdown(wait=kind is None, cancel_futures=True)
