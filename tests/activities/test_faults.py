"""Promises of the border between our failures and Temporal's."""

import asyncio
import logging

import pytest
from temporalio.exceptions import ApplicationError

from activities.faults import MAX_MESSAGE, as_application_error, translated
from domain.errors import ErrorCode, ResearchError


@pytest.mark.parametrize("code", ErrorCode)
def test_every_code_becomes_the_errors_type_and_decides_about_retries(code: ErrorCode) -> None:
    error = as_application_error(ResearchError(code, "what happened"))
    assert (error.type, error.message, error.non_retryable) == (code.value, "what happened", not code.retryable)


def test_an_exception_without_a_code_is_our_defect_and_not_tried_again() -> None:
    error = as_application_error(KeyError("epochs"))
    assert (error.type, error.non_retryable) == ("internal_error", True)
    assert "KeyError: 'epochs'" in error.message


def test_an_error_that_already_speaks_temporals_language_stays_as_it_is() -> None:
    error = ApplicationError("as it is", type="elsewhere", non_retryable=False)
    assert as_application_error(error) is error


def test_a_message_without_end_is_cut_off() -> None:
    message = as_application_error(ResearchError(ErrorCode.TRAINING_FAILED, "x" * 100_000)).message
    assert len(message) == MAX_MESSAGE
    assert message.endswith("…")


def test_a_cancel_is_no_failure_and_passes() -> None:
    with pytest.raises(asyncio.CancelledError), translated():
        raise asyncio.CancelledError


def test_the_traceback_of_a_defect_is_in_the_log_and_not_in_the_error(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR), pytest.raises(ApplicationError) as failed, translated():
        raise ZeroDivisionError("no bars")
    assert failed.value.__cause__ is None
    assert "Traceback" not in failed.value.message
    assert "ZeroDivisionError: no bars" in caplog.text
    assert "Traceback" in caplog.text


def test_a_failure_that_was_foreseen_leaves_no_traceback_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), pytest.raises(ApplicationError), translated():
        raise ResearchError(ErrorCode.DATA_UNAVAILABLE, "no bars of EURUSD 1h")
    assert not caplog.text
