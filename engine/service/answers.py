"""What the service sends, as we read it: the fields that are used, strictly typed; other fields are passed over.

An answer is the text of a stranger. It is bounded before it comes here, and nothing of it is shown unless it was made
plain: one line, printable, short.
"""

from enum import StrEnum
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

OPERATION_ID = r"^[A-Za-z0-9_.:-]{1,200}$"
"""What an operation's id may be: it goes into the path of a request."""

MAX_TEXT = 500
"""Longest piece of the service's text that is shown, in characters."""


class Away(Exception):
    """No usable answer: refused, dropped, an error of the service's own, or half an answer. A later try may succeed."""


class Broken(Exception):
    """A whole answer that breaks the contract. Another try would bring the same. Names the field and what came."""


class Answer(BaseModel):
    """The base of all answers. No number is read from a string, none is NaN or infinite."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, allow_inf_nan=False)


A = TypeVar("A", bound=Answer)


class Status(StrEnum):
    """Where an operation is."""

    PENDING = "pending"
    RESUMING = "resuming"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class TrainingStarted(Answer):
    """The answer to a training's start; task_id is the operation's id."""

    success: Literal[True]
    task_id: str = Field(pattern=OPERATION_ID)


class BacktestStarted(Answer):
    """The answer to a backtest's start."""

    success: Literal[True]
    operation_id: str = Field(pattern=OPERATION_ID)


class OperationProgress(Answer):
    """How far it is."""

    percentage: float = Field(0.0, ge=0, le=100)
    current_step: str | None = None


class Operation(Answer):
    """What every answer about an operation has; its results are read apart, once there are any."""

    operation_id: str
    status: Status
    progress: OperationProgress | None = None
    error_message: str | None = None


class OperationAnswer(Answer):
    """The answer to a poll."""

    success: Literal[True]
    data: Operation


def read(answer: type[A], content: bytes) -> A:
    """The answer. Raises Away for what is no JSON, Broken for JSON that is no such answer."""
    try:
        return answer.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        if first["type"] == "json_invalid":
            raise Away(f"half an answer: {plain(content.decode(errors='replace'), 80) or 'nothing at all'}") from None
        raise Broken("; ".join(_named(each) for each in error.errors(include_url=False)[:3])) from None


def plain(text: str, limit: int = MAX_TEXT) -> str:
    """Text of the service for a line of ours: printable, without line breaks, not longer than the limit."""
    line = " ".join(text[: 4 * limit].split())
    line = "".join(character if character.isprintable() else "?" for character in line)
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _named(error: ErrorDetails) -> str:
    """One of pydantic's errors in our words: which field, what came, what belongs there."""
    where = ".".join(str(step) for step in error["loc"]) or "the answer"
    if error["type"] == "missing":
        return f"{where} is missing"
    came = error["input"]
    shown = f"{type(came).__name__}" if isinstance(came, dict | list) else plain(repr(came), 80)
    return f"{where} is {shown}: {plain(error['msg'], 200)}"
