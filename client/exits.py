"""How a command ends: the exit codes, and the error that carries what the person or script is told."""

import os
import sys
from enum import IntEnum
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from pydantic import BaseModel


class ExitCode(IntEnum):
    """The exit codes of every command. Stable: scripts rest on them."""

    OK = 0
    FAILED = 1
    USAGE = 2
    REFUSED_BY_BUDGET = 3
    CONFIGURATION = 4
    REJECTED_BY_GATE = 5
    NO_TEMPORAL_OR_WORKER = 6
    WAIT_TIMED_OUT = 7
    ANOTHER_CYCLE_ACTIVE = 8
    CANCELLED = 9
    INTERRUPTED = 130


class CommandError(Exception):
    """What a person can cause or must know: told in a sentence or two, never as a traceback.

    `code` is a stable word for scripts, `message` says what is wrong and where, `next_step` what to type now.
    `details` joins the error in JSON, under its own name.
    """

    def __init__(
        self,
        exit_code: ExitCode,
        code: str,
        message: str,
        next_step: str | None = None,
        details: "dict[str, BaseModel] | None" = None,
    ) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.code = code
        self.message = message
        self.next_step = next_step
        self.details = details or {}


def leave(code: int) -> NoReturn:
    """End the process at once, with what was written flushed.

    Not sys.exit: after a connection that failed, threads of Temporal's core are still about, and an interpreter that
    takes itself down meanwhile is often aborted by them (exit code 134 instead of ours).
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue  # The reader of a pipe has gone, or the stream is closed: there is nobody to tell.
    os._exit(code)


def usage(message: str, next_step: str | None = None) -> CommandError:
    """An error in what was typed."""
    return CommandError(ExitCode.USAGE, "usage", message, next_step)
