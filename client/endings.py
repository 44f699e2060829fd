"""How whatever happens in a command becomes words and an exit code, for every program that people start."""

import os
import sys
import traceback
from collections.abc import Callable

from client.exits import CommandError, ExitCode
from client.output import Screen


def ended(screen: Screen, command: Callable[[], int]) -> int:
    """Run it, and give its exit code. What a person can cause never ends in a traceback."""
    try:
        return command()
    except CommandError as error:
        screen.error(error)
        return error.exit_code
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # The reader has gone (`research list | head`). What is still buffered must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FAILED
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        screen.error(CommandError(ExitCode.FAILED, "file_error", f"cannot use{where}: {error.strerror or error}"))
        return ExitCode.FAILED
    except Exception as error:
        return _unforeseen(screen, error)


def _unforeseen(screen: Screen, error: Exception) -> int:
    from domain.errors import ErrorCode, ResearchError

    if isinstance(error, ResearchError):
        found = CommandError(_exit_code(error.code), error.code.value, error.message)
    else:
        traceback.print_exc()
        found = CommandError(
            ExitCode.FAILED,
            ErrorCode.INTERNAL_ERROR.value,
            f"a defect of this program, not of yours: {type(error).__name__}: {error}",
            "report it with the lines above",
        )
    screen.error(found)
    return found.exit_code


def _exit_code(code: str) -> ExitCode:
    return {
        "data_unavailable": ExitCode.USAGE,
        "invalid_strategy": ExitCode.USAGE,
        "budget_exhausted": ExitCode.REFUSED_BY_BUDGET,
        "anthropic_auth": ExitCode.CONFIGURATION,
    }.get(code, ExitCode.FAILED)
