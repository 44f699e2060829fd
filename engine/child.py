"""An engine process: it warms up, does one job, and is gone. `engine.pool` is its parent.

The parent writes one pickled `Task` to standard input and reads pickled messages from standard output: `Progress` any
number of times, then one `Done` or `Raised`. Whatever the job's libraries print goes to standard error instead.

The process ends with its parent, however that ended: on Linux the kernel sees to it, elsewhere the end of standard
input does. It keeps out of the terminal's signals: on Ctrl-C the parent decides.
"""

import contextlib
import ctypes
import importlib
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from domain.errors import ResearchError
from engine.interface import Progress

PR_SET_PDEATHSIG = 1


class JobRaised(Exception):
    """The job ended with an exception that carries no code of ours. The traceback is text, for the log."""

    def __init__(self, message: str, trace: str) -> None:
        super().__init__(message, trace)
        self.message = message
        self.trace = trace


@dataclass(frozen=True)
class Task:
    """What to call, as "module:function", and its keyword arguments; `report` is added here."""

    function: str
    arguments: Mapping[str, object]


@dataclass(frozen=True)
class Done:
    """What the job returned."""

    value: object


@dataclass(frozen=True)
class Raised:
    """Why the job has no result. The exception can be unpickled where the engine's libraries are not imported."""

    error: ResearchError | OSError | MemoryError | JobRaised


Message = Progress | Done | Raised


def main() -> None:
    """Serve one job. Arguments: the parent's process id, then the modules to import ahead of the job."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with_parent(int(sys.argv[1]))
    messages = _take_standard_output()
    for module in sys.argv[2:]:
        # A module that cannot be imported is the job's to report, where somebody waits for the answer.
        with contextlib.suppress(Exception):
            importlib.import_module(module)
    try:
        task: Task = pickle.load(sys.stdin.buffer)  # noqa: S301 (our own parent wrote it)
    except EOFError:
        return
    threading.Thread(target=_end_with_standard_input, daemon=True).start()

    def send(message: Message) -> None:
        pickle.dump(message, messages)
        messages.flush()

    send(_perform(task, send))
    # The parent kills at once; without this the interpreter would first take down libraries with threads of their own.
    os._exit(0)


def _perform(task: Task, report: Callable[[Progress], None]) -> Done | Raised:
    try:
        module, _, name = task.function.partition(":")
        function: Callable[..., object] = getattr(importlib.import_module(module), name)
        return Done(function(**task.arguments, report=report))
    except ResearchError as error:
        return Raised(ResearchError(error.code, error.message))
    except OSError as error:
        return Raised(OSError(error.errno, error.strerror or str(error), error.filename))
    except MemoryError:
        return Raised(MemoryError())
    except Exception as error:
        return Raised(JobRaised(f"{type(error).__name__}: {error}", traceback.format_exc()))


def _die_with_parent(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    # The parent may have ended before the kernel was asked.
    if os.getppid() != parent:
        os._exit(1)


def _take_standard_output() -> BinaryIO:
    messages = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return messages


def _end_with_standard_input() -> None:
    # Unbuffered: a thread that waits inside the buffered reader would hold its lock when the interpreter ends.
    os.read(0, 1)
    os._exit(1)
