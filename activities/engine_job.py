"""What training and backtest share as activities: heartbeats, cancellation, shutdown, and failures."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from temporalio import activity

from activities.faults import translated
from activities.heartbeat import beating
from domain.errors import ErrorCode, ResearchError
from engine.interface import Report

SHUTTING_DOWN = "The worker is shutting down. The work goes on at another worker, or when this one starts again."


@contextlib.asynccontextmanager
async def engine_job(unavailable: ErrorCode) -> AsyncIterator[Report]:
    """Beat while the block runs, with the last reported Progress as the heartbeat's first detail.

    A cancel raises CancelledError in the block. Failures leave as ApplicationErrors. A worker that shuts down fails
    with the code `unavailable`, which Temporal retries: what was reached is on the disk.
    """
    with translated():
        try:
            async with beating("waiting for an engine process") as beat:
                yield beat.say
        except asyncio.CancelledError:
            if _shutting_down():
                raise ResearchError(unavailable, SHUTTING_DOWN) from None
            raise


def _shutting_down() -> bool:
    details = activity.cancellation_details()
    return details is not None and details.worker_shutdown and not details.cancel_requested
