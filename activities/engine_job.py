"""What training and backtest share as activities: heartbeats, cancellation, shutdown, and failures."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Protocol, runtime_checkable

from pydantic import ValidationError
from temporalio import activity
from temporalio.client import WorkflowExecutionStatus
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.service import RPCError

from activities.ended_runs import READING, HistoryUnreadable, events_of
from activities.faults import as_application_error, translated
from activities.heartbeat import Beat, beating
from domain.errors import HANDED_OVER, LEFT_RUNNING, ErrorCode, ResearchError
from domain.ledger import RunRef
from engine.handover import Handover
from engine.interface import Engine, Operation, Progress, Report

TRAIN = "train"
UNAVAILABLE = {
    TRAIN: ErrorCode.TRAINING_SERVICE_UNAVAILABLE,
    "backtest": ErrorCode.BACKTEST_SERVICE_UNAVAILABLE,
}
"""Of each activity here, the code where the service that does its work can't be had."""

SHUTTING_DOWN = "The worker is shutting down. The work goes on at another worker, or when this one starts again."


@runtime_checkable
class Remote(Protocol):
    """An engine whose work is done elsewhere, and goes on there when nobody here waits for it any more."""

    async def withdraw(self, operation: Operation) -> str | None:
        """End an operation. None once it has ended; else, after several tries, what may still run and why."""
        ...


@contextlib.asynccontextmanager
async def engine_job(engine: Engine, earlier: Progress | None) -> AsyncIterator[Report]:
    """Beat while the block runs, with the last reported Progress as the heartbeat's first detail.

    A cancel raises CancelledError in the block. What the block began at a service is ended there before the cancel goes
    on; where that fails the attempt ends as left_running. Other failures leave as ApplicationErrors. With a worker that
    shuts down the attempt ends as handed over, with its last Progress: the cycle schedules the work anew, for whom it
    goes on. An engine that has nothing to do with a service refuses what runs at one: another worker may go on with it.
    """
    began = earlier.operation if earlier else None
    with translated():
        async with beating("waiting for an engine process", began) as beat:
            try:
                if began and not isinstance(engine, Remote):
                    raise _not_here(began)
                yield _reporting(beat)
            except asyncio.CancelledError:
                if _shutting_down():
                    told = beat.progress
                    activity.logger.info(
                        "handed over at %r: it goes on at another worker, or at the next start", told.step
                    )
                    raise ApplicationError(
                        SHUTTING_DOWN,
                        told,
                        type=HANDED_OVER,
                        non_retryable=True,
                        category=ApplicationErrorCategory.BENIGN,  # no failure, and none in the log
                    ) from None
                if isinstance(engine, Remote) and (operation := beat.progress.operation):
                    await _seen_through(_end(engine, operation, beat))
                raise
            except ResearchError as error:
                if beat.progress.operation is None:
                    raise
                # Should it meet a cancel that was not heard any more, the cycle knows by it what may still run.
                failure = as_application_error(error)
                raise ApplicationError(
                    failure.message, beat.progress, type=failure.type, non_retryable=failure.non_retryable
                ) from None


def earlier_progress(work: Handover) -> Progress | None:
    """What an earlier attempt told last: where the server itself made this one again, the one before in its heartbeat;
    else the one whose last word the cycle has handed on. None where none told anything.

    A heartbeat of another version's worker, in another form, counts as none.
    """
    for told in activity.info().heartbeat_details[:1]:
        with contextlib.suppress(ValidationError):
            return Progress.model_validate(told)
    return work.handed_over


def _not_here(began: Operation) -> ResearchError:
    kind = activity.info().activity_type
    return ResearchError(
        UNAVAILABLE[kind],
        f"operation {began.id} of this {kind} may still run at the service that began it, and this worker does not "
        "know of one. Set KTRDR_API_URL on all workers of this task queue, or on none; to do the work without the "
        "service, cancel this cycle, which ends the operation, and start a new one.",
    )


def _reporting(beat: Beat) -> Report:
    def report(progress: Progress) -> None:
        news = progress.operation is not None and progress.operation != beat.progress.operation
        beat.say(progress)
        if news:
            # At once: should this process die now, the next attempt goes on with this operation.
            activity.heartbeat(progress)

    return report


async def _end(engine: Remote, operation: Operation, beat: Beat) -> None:
    """End a cancelled attempt's operation, unless others may use it. Raises left_running where it cannot be ended."""
    details = activity.cancellation_details()
    asked = details is not None and details.cancel_requested
    if not asked and not await _nobody_needs_it(operation):
        activity.logger.info("the operation %s is left to whoever goes on with it", operation.id)
        return
    beat.say(beat.progress.model_copy(update={"step": f"ending operation {operation.id} at the service"}))
    await withdrawn(engine, operation)


async def withdrawn(engine: Remote, operation: Operation) -> None:
    """End an operation at the service. Raises left_running where it cannot be ended."""
    if left := await engine.withdraw(operation):
        activity.logger.error("%s", left)
        raise ApplicationError(left, type=LEFT_RUNNING, non_retryable=True)


async def _nobody_needs_it(operation: Operation) -> bool:
    """Whether no other attempt can be at work with this one's operation.

    An attempt that was given up while it was frozen has a successor, which found the operation. So has a training whose
    cycle was reset, as the next run finds it by its id; a backtest, whose id is the service's, only where the next run
    was told of it. Where the server cannot say, the operation is left to them.
    """
    info = activity.info()
    if info.workflow_id is None:
        return False
    try:
        newest = await activity.client().get_workflow_handle(info.workflow_id).describe()
        if newest.status is not WorkflowExecutionStatus.RUNNING:
            return True
        if newest.run_id == info.workflow_run_id or info.activity_type == TRAIN:
            return False
        return not await _was_told(RunRef(cycle_id=newest.id, run_id=newest.run_id), operation)
    except (RPCError, HistoryUnreadable) as error:
        activity.logger.warning("the server does not say whether the cycle goes on: %s", error)
        return False


async def _was_told(run: RunRef, operation: Operation) -> bool:
    """Whether the operation stands in the run's history, which begins with what the runs before it were told."""
    word = f'"{operation.id}"'.encode()
    return any([word in event.SerializeToString() async for event in events_of(activity.client(), run, READING)])


async def _seen_through(work: Coroutine[None, None, None]) -> None:
    """Go through with it: a worker that shuts down meanwhile cancels this attempt a second time."""
    task = asyncio.create_task(work)
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait({task})
    task.result()


def _shutting_down() -> bool:
    details = activity.cancellation_details()
    return details is not None and details.worker_shutdown and not details.cancel_requested
