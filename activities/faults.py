"""How a failure reaches Temporal: the error code becomes the ApplicationError's type, which people see and alert on."""

from collections.abc import Iterator
from contextlib import contextmanager

from temporalio import activity
from temporalio.exceptions import ApplicationError

from domain.errors import ErrorCode, ResearchError

MAX_MESSAGE = 4_000
"""Longest message that goes into a history, in characters."""

MAX_DEFECT = 2_000
"""Characters of an exception that nobody foresaw, so that what to do about it is never cut off."""


@contextmanager
def translated(*details: str) -> Iterator[None]:
    """Let failures leave the block as ApplicationErrors; cancellation passes. Tracebacks go into the log alone.

    details: go along with the error, into the history.
    """
    try:
        yield
    except Exception as error:
        if not isinstance(error, ResearchError | ApplicationError):
            activity.logger.exception("an activity failed in a way that nobody foresaw")
        raise as_application_error(error, *details) from None


def as_application_error(error: Exception, *details: str) -> ApplicationError:
    """The same failure as Temporal takes it: type = error code, retried only where the code says that this can help,
    and not before the time that the failure names.

    An ApplicationError stays as it is. An exception without a code is a defect of ours: internal_error, not retried.
    """
    if isinstance(error, ApplicationError):
        return error
    retry_after = None
    if isinstance(error, ResearchError):
        code, message, retry_after = error.code, error.message, error.retry_after
    else:
        code, retry_after = ErrorCode.INTERNAL_ERROR, None
        what = f"{type(error).__name__}: {error}"
        message = f"A defect of the program. {what[:MAX_DEFECT]}. Report it with its traceback in the worker's log"
    if len(message) > MAX_MESSAGE:
        message = message[: MAX_MESSAGE - 1] + "…"
    return ApplicationError(
        message, *details, type=code.value, non_retryable=not code.retryable, next_retry_delay=retry_after
    )
