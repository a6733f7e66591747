"""The ways to show progress that a command line can choose from."""

from __future__ import annotations

import enum
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from mpcseg.nodes.progress import Progress, SilentProgress
from mpcseg.report.progress import JsonLinesProgress, RichProgress


class ProgressMode(enum.StrEnum):
    """How progress is shown."""

    AUTO = "auto"
    RICH = "rich"
    JSON = "json"
    NONE = "none"


@contextmanager
def open_progress(mode: ProgressMode) -> Iterator[Progress]:
    """The renderer for a mode, for as long as a node runs.

    Bars and lines go to standard error, JSON lines to standard output.
    """
    if mode is ProgressMode.NONE:
        yield SilentProgress()
    elif mode is ProgressMode.JSON:
        yield JsonLinesProgress(sys.stdout)
    else:
        force = True if mode is ProgressMode.RICH else None
        with RichProgress(Console(stderr=True, force_terminal=force)) as progress:
            yield progress
