"""What an activity's failure means where the server ended the activity for a reset of its workflow."""

import pytest
from temporalio.api.failure.v1 import Failure, ResetWorkflowFailureInfo
from temporalio.exceptions import ActivityError, FailureError, RetryState

from domain.errors import ErrorCode
from workflows.failures import failure_of


@pytest.mark.parametrize("activity", ["design", "assess"])
def test_a_turn_that_a_reset_cut_off_may_have_been_billed(activity: str) -> None:
    cut = FailureError("the workflow was reset")
    cut._failure = Failure(reset_workflow_failure_info=ResetWorkflowFailureInfo())
    error = ActivityError(
        "activity error",
        scheduled_event_id=5,
        started_event_id=6,
        identity="a worker",
        activity_type=activity,
        activity_id="1",
        retry_state=RetryState.NON_RETRYABLE_FAILURE,
    )
    error.__cause__ = cut
    assert failure_of(error, activity).code is ErrorCode.ANSWER_LOST
