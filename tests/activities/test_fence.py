"""The fence lets through only an attempt of the run that was granted the money, and only in its time."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.testing import ActivityEnvironment

from activities.fence import check_envelope
from domain.errors import ErrorCode, ResearchError


@pytest.mark.parametrize(
    ("run_id", "began", "code"),
    [
        ("run", timedelta(0), None),
        ("run", timedelta(seconds=149), None),
        ("run", timedelta(seconds=151), ErrorCode.ANSWER_LOST),
        ("earlier-run", timedelta(0), ErrorCode.ENVELOPE_STALE),
    ],
)
def test_only_the_run_that_was_granted_the_money_passes_and_only_in_its_time(
    run_id: str, began: timedelta, code: ErrorCode | None
) -> None:
    attempt = ActivityEnvironment()
    attempt.info = replace(
        attempt.info,
        workflow_run_id="run",
        started_time=datetime.now(UTC) - began,
        start_to_close_timeout=timedelta(seconds=150),
    )
    if code is None:
        attempt.run(check_envelope, run_id)
        return
    with pytest.raises(ResearchError) as refused:
        attempt.run(check_envelope, run_id)
    assert refused.value.code is code
