"""Activities as a cycle calls them, and what their failure means: a code, and a message for people."""

import asyncio
import contextlib
from collections.abc import Coroutine, Sequence
from datetime import timedelta
from typing import TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, FailureError, TimeoutType, is_cancelled_exception
from temporalio.exceptions import TimeoutError as ActivityTimeout

from domain.errors import COSTS_NOTHING, NOTHING_BILLED, ErrorCode
from workflows.policies import ActivityPolicy

R = TypeVar("R")

_SILENT = {
    "design": ErrorCode.ANSWER_LOST,
    "assess": ErrorCode.ANSWER_LOST,
    "train": ErrorCode.TRAINING_SERVICE_UNAVAILABLE,
    "backtest": ErrorCode.BACKTEST_SERVICE_UNAVAILABLE,
}
"""What it means when an activity was never heard of again: a model may have been called, an engine was not there."""


NEARBY = timedelta(seconds=2)
"""For one attempt within the workflow's own task, which answers nobody meanwhile."""

_DEFECT = (
    "Look into the log of the worker that ran it (is it of this version?), and start the cycle again; if it stays, "
    "report it with that log."
)


class CycleFailed(Exception):
    """An activity, or a phase, failed. retry_after: how long the one that was asked wants to be left alone.

    cost_nothing: of a model's turn, that nothing of it was billed.
    """

    def __init__(
        self, code: ErrorCode, message: str, retry_after: timedelta | None = None, *, cost_nothing: bool = False
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after = retry_after
        self.cost_nothing = cost_nothing


async def call(
    activity: str,
    argument: object,
    result_type: type[R],
    policy: ActivityPolicy,
    task_queue: str | None = None,
    summary: str | None = None,
) -> R:
    """Run an activity to its end by its policy. Raises CycleFailed, or the cancel as it came."""
    while True:
        try:
            result: R = await workflow.execute_activity(
                activity, argument, result_type=result_type, task_queue=task_queue, summary=summary, **policy.options()
            )
        except ActivityError as error:
            if cut_by_reset(error):
                continue
            raise failure_of(error, activity) from error
        return result


async def call_nearby(
    activity: str, argument: object, result_type: type[R], policy: ActivityPolicy, summary: str | None = None
) -> R:
    """As `call`, for what takes a moment and may be done twice: see `nearby`. What doesn't succeed there at once
    becomes an activity like any other, that people see waiting and failing. Raises CycleFailed, or the cancel as it
    came.
    """
    try:
        return await nearby(activity, [argument], result_type, summary)
    except FailureError as error:
        if is_cancelled_exception(error):
            raise
    return await call(activity, argument, result_type, policy, summary=summary)


async def nearby(activity: str, arguments: Sequence[object], result_type: type[R], summary: str | None = None) -> R:
    """One attempt within the workflow's own task, by the worker that has it: the server has no part in it. It is made
    again where that worker dies. Raises FailureError: a local activity's own error, without the ActivityError
    around it that others have.
    """
    result: R = await workflow.execute_local_activity(
        activity,
        args=arguments,
        result_type=result_type,
        schedule_to_close_timeout=NEARBY,
        retry_policy=RetryPolicy(maximum_attempts=1),
        summary=summary,
    )
    return result


async def undisturbed(work: Coroutine[None, None, None]) -> None:
    """Go through with it, also when a cancel comes in the middle: it comes too late to change the outcome."""
    task = asyncio.create_task(work)
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(task)
    task.result()


def failure_of(error: ActivityError, activity: str) -> CycleFailed:
    """The code and message of a failed activity. A cancelled activity has none: its error is raised as it is."""
    cause = error.cause
    if cut_by_reset(error):
        return CycleFailed(
            _SILENT.get(activity, ErrorCode.INTERNAL_ERROR),
            f"{activity}: the cycle was reset while it ran, and its answer is lost. Start the cycle again.",
        )
    if isinstance(cause, ActivityTimeout):
        return CycleFailed(_SILENT.get(activity, ErrorCode.INTERNAL_ERROR), _silence(activity, cause))
    if isinstance(cause, ApplicationError):
        nothing = cause.type in COSTS_NOTHING or tuple(cause.details) == (NOTHING_BILLED,)
        if cause.type is not None and cause.type in set(ErrorCode):
            return CycleFailed(ErrorCode(cause.type), cause.message, cause.next_retry_delay, cost_nothing=nothing)
        what = f"{activity} failed: {cause.type}: {cause.message}. {_DEFECT}"
        return CycleFailed(ErrorCode.INTERNAL_ERROR, what, cost_nothing=nothing)
    raise error


def cut_by_reset(error: ActivityError) -> bool:
    """Whether the server ended the activity for a reset of its workflow: the work is to be done again by this run."""
    cause = error.cause
    failure = cause.failure if isinstance(cause, FailureError) else None
    return failure is not None and failure.HasField("reset_workflow_failure_info")


def _silence(activity: str, cause: ActivityTimeout) -> str:
    what = {
        TimeoutType.HEARTBEAT: "its worker was not heard of any more",
        TimeoutType.START_TO_CLOSE: "an attempt took longer than its policy allows",
        TimeoutType.SCHEDULE_TO_CLOSE: "all attempts together took longer than its policy allows",
        TimeoutType.SCHEDULE_TO_START: "no worker took it",
    }
    return (
        f"{activity}: {what.get(cause.type, 'it timed out') if cause.type else 'it timed out'}. "
        "See that a worker runs (`research worker`), look into its log, and start the cycle again if it has failed."
    )
