"""Every timeout and retry policy, in one table. A cycle carries the table it was started with in its input."""

from datetime import timedelta
from typing import TypedDict

from pydantic import Field
from temporalio.common import RetryPolicy
from temporalio.workflow import ActivityCancellationType

from domain.errors import ErrorCode
from domain.results import Frozen


class ActivityOptions(TypedDict):
    """What `workflow.execute_activity` takes of a policy."""

    start_to_close_timeout: timedelta
    schedule_to_close_timeout: timedelta
    heartbeat_timeout: timedelta | None
    retry_policy: RetryPolicy
    cancellation_type: ActivityCancellationType


class ActivityPolicy(Frozen):
    """How long one attempt may take, how long all of them together, and what is tried again."""

    start_to_close: timedelta
    """One attempt."""
    schedule_to_close: timedelta
    """All attempts together, with the pauses."""
    heartbeat: timedelta | None = None
    """Silence after which an attempt counts as dead."""
    first_retry: timedelta = timedelta(seconds=2)
    """The first pause."""
    backoff: float = Field(2.0, ge=1)
    """By how much each pause is longer than the one before."""
    longest_retry: timedelta = timedelta(minutes=5)
    """The longest pause."""
    attempts: int = Field(0, ge=0, description="how many at most; 0: as many as fit into schedule_to_close")
    not_retried: tuple[str, ...] = ()
    """Error types that no further attempt is made after; beside those that each failure names itself."""

    def options(self) -> ActivityOptions:
        """The policy in Temporal's words. Work is never abandoned: a cancelled activity is waited for."""
        return ActivityOptions(
            start_to_close_timeout=self.start_to_close,
            schedule_to_close_timeout=self.schedule_to_close,
            heartbeat_timeout=self.heartbeat,
            retry_policy=RetryPolicy(
                initial_interval=self.first_retry,
                backoff_coefficient=self.backoff,
                maximum_interval=self.longest_retry,
                maximum_attempts=self.attempts,
                non_retryable_error_types=list(self.not_retried),
            ),
            cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )

    def one_attempt(self, left: timedelta | None = None) -> ActivityOptions:
        """The same without a second attempt: for work whose attempts the workflow makes itself, since it pays for each
        or hands on what the last one told. left: of the time that all of them have together; None: the whole of it.
        """
        options = self.options()
        options["retry_policy"] = RetryPolicy(maximum_attempts=1)
        if left is not None:
            options["schedule_to_close_timeout"] = left
        return options

    def pause(self, failed: int) -> timedelta:
        """Between two attempts, after so many that failed."""
        return min(self.first_retry * self.backoff ** min(failed - 1, 30), self.longest_retry)


HEARTBEAT = timedelta(seconds=10)

AT_ALL = timedelta(days=30)
"""The bound of work that may have to wait for somebody: a worker that is off over a weekend is no error."""

MAY_HAVE_BEEN_BILLED = (
    ErrorCode.ANSWER_LOST.value,
    ErrorCode.ANTHROPIC_TIMEOUT.value,
    "TemporalTimeout:StartToClose",
    "TemporalTimeout:Heartbeat",
)
"""What comes back from a model's turn to the workflow at once: it holds the money and funds the next attempt."""

_TURN = ActivityPolicy(
    start_to_close=timedelta(seconds=150),
    schedule_to_close=timedelta(hours=6),
    heartbeat=HEARTBEAT,
    not_retried=MAY_HAVE_BEEN_BILLED,
)


class Policies(Frozen):
    """One row an activity, and what bounds the whole cycle."""

    life: timedelta = Field(
        timedelta(days=90),
        gt=timedelta(0),
        description="after this long the server ends a cycle, also one whose worker never comes back; unrecorded, "
        "and the ledger's sweep frees its place. For who starts a cycle: its execution timeout",
    )
    design: ActivityPolicy = _TURN
    """A turn of the designer."""
    train: ActivityPolicy = ActivityPolicy(
        start_to_close=timedelta(hours=4), schedule_to_close=AT_ALL, heartbeat=HEARTBEAT, attempts=5
    )
    """A training."""
    backtest: ActivityPolicy = ActivityPolicy(
        start_to_close=timedelta(hours=2), schedule_to_close=AT_ALL, heartbeat=HEARTBEAT, attempts=5
    )
    """A backtest."""
    withdraw: ActivityPolicy = ActivityPolicy(
        start_to_close=timedelta(seconds=45), schedule_to_close=timedelta(seconds=90), heartbeat=HEARTBEAT, attempts=2
    )
    """Ending what a cancelled cycle left at a service."""
    assess: ActivityPolicy = _TURN
    """A turn of the assessor."""
    record: ActivityPolicy = ActivityPolicy(
        start_to_close=timedelta(seconds=30), schedule_to_close=AT_ALL, longest_retry=timedelta(minutes=1)
    )
    """Writing an ended cycle into the store, and what is read there."""
    ledger: ActivityPolicy = ActivityPolicy(
        start_to_close=timedelta(seconds=10), schedule_to_close=AT_ALL, first_retry=timedelta(seconds=1), attempts=3
    )
    """Finding, or starting, the budget's ledger."""
    request_cancel: ActivityPolicy = ActivityPolicy(
        start_to_close=timedelta(seconds=10),
        schedule_to_close=timedelta(minutes=10),
        first_retry=timedelta(milliseconds=200),
        longest_retry=timedelta(seconds=5),
    )
    """Making the request for cancellation of a cycle that was told to end."""
    lost_answers: int = Field(3, ge=0, description="newly funded attempts after answers that were lost, per turn")


SWEEP = ActivityPolicy(
    start_to_close=timedelta(seconds=20),
    schedule_to_close=timedelta(minutes=1),
    first_retry=timedelta(seconds=1),
    attempts=3,
)
"""The ledger's look at its holders; where it fails, nothing is concluded from it. No row of the table above, which
cycles carry: a ledger outlives every change of the settings."""
