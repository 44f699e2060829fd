"""What the service sends, as we read it: the fields that are used, strictly typed; other fields are passed over.

An answer is the text of a stranger. It is bounded before it comes here, and nothing of it is shown unless it was made
plain: one line, printable, short.
"""

import math
from enum import StrEnum
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

OPERATION_ID = r"^[A-Za-z0-9_.:-]{1,200}$"
"""What an operation's id may be: it goes into the path of a request."""

MAX_TEXT = 500
"""Longest piece of the service's text that is shown, in characters."""


class Away(Exception):
    """No usable answer: refused, dropped, an error of the service's own, or half an answer. A later try may succeed."""


class Unreached(Away):
    """The same, where nothing of the request can have come to the service."""


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


def _if_text(value: object) -> object:
    return value if isinstance(value, str) else None


def _if_number(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    bounded = float(min(max(value, 0), 100))
    return None if math.isnan(bounded) else bounded


def _if_object(value: object) -> object:
    return value if isinstance(value, dict) else None


_Text = Annotated[str | None, BeforeValidator(_if_text)]


class OperationProgress(Answer):
    """How far it is. This is only shown, so that nothing in it is refused: what is no such thing counts as not told,
    and a percentage out of bounds as the bound.
    """

    percentage: Annotated[float | None, BeforeValidator(_if_number)] = None
    current_step: _Text = None


class Operation(Answer):
    """What every answer about an operation has; its results are read apart, once there are any."""

    operation_id: str
    status: Status
    progress: Annotated[OperationProgress | None, BeforeValidator(_if_object)] = None
    error_message: _Text = None


class OperationAnswer(Answer):
    """The answer to a poll."""

    success: Literal[True]
    data: Operation


def read(answer: type[A], content: bytes) -> A:
    """The answer. Raises Away for what is no JSON, Broken for JSON that is no such answer."""
    try:
        return answer.model_validate_json(content)
    except ValidationError as error:
        # Once: every error brings a copy of what it is about, up to the whole answer.
        errors = error.errors(include_url=False, include_context=False)[:3]
        if errors[0]["type"] == "json_invalid":
            raise Away(f"half an answer: {plain(content.decode(errors='replace'), 80) or 'nothing at all'}") from None
        raise Broken("; ".join(_named(each) for each in errors)) from None


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
