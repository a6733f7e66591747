"""Uploads in the background, so that a node encrypts the next blob while the last one travels."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from mpcseg.nodes.client import ComputeClient
from mpcseg.wire.names import BlobName

_WAITING_BLOBS = 4
"""Encrypted blobs that wait for the line; more would only take memory."""


class UploadLine:
    """Sends blobs one after the other in a thread of its own. Party and key node.

    A failed upload is raised by the next ``send``, or at the end of the block.

    Args:
        client: the compute node.
        on_sent: called in the thread after each blob, with the seconds it took.
    """

    def __init__(
        self, client: ComputeClient, on_sent: Callable[[float], None] = lambda _: None
    ) -> None:
        self._client = client
        self._on_sent = on_sent
        self._waiting: deque[Future[None]] = deque()
        self._thread = ThreadPoolExecutor(1, "upload")

    def send(self, name: BlobName, blob: bytes) -> None:
        """Queue a blob; waits while the queue is full."""
        self._waiting.append(self._thread.submit(self._upload, name, blob))
        while len(self._waiting) > _WAITING_BLOBS:
            self._waiting.popleft().result()

    def _upload(self, name: BlobName, blob: bytes) -> None:
        began = time.monotonic()
        self._client.upload(name, blob)
        self._on_sent(time.monotonic() - began)

    def __enter__(self) -> UploadLine:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """Wait until everything is sent; after an error, give up what is not."""
        try:
            while kind is None and self._waiting:
                self._waiting.popleft().result()
        finally:
            # What is on its way may take hours where the line is down; it ends with the channel.
            self._thread.shutdown(wait=kind is None, cancel_futures=True)
