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

from mpcseg.errors import BlobTooLargeError, TruncatedStreamError
from mpcseg.nodes.pace import LEAST_MBIT
from mpcseg.nodes.roles import Caller, Role

RECEIVED_AT_ONCE = 32
CHECKED_AT_ONCE = 4
PER_CALLER = 4
"""Uploads that one node may have in progress: a node makes one, or two while a connection dies."""

PER_ORGANISATION = 8
"""The same of all its party nodes, in all studies: one certificate never has all turns."""

KEY_RECEIVED_AT_ONCE = 8
"""Turns that only key nodes have: parties that take theirs slowly hold up no round. Key nodes of
one organisation have half of them at most, in all studies."""

LEAST_SECONDS = 60.0
"""That any upload may take from its turn on; more by its length, at :data:`LEAST_MBIT`."""

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
        per_organisation: that all party nodes of one organisation may have.
        for_keys: uploads of key nodes that are received at once, beside the others; those of one
            organisation may have half of them.
        wait: seconds that an upload waits for its turn.
    """

    def __init__(
        self,
        received: int = RECEIVED_AT_ONCE,
        checked: int = CHECKED_AT_ONCE,
        per_caller: int = PER_CALLER,
        per_organisation: int = PER_ORGANISATION,
        for_keys: int = KEY_RECEIVED_AT_ONCE,
        wait: float = WAIT_SECONDS,
    ) -> None:
        self._turns = {
            Role.PARTY: asyncio.Semaphore(received),
            Role.KEY: asyncio.Semaphore(for_keys),
        }
        self.checking = asyncio.Semaphore(checked)
        self._per_caller = per_caller
        self._per_organisation = {Role.PARTY: per_organisation, Role.KEY: max(1, for_keys // 2)}
        self._wait = wait
        self._open: Counter[tuple[str, Caller] | Caller] = Counter()

    @asynccontextmanager
    async def receiving(
        self, study_digest: str, caller: Caller, length: int
    ) -> AsyncIterator[None]:
        """Hold a turn for the length of the block, which must not take longer than the blob needs.

        Args:
            study_digest: of the study that the upload is for.
            caller: who sends.
            length: bytes that it has announced.

        Raises:
            BusyError: none came in time, or the node has too many uploads in progress.
            TruncatedStreamError: the block took longer than a blob of this length may.
        """
        node = (study_digest, caller)
        if (
            self._open[node] >= self._per_caller
            or self._open[caller] >= self._per_organisation[caller.role]
        ):
            raise BusyError
        self._open.update((node, caller))
        try:
            async with self._turn(caller.role):
                seconds = longest_seconds(length)
                try:
                    async with asyncio.timeout(seconds):
                        yield
                except TimeoutError:
                    raise TruncatedStreamError(
                        f"an upload of {length:,} bytes was not complete after {seconds:.0f} s and "
                        "was given up"
                    ) from None
        finally:
            self._open.subtract((node, caller))
            self._open = +self._open  # drops what is 0

    @asynccontextmanager
    async def _turn(self, role: Role) -> AsyncIterator[None]:
        turns = self._turns[role]
        try:
            await asyncio.wait_for(turns.acquire(), self._wait)
        except TimeoutError:
            raise BusyError from None
        try:
            yield
        finally:
            turns.release()


def longest_seconds(length: int) -> float:
    """How long an upload of so many bytes may take once it has its turn."""
    return LEAST_SECONDS + 8 * length / (LEAST_MBIT * 1e6)


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
