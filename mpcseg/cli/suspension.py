"""How a node is stopped that can go on later: SIGTERM and Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from mpcseg.errors import SuspendedError


@contextmanager
def suspendable() -> Iterator[None]:
    """Stop the block at the first SIGTERM or Ctrl-C, in good order; a second one ends at once.

    `mpcseg.cli.app.main` turns SIGTERM into SIGINT. What the node has done stays, and nobody is
    told to stop with it.

    Raises:
        SuspendedError: it was stopped.
    """
    is_main = threading.current_thread() is threading.main_thread()
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)} if is_main else {}

    def stop(_number: int, _frame: FrameType | None) -> None:
        for number in before:
            signal.signal(number, signal.SIG_DFL)
        raise KeyboardInterrupt

    if is_main:
        signal.signal(signal.SIGINT, stop)
    try:
        yield
    except KeyboardInterrupt:
        raise SuspendedError(
            "stopped; start it again with the same command and it goes on"
        ) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
