"""A limit on how fast a node sends. Runs on: party nodes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

LEAST_MBIT = 0.5
"""A slower upload could not send one message within the silence that the compute node allows."""

_BITS = 1e6


class Pace:
    """Lets bytes through at a rate; for several threads together.

    One piece goes at once, and the next one when the time that the earlier ones take at this rate
    is over: no burst is longer than one piece.

    Args:
        mbit: megabits (10⁶ bits) per second; None for no limit.
        clock: steady seconds.
        pause: waits so many seconds.
    """

    def __init__(
        self,
        mbit: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rate = None if mbit is None else mbit * _BITS / 8
        self._clock = clock
        self._pause = pause
        self._busy = threading.Lock()
        self._free_at = float("-inf")

    def take(self, n_bytes: int) -> None:
        """Wait until so many bytes may go."""
        if self._rate is None:
            return
        with self._busy:
            now = self._clock()
            wait = max(self._free_at - now, 0.0)
            self._free_at = now + wait + n_bytes / self._rate
        if wait:
            self._pause(wait)
