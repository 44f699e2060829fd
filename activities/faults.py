"""How a failure reaches Temporal: the error code becomes the ApplicationError's type, which people see and alert on."""

from temporalio.exceptions import ApplicationError

from domain.errors import ErrorCode, ResearchError

MAX_MESSAGE = 4_000
"""Longest message that goes into a history, in characters."""


def as_application_error(error: Exception) -> ApplicationError:
    """The same failure as Temporal takes it: type = error code, retried only where the code says that this can help.

    An ApplicationError stays as it is. An exception without a code is a defect of ours: internal_error, not retried.
    Raise it `from None`: messages go into the history, tracebacks belong in the log.
    """
    if isinstance(error, ApplicationError):
        return error
    if isinstance(error, ResearchError):
        code, message = error.code, error.message
    else:
        code = ErrorCode.INTERNAL_ERROR
        message = (
            f"{type(error).__name__}: {error}. This is a defect of the program; the worker's log has the traceback."
        )
    return ApplicationError(_bounded(message), type=code.value, non_retryable=not code.retryable)


def _bounded(message: str) -> str:
    return message if len(message) <= MAX_MESSAGE else message[: MAX_MESSAGE - 1] + "…"
