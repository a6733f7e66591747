"""Follows the study in the background: what a party or the key node is told by the compute node.

The open watch is also how the compute node knows that this node is there. Runs on: party nodes
and the key node.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

import grpc

from mpcseg.errors import MpcsegError
from mpcseg.nodes.client import ComputeClient
from mpcseg.nodes.events import tell_absence, tell_phase_after
from mpcseg.nodes.progress import Progress
from mpcseg.wire import events

_QUIET = grpc.StatusCode.DEADLINE_EXCEEDED

# Of the moment: shown, and nobody waits for them.
_PASSING = (events.RoundProgress, events.NodeAbsent, events.NodeBack)

E = TypeVar("E", bound=events.Event)


class StudyWatcher:
    """A thread that keeps a watch open and remembers what it heard. A context manager.

    Args:
        client: has joined already.
        progress: shown how rounds go and who is missing.

    Attributes:
        error: why there is nothing more to wait for: the study was aborted, or the compute node
            does not answer any more. None as long as all is well.
    """

    def __init__(self, client: ComputeClient, progress: Progress) -> None:
        self._client = client
        self._narrator = _Narrator(progress)
        self._heard: list[events.Event] = []
        self._session = ""
        self._number = 0
        self._changed = threading.Condition()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="study-watcher", daemon=True)
        self.error: MpcsegError | None = None

    def wait_for(self, kind: type[E], which: Callable[[E], bool] = lambda _: True) -> E:
        """Wait for an event of a kind, or return it if it was heard already.

        Raises:
            MpcsegError: why it will never come.
        """
        with self._changed:
            looked_at = 0
            while True:
                for event in self._heard[looked_at:]:
                    if isinstance(event, kind) and which(event):
                        return event
                looked_at = len(self._heard)
                self.verify_running()
                self._changed.wait()

    def verify_running(self) -> None:
        """Raise what has ended the study, if something has."""
        if self.error is not None:
            raise self.error

    def __enter__(self) -> StudyWatcher:
        """Start to listen."""
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop to listen; the client is to be disconnected next, which ends the stream."""
        with self._changed:
            self._stopped = True

    def _run(self) -> None:
        try:
            while self._is_wanted():
                self._client.repeat(self._listen)
        except MpcsegError as error:
            self._end(error)
        except Exception as error:
            # Whatever it is: somebody waits for this thread and must hear of it.
            # ValueError is grpc's word for a channel that was closed: this node is done.
            if not self._stopped:
                self._end(MpcsegError(f"the watch failed inside ({type(error).__name__})"))

    def _listen(self) -> None:
        """Follow one stream to its end; a stream that broke is opened again at once."""
        heard = 0
        session = self._client.session
        if session != self._session:
            # Every process of the compute node numbers its events from the start.
            self._session, self._number = session, 0
        try:
            for number, event in self._client.watch_once(session, self._number):
                heard += 1
                self._number = number
                self._hear(event)
        except grpc.RpcError as error:
            # A quiet study runs into the deadline of its watch now and then.
            quiet = isinstance(error, grpc.Call) and error.code() is _QUIET
            # The pauses between tries are for a compute node that does not answer at all.
            if self._is_wanted() and not (heard or quiet):
                raise

    def _is_wanted(self) -> bool:
        last = self._heard[-1] if self._heard else None
        over = isinstance(last, events.ResultsReady | events.StudyAborted)
        return not (over or self._stopped or self.error)

    def _hear(self, event: events.Event) -> None:
        if isinstance(event, _PASSING):
            self._narrator.show(event)
            return
        # A compute node that was started anew tells everything again.
        if event in self._heard:
            return
        self._narrator.show(event)
        with self._changed:
            self._heard.append(event)
            if isinstance(event, events.StudyAborted):
                self.error = event.error
            self._changed.notify_all()

    def _end(self, error: MpcsegError) -> None:
        with self._changed:
            self.error = self.error or error
            self._changed.notify_all()


class _Narrator:
    """Shows events as messages and bars."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = ""
        self._done = 0

    def show(self, event: events.Event) -> None:
        tell_phase_after(self._progress, event)
        tell_absence(self._progress, event)
        match event:
            case events.PartyReady(party):
                self._progress.message(f"party node {party} is ready")
            case events.RoundProgress(index, done, tasks):
                self._advance(f"round {index}", done, tasks)
            case events.ReleaseReady():
                self._finish()
            case events.StudyAborted():
                self._finish()

    def _advance(self, task: str, done: int, total: int) -> None:
        if task != self._task:
            self._task, self._done = task, 0
            self._progress.start(task, total, "tasks")
        if done > self._done:
            self._progress.advance(task, done - self._done)
            self._done = done

    def _finish(self) -> None:
        if self._task:
            self._progress.finish(self._task)
            self._task = ""
