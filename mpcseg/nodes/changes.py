"""Wakes those who wait for the study's state to change. Compute node, one event loop."""

from __future__ import annotations

import asyncio


class Changes:
    """Something has changed, as a thing to wait for. To be used from one event loop only."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def happened(self) -> None:
        """Wake everybody who waits now."""
        self._event.set()
        self._event = asyncio.Event()

    async def next(self) -> None:
        """Return at the next change."""
        await self._event.wait()

    def mark(self) -> asyncio.Event:
        """Return what will be set at the next change.

        Take it before looking at the state, so that no change falls in between.
        """
        return self._event
