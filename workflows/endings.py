"""How a cycle ends: what its story was stopped by, as an outcome, a reason for people, and for a failure its code."""

from typing import NamedTuple

from temporalio.exceptions import is_cancelled_exception

from domain.cycle import MAX_REASON, Failure, Outcome, Phase
from domain.errors import ErrorCode
from workflows.failures import CycleFailed
from workflows.jobs import LeftRunning


class Stop(Exception):
    """The story ends here, with an outcome that is no failure."""

    def __init__(self, outcome: Outcome, reason: str | None) -> None:
        super().__init__(reason)
        self.outcome = outcome
        self.reason = reason


class Ending(NamedTuple):
    """What the status and the record say of a cycle's end."""

    outcome: Outcome
    reason: str | None = None
    failure: Failure | None = None

    @classmethod
    def by(cls, error: BaseException, phase: Phase, cancel_reason: str | None) -> "Ending":
        """The end that this brought in this phase. cancel_reason: what the one who cancelled the cycle said, if so."""
        cancelled = cancel_reason or "cancelled"
        match error:
            case Stop():
                return cls(error.outcome, error.reason)
            case LeftRunning():
                return cls(Outcome.CANCELLED, f"{cancelled} ({str(error)[:MAX_REASON]})")
            case CycleFailed():
                return cls.failed(phase, error.code, error.message)
        if is_cancelled_exception(error):
            return cls(Outcome.CANCELLED, cancelled)
        what = f"the cycle could not go on: {error}. Report it, with the log of its worker, and start the cycle again"
        return cls.failed(phase, ErrorCode.INTERNAL_ERROR, what)

    @classmethod
    def failed(cls, phase: Phase, code: ErrorCode, message: str) -> "Ending":
        """A failure, whose message is the reason too."""
        return cls(Outcome.FAILED, message, Failure(phase=phase, code=code, message=message))
