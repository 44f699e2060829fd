"""A training or a backtest from attempt to attempt, until one of them has the result.

The cycle makes every attempt itself, by the policy, and hands on what the last one told: so it knows at any moment
which operation runs for it at a service. Temporal would try again by itself, but in the pause before that nobody hears
a cancel, and the cycle is not told what the failed attempt has left behind.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, TimeoutType, is_cancelled_exception
from temporalio.exceptions import TimeoutError as ActivityTimeout

from domain.errors import HANDED_OVER, LEFT_RUNNING
from engine.handover import Handover
from engine.interface import Operation
from workflows.failures import CycleFailed, cut_by_reset, failure_of, undisturbed
from workflows.policies import ActivityPolicy

R = TypeVar("R")
H = TypeVar("H", bound=Handover)

_DIED = {TimeoutType.HEARTBEAT: "TemporalTimeout:Heartbeat", TimeoutType.START_TO_CLOSE: "TemporalTimeout:StartToClose"}
"""Timeouts of one attempt, after which another may be made, as a policy names them."""

_LEAST = timedelta(seconds=1)
"""What the last attempt has where all together have no time left: the server then ends it, and says so."""


def withdrawal_queue(engine_queue: str) -> str:
    """Where operations at a service are ended, so that a cancel waits for nobody's training to leave a place free."""
    return f"{engine_queue}-withdrawals"


class LeftRunning(Exception):
    """A cancelled cycle could not end what it had begun at a service. Says what may still run there."""


async def finished(
    activity: str,
    work: H,
    result_type: type[R],
    policy: ActivityPolicy,
    withdrawal: ActivityPolicy,
    task_queue: str,
    summary: str,
    pause: Callable[[CycleFailed, timedelta], Awaitable[None]],
) -> R:
    """The work's result. Raises CycleFailed, LeftRunning, or CancelledError, also if the result came with the cancel.

    An attempt whose worker shut down in an orderly way counts as none, so that no number of restarts fails a cycle.
    withdrawal: how the work is ended at a service where no attempt is there to do it. pause: waits so long, after this
    failure.
    """
    failed = 0
    give_up = workflow.now() + policy.schedule_to_close
    while True:
        options = policy.one_attempt(max(give_up - workflow.now(), _LEAST))
        attempt = workflow.start_activity(
            activity, work, result_type=result_type, task_queue=task_queue, summary=summary, **options
        )
        try:
            return await _outcome(attempt)
        except ActivityError as error:
            work = _handed_on(work, error)
            if is_cancelled_exception(error) or _cancelled():
                await _ended(activity, work, error, withdrawal, task_queue)
                raise asyncio.CancelledError from error
            if _counts_as_none(error):
                continue
            failed += 1
            failure, delay = failure_of(error, activity), policy.pause(failed)
            last = failed == policy.attempts or workflow.now() + delay > give_up
            if last or not _may_be_tried_again(error, policy):
                raise await _given_up(failure, activity, work, error, withdrawal, task_queue) from error
            try:
                await pause(failure, delay)
            except asyncio.CancelledError:
                await _ended(activity, work, error, withdrawal, task_queue)
                raise


async def _outcome(attempt: workflow.ActivityHandle[R]) -> R:
    """What becomes of an attempt, heard also where a cancel comes in the same moment: it may leave something behind.

    Raises ActivityError, or CancelledError where it had its result by then.
    """
    try:
        return await asyncio.shield(attempt)
    except asyncio.CancelledError:
        await asyncio.sleep(0)
        attempt.cancel()
        await attempt
        raise


async def _given_up(
    failure: CycleFailed, activity: str, work: Handover, error: ActivityError, policy: ActivityPolicy, task_queue: str
) -> CycleFailed:
    """The failure, after which nobody will go on with the work: what a silent attempt has left at a service is ended.

    An attempt that failed by itself has seen to that, or has said what may still run.
    """
    if not isinstance(error.cause, ActivityTimeout):
        return failure
    try:
        await _ended(activity, work, error, policy, task_queue)
    except LeftRunning as left:
        return CycleFailed(failure.code, f"{failure.message} But {left}.")
    return failure


def _handed_on(work: H, error: ActivityError) -> H:
    """The work with what the attempt told last, where it told anything."""
    told: Sequence[Any] = ()
    if isinstance(error.cause, ActivityTimeout):
        told = error.cause.last_heartbeat_details
    elif isinstance(error.cause, ApplicationError):
        told = error.cause.details
    return work.after(told) if told else work


def _counts_as_none(error: ActivityError) -> bool:
    handed_over = isinstance(error.cause, ApplicationError) and error.cause.type == HANDED_OVER
    return handed_over or cut_by_reset(error)


def _may_be_tried_again(error: ActivityError, policy: ActivityPolicy) -> bool:
    if isinstance(error.cause, ActivityTimeout):
        return error.cause.type in _DIED and _DIED[error.cause.type] not in policy.not_retried
    if isinstance(error.cause, ApplicationError):
        return not error.cause.non_retryable and error.cause.type not in policy.not_retried
    return False


def _cancelled() -> bool:
    """Whether a cancel was heard that the attempt did not hear any more."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _ended(activity: str, work: Handover, error: ActivityError, policy: ActivityPolicy, task_queue: str) -> None:
    """See that nothing of cancelled work goes on at a service. Raises LeftRunning where that can't be reached."""
    if isinstance(error.cause, ApplicationError) and error.cause.type == LEFT_RUNNING:
        raise LeftRunning(f"{activity} {error.cause.message}") from error
    if work.handed_over is None or (operation := work.handed_over.operation) is None:
        return
    if is_cancelled_exception(error) and error.started_event_id:
        return  # A worker had the attempt, which has ended what it was given.
    left: list[str] = []

    async def withdraw() -> None:
        try:
            await workflow.execute_activity(
                "withdraw",
                operation,
                task_queue=withdrawal_queue(task_queue),
                summary=f"end operation {operation.id} at the service",
                **policy.options(),
            )
        except ActivityError as late:
            left.append(_why(operation, late))

    await undisturbed(withdraw())
    if left:
        raise LeftRunning(f"{activity} {left[0]}") from error


def _why(operation: Operation, error: ActivityError) -> str:
    if isinstance(error.cause, ApplicationError) and error.cause.type == LEFT_RUNNING:
        return error.cause.message
    return (
        f"operation {operation.id} may still run at the service: no worker could be asked to end it. End it there, "
        "and see that a worker with KTRDR_API_URL runs (`research worker`)"
    )
