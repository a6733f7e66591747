"""How long and how often a node tries again when the compute node does not answer.

Runs on: party nodes, the key node, and wherever an organisation fetches results or closes a study.
A line may be down for hours: what counts is how long ago the last try went well, not how many
tries there were.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import grpc
import tenacity

from mpcseg.errors import NodeUnreachableError, SuspendedError
from mpcseg.nodes.progress import Progress

T = TypeVar("T")

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 60.0
"""Seconds of the longest pause between two tries, after the first few; the first are shorter."""
_TOLD_EVERY = 60.0


class Retries:
    """Repeats calls to one compute node with growing, random pauses. Safe in several threads.

    Args:
        address: "host:port" of the compute node, for messages.
        patience: seconds without an answer after which a call is given up.
        progress: told that the compute node does not answer, once a minute at most, and that it
            answers again.
        clock: steady seconds.
    """

    def __init__(
        self,
        address: str,
        patience: float,
        progress: Progress,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._address = address
        self._patience = patience
        self._progress = progress
        self._clock = clock
        self._left = threading.Event()
        self._telling = threading.Lock()
        self._silent_since: float | None = None
        self._told: float | None = None

    def leave(self) -> None:
        """End all pauses: this node is leaving, and nothing is tried again."""
        self._left.set()

    def pause(self, seconds: float) -> None:
        """Wait, unless this node is leaving."""
        self._left.wait(seconds)

    def run(self, once: Callable[[], T], explain: Callable[[grpc.RpcError], str]) -> T:
        """Return what ``once`` returns, and try again as long as it raises ``grpc.RpcError``.

        Args:
            once: one try.
            explain: returns why a try failed that may be repeated, and raises otherwise.

        Raises:
            NodeUnreachableError: no try went well within the patience.
            SuspendedError: this node is leaving.
        """
        failing_since: float | None = None
        reason = ""

        def again(state: tenacity.RetryCallState) -> bool:
            nonlocal failing_since, reason
            error = state.outcome.exception() if state.outcome else None
            if not isinstance(error, grpc.RpcError):
                return False
            if self._left.is_set():
                raise SuspendedError("this node leaves the study") from None
            reason = explain(error)
            failing_since = self._clock() if failing_since is None else failing_since
            return True

        def waited() -> float:
            return 0.0 if failing_since is None else self._clock() - failing_since

        def growing(state: tenacity.RetryCallState) -> float:
            # Full jitter: the nodes of a study must not all come back in the same moment.
            longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(state.attempt_number - 1, 16))
            return min(random.uniform(0.1, 1.0) * longest, max(self._patience - waited(), 0.0))  # noqa: S311

        def tell(state: tenacity.RetryCallState) -> None:
            self._tell(reason)
            seconds = round(state.upcoming_sleep, 1)
            self._progress.event("retry", attempt=state.attempt_number, pause_seconds=seconds)

        def give_up(_: tenacity.RetryCallState) -> T:
            raise NodeUnreachableError(
                f"the compute node at {self._address} does not answer: {reason}",
                "Is `mpcseg compute serve` running there, and are address and firewall right? A "
                "node that is started again with the same command goes on where it was. Once a "
                "study is closed, its compute node has ended for good; the closing record says so.",
            )

        retrying = tenacity.Retrying(
            retry=again,
            wait=growing,
            stop=lambda _: waited() >= self._patience,
            sleep=self.pause,
            before_sleep=tell,
            retry_error_callback=give_up,
        )
        answer = retrying(once)
        if failing_since is not None:
            self._tell_back()
        return answer

    def _tell(self, reason: str) -> None:
        now = self._clock()
        with self._telling:
            if self._silent_since is None:
                self._silent_since = now
            if self._told is not None and now - self._told < _TOLD_EVERY:
                return
            self._told, silent = now, now - self._silent_since
        since = f" for {_span(silent)}" if silent >= 1 else ""
        self._progress.message(
            f"compute node at {self._address} does not answer{since} ({reason}); trying again for "
            f"up to {_span(self._patience)}"
        )

    def _tell_back(self) -> None:
        with self._telling:
            if self._silent_since is None:
                return
            silent, self._silent_since, self._told = self._clock() - self._silent_since, None, None
        self._progress.message(f"the compute node answers again, after {_span(silent)}")


def _span(seconds: float) -> str:
    """Say a time span, roughly."""
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 1 else f"{seconds:.1f} s"
