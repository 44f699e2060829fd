"""What training and backtest share as activities: heartbeats, cancellation, shutdown, and failures."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from pydantic import ValidationError
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.faults import translated
from activities.heartbeat import beating
from domain.errors import HANDED_OVER
from engine.handover import Handover
from engine.interface import Progress, Report

SHUTTING_DOWN = "The worker is shutting down. The work goes on at another worker, or when this one starts again."


@contextlib.asynccontextmanager
async def engine_job() -> AsyncIterator[Report]:
    """Beat while the block runs, with the last reported Progress as the heartbeat's first detail.

    A cancel raises CancelledError in the block. Failures leave as ApplicationErrors. With a worker that shuts down the
    attempt ends as handed over, with its last Progress: the cycle schedules the work anew, for whom it goes on.
    """
    with translated():
        try:
            async with beating("waiting for an engine process") as beat:
                yield beat.say
        except asyncio.CancelledError:
            if _shutting_down():
                told = beat.progress
                activity.logger.info("handed over at %r: it goes on at another worker, or at the next start", told.step)
                raise ApplicationError(SHUTTING_DOWN, told, type=HANDED_OVER, non_retryable=True) from None
            raise


def earlier_progress(work: Handover) -> Progress | None:
    """What an earlier attempt told last: one of this activity in its heartbeat, else the one that handed over to it.

    None where there was none, or where another version's worker told it in another form.
    """
    for told in activity.info().heartbeat_details[:1]:
        with contextlib.suppress(ValidationError):
            return Progress.model_validate(told)
    return work.handed_over


def _shutting_down() -> bool:
    details = activity.cancellation_details()
    return details is not None and details.worker_shutdown and not details.cancel_requested
