"""What training and backtest share as activities: heartbeats, cancellation, shutdown, and failures."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.faults import as_application_error
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
    try:
        async with beating("waiting for an engine process") as beat:
            yield beat.say
    except asyncio.CancelledError:
        if _shutting_down():
            raise as_application_error(ResearchError(unavailable, SHUTTING_DOWN)) from None
        raise
    except Exception as error:
        if not isinstance(error, ResearchError | ApplicationError):
            activity.logger.exception("an activity failed in a way that nobody foresaw")
        raise as_application_error(error) from None


def _shutting_down() -> bool:
    details = activity.cancellation_details()
    return details is not None and details.worker_shutdown and not details.cancel_requested
