"""The engine's processes: a fork server, which imports the libraries once, and the jobs it forks, one a process.

`engine.forkserver` is the parent. It asks over a socket: FORK, with four file descriptors, is answered with the new
process's id, REAP with the exit code of one that has ended, and FORGET, which reaps it too, with nothing. The new
process reads one pickled `Task` from its standard input and writes pickled messages to its standard output: `Progress`
any number of times, then one `Done` or `Raised`. Whatever the job's libraries print goes to standard error instead.

Every process ends with its parent, however that ended: on Linux the kernel sees to it, elsewhere the end of the socket
and of standard input do. They keep out of the terminal's signals: on Ctrl-C the parent decides.

Forking is sound because the server has one thread: JAX starts its own with its first array, in the job's process.
"""

import contextlib
import ctypes
import gc
import importlib
import os
import pickle
import signal
import socket
import struct
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Final

from domain.errors import ResearchError
from engine.interface import Progress

PR_SET_PDEATHSIG = 1

REQUEST: Final = struct.Struct("!ci")
"""What is asked of the server, FORK, REAP or FORGET, and the process that is meant."""
ANSWER: Final = struct.Struct("!i")
"""A process id or an exit code; where no process could be forked the negative errno."""
READY: Final = 0
"""The answer that the server gives unasked, once it has imported what it was told to."""
FORK: Final = b"f"
REAP: Final = b"r"
FORGET: Final = b"x"
DESCRIPTORS: Final = 4
"""Of a new process: standard input, output and error, and one that is closed by its end alone."""


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
    """Be the fork server. Arguments: the parent's process id, the socket's descriptor, the modules to import."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with_parent(int(sys.argv[1]))
    parent = socket.socket(fileno=int(sys.argv[2]))
    for module in sys.argv[3:]:
        # A module that cannot be imported is the job's to report, where somebody waits for the answer.
        with contextlib.suppress(Exception):
            importlib.import_module(module)
    # JAX warns of threads whenever a process forks; there is none here.
    warnings.filterwarnings("ignore", message="os.fork", category=RuntimeWarning)
    gc.freeze()  # what is imported lives for ever: not looked at, its pages stay shared with the jobs
    parent.sendall(ANSWER.pack(READY))
    _serve(parent)


def _serve(parent: socket.socket) -> None:
    """Fork and reap until the parent closes the socket."""
    me = os.getpid()
    while True:
        request, descriptors, _, _ = socket.recv_fds(parent, REQUEST.size, DESCRIPTORS)
        if not request:
            return
        kind, process = REQUEST.unpack(request)
        if kind != FORK:
            _, status = os.waitpid(process, 0)
            if kind == REAP:
                parent.sendall(ANSWER.pack(os.waitstatus_to_exitcode(status)))
            continue
        try:
            child = os.fork()
        except OSError as error:
            child = -(error.errno or 1)
        if child == 0:
            parent.close()
            _be_a_job(me, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        parent.sendall(ANSWER.pack(child))


def _be_a_job(server: int, descriptors: list[int]) -> None:
    """Do one job in a forked process, and end."""
    try:
        # Out of the terminal's foreground group, and of the server's, which a terminal may stop.
        os.setpgid(0, 0)
        for standard, descriptor in enumerate(descriptors[:3]):
            os.dup2(descriptor, standard)
            os.close(descriptor)
        _die_with_parent(server)
        _do_one_job()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    # The parent kills at once; without this the interpreter would first take down libraries with threads of their own.
    os._exit(0)


def _do_one_job() -> None:
    messages = _take_standard_output()
    try:
        task: Task = pickle.load(sys.stdin.buffer)  # noqa: S301 (our own parent wrote it)
    except EOFError:
        return
    threading.Thread(target=_end_with_standard_input, daemon=True).start()

    def send(message: Message) -> None:
        pickle.dump(message, messages)
        messages.flush()

    send(_perform(task, send))


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
