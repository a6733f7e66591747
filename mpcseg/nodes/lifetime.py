"""A node that another program started must not outlive it."""

from __future__ import annotations

import os
import signal
import threading
import time

# Set by a parent that holds the other end of this process's standard input.
END_WITH_STDIN = "MPCSEG_END_WITH_STDIN"

_STDIN = 0
_GRACE_SECONDS = 15.0


def end_with_parent() -> None:
    """Where the environment asks for it, stop this process once its standard input ends.

    The operating system closes a pipe however its other end dies, so that this also holds for a
    parent that was killed and could not clean up.
    """
    if os.environ.pop(END_WITH_STDIN, "") == "1":
        threading.Thread(target=_wait_for_end, name="end-with-parent", daemon=True).start()


def _wait_for_end() -> None:
    # Not through sys.stdin: its lock, held by this thread, would abort the interpreter's own end.
    while os.read(_STDIN, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE_SECONDS)
    # Cleaning up has not ended: take the worker processes along, where this process leads them.
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(128 + signal.SIGTERM)
