"""How many uploads are received and checked at once, and how many bytes a party may send in all.

So that many parties at once, or one that does not stop, take neither the compute node's memory nor
its disk: an upload in progress costs one chunk of memory, a check one blob, and there is a bound on
both. What is over waits; what has waited for long is sent back to be tried again. Runs on: compute
node, one event loop, all its studies together.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from mpcseg.errors import BlobTooLargeError
from mpcseg.nodes.roles import Caller

RECEIVED_AT_ONCE = 32
CHECKED_AT_ONCE = 4
PER_CALLER = 4
"""Uploads that one node may have in progress: a node makes one, or two while a connection dies."""

WAIT_SECONDS = 20.0
"""How long an upload waits for its turn; below the deadline that clients give to a blob."""

QUOTA_FACTOR = 10
"""Bytes that a party may send, as a multiple of what all its allowed blocks have: broken lines and
new beginnings cost some, and a party must not be able to send for ever."""


class BusyError(Exception):
    """There was no turn for an upload in time; the client is to try again."""


class UploadGate:
    """Turns for uploads, in the order in which they came.

    Args:
        received: uploads that are received at once.
        checked: blobs that are checked at once; each is in memory as a whole.
        per_caller: uploads that one node may have in progress.
        wait: seconds that an upload waits for its turn.
    """

    def __init__(
        self,
        received: int = RECEIVED_AT_ONCE,
        checked: int = CHECKED_AT_ONCE,
        per_caller: int = PER_CALLER,
        wait: float = WAIT_SECONDS,
    ) -> None:
        self._received = asyncio.Semaphore(received)
        self.checking = asyncio.Semaphore(checked)
        self._per_caller, self._wait = per_caller, wait
        self._open: Counter[tuple[str, Caller]] = Counter()

    @asynccontextmanager
    async def receiving(self, study_digest: str, caller: Caller) -> AsyncIterator[None]:
        """Hold a turn for the length of the block.

        Raises:
            BusyError: none came in time, or the node has too many uploads in progress.
        """
        node = (study_digest, caller)
        if self._open[node] >= self._per_caller:
            raise BusyError
        self._open[node] += 1
        try:
            try:
                await asyncio.wait_for(self._received.acquire(), self._wait)
            except TimeoutError:
                raise BusyError from None
            try:
                yield
            finally:
                self._received.release()
        finally:
            self._open[node] -= 1
            if not self._open[node]:
                del self._open[node]


class ByteQuota:
    """How many bytes each party may send to one study, whatever becomes of them.

    Args:
        limit: of bytes, for a party.
    """

    def __init__(self, limit: Callable[[Caller], int]) -> None:
        self._limit = limit
        self._sent: Counter[Caller] = Counter()

    def take(self, caller: Caller, n_bytes: int) -> None:
        """Count an upload before it is read: also one that is refused or breaks off has come.

        Raises:
            BlobTooLargeError: the party has sent too much already.
        """
        limit = self._limit(caller)
        if self._sent[caller] + n_bytes > limit:
            raise BlobTooLargeError(
                f"{caller} has sent more than {limit:,} bytes, which is {QUOTA_FACTOR} times what "
                "all the blocks have that it may send",
                "The operator of the compute node can allow more blocks: --max-blocks.",
            )
        self._sent[caller] += n_bytes
