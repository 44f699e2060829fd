"""What a running cycle is doing this very moment: its pending activity, as the server describes it."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import ValidationError
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.failure.v1 import Failure
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.client import WorkflowExecutionDescription

from domain.results import Fraction, Frozen
from engine.interface import Progress

if TYPE_CHECKING:
    from temporalio.converter import DataConverter

ENGINE_ACTIVITIES = frozenset({"train", "backtest", "withdraw"})
WORDS = {
    "design": "the design",
    "train": "the training",
    "count_trials": "the count of earlier trials",
    "backtest": "the backtest",
    "assess": "the assessment",
    "inherit": "the look at the forked cycle's results",
    "record": "the recording",
    "withdraw": "the end of the work at the service",
}
"""Of activities, as people read them."""

MAX_FAILURE_TEXT = 500


class Live(Frozen):
    """A pending activity. Fraction and step are of its last heartbeat; both None before the first."""

    activity: str
    attempt: int
    max_attempts: int | None = None
    started: bool
    fraction: Fraction | None = None
    step: str | None = None
    last_failure_code: str | None = None
    last_failure: str | None = None
    next_attempt_at: datetime | None = None
    worker: str | None = None

    @property
    def doing(self) -> str:
        """The activity's state in a few words: its step, what it waits for, or what failed and when it goes on."""
        what = WORDS.get(self.activity, self.activity)
        if not self.started and self.next_attempt_at is None:
            return "waiting for an engine worker" if self.activity in ENGINE_ACTIVITIES else "waiting for a worker"
        if not self.started:
            return f"{what} is tried again soon"
        return self.step or f"{what} has begun"


async def pending_work(description: WorkflowExecutionDescription, converter: "DataConverter") -> Live | None:
    """The cycle's pending activity, or None between two. A cycle's phases follow each other: the newest counts."""
    pending = list(description.raw_description.pending_activities)
    if not pending:
        return None
    newest = max(pending, key=lambda activity: activity.scheduled_time.ToNanoseconds())
    progress = await _progress(newest, converter)
    failed = newest.HasField("last_failure")
    return Live(
        activity=newest.activity_type.name,
        attempt=newest.attempt,
        max_attempts=newest.maximum_attempts or None,
        started=newest.state != PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED,
        fraction=progress.fraction if progress else None,
        step=progress.step if progress else None,
        last_failure_code=_code(newest.last_failure) if failed else None,
        last_failure=newest.last_failure.message[:MAX_FAILURE_TEXT] if failed else None,
        next_attempt_at=_next_attempt(newest),
        worker=newest.last_worker_identity or None,
    )


async def _progress(activity: PendingActivityInfo, converter: "DataConverter") -> Progress | None:
    if not activity.HasField("heartbeat_details"):
        return None
    try:
        decoded = await converter.decode(list(activity.heartbeat_details.payloads)[:1], [Progress])
    except (ValidationError, ValueError, RuntimeError):
        return None  # Another version's worker may report in another form: then there is no step to show.
    return decoded[0] if decoded and isinstance(decoded[0], Progress) else None


def _code(failure: Failure) -> str | None:
    if failure.HasField("application_failure_info"):
        return failure.application_failure_info.type or None
    return "timeout" if failure.HasField("timeout_failure_info") else None


def _next_attempt(activity: PendingActivityInfo) -> datetime | None:
    """When a failed activity is tried again; None where it is being tried, or only waits for a worker."""
    waits = activity.state == PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED
    if not waits or not activity.HasField("next_attempt_schedule_time"):
        return None
    planned = _time(activity.next_attempt_schedule_time)
    return planned if planned > datetime.now(UTC) else None


def _time(value: Timestamp) -> datetime:
    return value.ToDatetime(tzinfo=UTC)
