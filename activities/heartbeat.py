"""Heartbeats: what a running activity says of itself, and how it hears that it is to stop."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from temporalio import activity

from engine.interface import Operation, Progress

INTERVAL = 0.5
"""Seconds between two heartbeats. A cancel is heard with the answer to one, so this bounds how late it is heard."""


@dataclass
class Beat:
    """What the next heartbeat tells; `say` replaces it, from any thread."""

    progress: Progress

    def say(self, progress: Progress) -> None:
        """Tell this from the next heartbeat on."""
        self.progress = progress


@asynccontextmanager
async def beating(step: str, operation: Operation | None = None) -> AsyncIterator[Beat]:
    """Heartbeat with the progress as its details for as long as the block runs.

    `operation`: what an earlier attempt began at a service. Each heartbeat replaces the one before, so the first one
    must have it again already, or it would be forgotten with this attempt's death.
    """
    beat = Beat(Progress(fraction=0.0, step=step, operation=operation))
    task = asyncio.create_task(_beat(beat))
    try:
        yield beat
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _beat(beat: Beat) -> None:
    while True:
        activity.heartbeat(beat.progress)
        await asyncio.sleep(INTERVAL)
