"""Error codes and the exceptions that carry them. The codes are stable: they are what people see and alert on."""

from datetime import timedelta
from enum import StrEnum


class ErrorCode(StrEnum):
    """Why something could not be done. Also an ApplicationError's type, a metric's label and the CLI's word."""

    ANTHROPIC_TIMEOUT = "anthropic_timeout"
    ANTHROPIC_ERROR = "anthropic_error"
    ANTHROPIC_RATE_LIMITED = "anthropic_rate_limited"
    ANTHROPIC_SPEND_LIMIT = "anthropic_spend_limit"
    ANTHROPIC_AUTH = "anthropic_auth"
    ANTHROPIC_REQUEST = "anthropic_request"
    ANSWER_LOST = "answer_lost"
    BUDGET_EXHAUSTED = "budget_exhausted"
    DESIGN_INVALID = "design_invalid"
    DESIGN_REFUSED = "design_refused"
    ASSESS_REFUSED = "assess_refused"
    TRAINING_SERVICE_UNAVAILABLE = "training_service_unavailable"
    BACKTEST_SERVICE_UNAVAILABLE = "backtest_service_unavailable"
    TRAINING_FAILED = "training_failed"
    BACKTEST_FAILED = "backtest_failed"
    INVALID_STRATEGY = "invalid_strategy"
    DATA_UNAVAILABLE = "data_unavailable"
    ENVELOPE_STALE = "envelope_stale"
    STORE_UNAVAILABLE = "store_unavailable"
    INTERNAL_ERROR = "internal_error"

    @property
    def retryable(self) -> bool:
        """Whether the same attempt, made again later, can succeed without anyone changing anything."""
        return self in _RETRYABLE


_RETRYABLE = frozenset(
    {
        ErrorCode.ANTHROPIC_ERROR,
        ErrorCode.ANTHROPIC_RATE_LIMITED,
        ErrorCode.TRAINING_SERVICE_UNAVAILABLE,
        ErrorCode.BACKTEST_SERVICE_UNAVAILABLE,
        ErrorCode.STORE_UNAVAILABLE,
    }
)

COSTS_NOTHING = frozenset(
    {
        ErrorCode.ANTHROPIC_ERROR,
        ErrorCode.ANTHROPIC_RATE_LIMITED,
        ErrorCode.ANTHROPIC_SPEND_LIMIT,
        ErrorCode.ANTHROPIC_AUTH,
        ErrorCode.ANTHROPIC_REQUEST,
        ErrorCode.ENVELOPE_STALE,
        ErrorCode.DATA_UNAVAILABLE,
        ErrorCode.STORE_UNAVAILABLE,
    }
)
"""Failures of a model's turn that prove that nothing was billed. After any other one its ceiling stays charged."""

NOTHING_BILLED = "nothing_billed"
"""The one detail of an ApplicationError by which an attempt at a model's turn tells that nothing of it was billed,
whatever its code: it broke before a request, or its request proved that it cost nothing.
"""

HANDED_OVER = "handed_over"
"""An engine's attempt ended because its worker shuts down. No failure: the cycle schedules the work anew at once, with
what the attempt had reached, so that it counts toward no attempts. An ApplicationError's type, as the next one.
"""

LEFT_RUNNING = "left_running"
"""A cancelled activity could not end what it had begun at a service. The message says what may still run there."""


class ResearchError(Exception):
    """A failure with a code. The message says what was tried, what came back, and what to do next.

    retry_after: how long the one that was asked wants to be left alone, where it says so.
    """

    def __init__(self, code: ErrorCode, message: str, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[type["ResearchError"], tuple[ErrorCode, str, timedelta | None]]:
        # Exceptions cross from the engine's processes by pickle, which would call __init__ with the message alone.
        return (ResearchError, (self.code, self.message, self.retry_after))
