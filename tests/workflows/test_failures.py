"""What an activity's failure means where the server ended the activity: for a reset of its workflow, or in silence."""

import pytest
from temporalio.api.failure.v1 import Failure, ResetWorkflowFailureInfo
from temporalio.exceptions import ActivityError, FailureError, RetryState, TimeoutType
from temporalio.exceptions import TimeoutError as ActivityTimeout

from domain.errors import ErrorCode
from workflows.failures import failure_of


def activity_error(activity: str, cause: FailureError) -> ActivityError:
    """As Temporal raises it."""
    error = ActivityError(
        "activity error",
        scheduled_event_id=5,
        started_event_id=6,
        identity="a worker",
        activity_type=activity,
        activity_id="1",
        retry_state=RetryState.NON_RETRYABLE_FAILURE,
    )
    error.__cause__ = cause
    return error


@pytest.mark.parametrize("activity", ["design", "assess"])
def test_a_turn_that_a_reset_cut_off_may_have_been_billed(activity: str) -> None:
    cut = FailureError("the workflow was reset")
    cut._failure = Failure(reset_workflow_failure_info=ResetWorkflowFailureInfo())
    assert failure_of(activity_error(activity, cut), activity).code is ErrorCode.ANSWER_LOST


def test_who_reads_of_a_dead_worker_before_the_next_attempt_is_not_told_to_start_again() -> None:
    dead = ActivityTimeout("no heartbeat", type=TimeoutType.HEARTBEAT, last_heartbeat_details=[])
    failed = failure_of(activity_error("train", dead), "train")
    assert failed.code is ErrorCode.TRAINING_SERVICE_UNAVAILABLE
    assert failed.message.endswith("look into its log, and start the cycle again if it has failed.")
