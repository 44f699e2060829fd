"""The parent's side of the engine's fork server: it starts one, and has it fork a process for each job.

Imports cost seconds and are paid once, by the server; a process for a job is there in milliseconds and shares the
server's memory. See `engine.child` for the other side.
"""

import contextlib
import logging
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import IO, Final

from engine.child import ANSWER, FORGET, FORK, REAP, REQUEST, Done, Raised, Task
from engine.interface import Report

logger = logging.getLogger(__name__)

START: Final = "from engine.child import main; main()"

PATIENCE: Final = 10.0
"""How long the server may take to answer, in seconds: it does so in milliseconds, unless somebody stopped it."""

DYING: Final = 5.0
"""How long a process that has closed its output may take to end, in seconds."""

LAST_WORDS: Final = 2_000
"""How much of a dead process's output goes into the log, in bytes."""


class ProcessDied(Exception):
    """An engine process ended in mid-job without a word of its own, or could not be started.

    Says how; the same job may well succeed again.
    """


class ForkServer:
    """A process that imported the engine's libraries and forks itself for each job. It dies with this one."""

    def __init__(self, environment: Mapping[str, str], warm: tuple[str, ...]) -> None:
        """`warm` are the modules to import. Errors: OSError where the machine has no room for another process."""
        self.ready: Future[None] = Future()
        self._asking = threading.Lock()
        self._socket, theirs = socket.socketpair()
        self._output: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed by close)
        try:
            self._popen = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-X",
                    "faulthandler",
                    "-c",
                    START,
                    str(os.getpid()),
                    str(theirs.fileno()),
                    *warm,
                ],
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                env=environment,
                pass_fds=(theirs.fileno(),),
                # Out of the terminal's foreground group: Ctrl-C reaches the parent alone.
                process_group=0,
            )
        except OSError:
            self._socket.close()
            self._output.close()
            raise
        finally:
            theirs.close()
        threading.Thread(target=self._wait_until_ready, name="engine fork server", daemon=True).start()

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def alive(self) -> bool:
        return self._popen.poll() is None

    def fork(self) -> "JobProcess":
        """A new process, once the server is `ready`; takes milliseconds. Errors: ProcessDied."""
        output: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the process)
        task_read, task_write = os.pipe()
        said_read, said_write = os.pipe()
        life_read, life_write = os.pipe()
        theirs = (task_read, said_write, output.fileno(), life_write)
        try:
            pid = self._ask(FORK, 0, theirs)
            if pid < 0:
                raise OSError(-pid, os.strerror(-pid))
        except OSError as error:
            for descriptor in (task_write, said_read, life_read):
                os.close(descriptor)
            output.close()
            raise ProcessDied(f"no engine process could be started: {error}") from error
        finally:
            for descriptor in (task_read, said_write, life_write):
                os.close(descriptor)
        return JobProcess(self, pid, os.fdopen(task_write, "wb"), os.fdopen(said_read, "rb"), output, life_read)

    def reap(self, pid: int) -> int | None:
        """The exit code of a process that has ended, as subprocess has it; None where the server is gone too."""
        try:
            return self._ask(REAP, pid)
        except OSError:
            return None

    def forget(self, pid: int) -> None:
        """Have a process that has ended reaped, whenever the server comes to it."""
        with self._asking, contextlib.suppress(OSError):
            self._socket.settimeout(PATIENCE)
            self._socket.sendall(REQUEST.pack(FORGET, pid))

    def close(self) -> None:
        """Kill it; the kernel kills what it forked."""
        self._popen.kill()
        self._popen.wait()
        with self._asking:
            self._socket.close()
        self._output.close()

    def last_words(self) -> str:
        """The end of what it printed: why it could not start, or what its libraries said."""
        return _end_of(self._output)

    def _ask(self, kind: bytes, pid: int, descriptors: tuple[int, ...] = ()) -> int:
        """Errors: OSError where there is no answer; a server without one is killed, for nothing can be known of it."""
        with self._asking:
            try:
                self._socket.settimeout(PATIENCE)
                socket.send_fds(self._socket, [REQUEST.pack(kind, pid)], descriptors)
                return self._answer()
            except OSError:
                self._popen.kill()
                raise

    def _answer(self) -> int:
        answer = self._socket.recv(ANSWER.size, socket.MSG_WAITALL)
        if len(answer) < ANSWER.size:
            raise ConnectionResetError("the engine's fork server has ended")
        number: int = ANSWER.unpack(answer)[0]
        return number

    def _wait_until_ready(self) -> None:
        with self._asking, contextlib.suppress(OSError):
            self._socket.settimeout(None)
            self._answer()
        self.ready.set_result(None)  # also for one that died meanwhile: to ask it tells why


class JobProcess:
    """One process for one job, and the pipes to it. `perform` is called once, and leaves no process behind."""

    def __init__(
        self, server: ForkServer, pid: int, task: IO[bytes], said: IO[bytes], output: IO[bytes], life: int
    ) -> None:
        self.pid = pid
        self._server = server
        self._task = task
        self._said = said
        self._output = output
        self._life = life
        self._unwanted = False
        self._burying = threading.Lock()
        self._buried = False

    def kill(self) -> None:
        """End it, which is no news then."""
        self._unwanted = True
        with self._burying:
            self._kill()

    def perform(self, task: Task, report: Report) -> object:
        """Hand over the task and wait for its end; in a thread, because reading blocks."""
        try:
            end = self._converse(task, report)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError):
            raise self._died() from None
        finally:
            self._bury(self._server.forget)
            self._output.close()
        if isinstance(end, Raised):
            raise end.error
        return end.value

    def _converse(self, task: Task, report: Report) -> Done | Raised:
        pickle.dump(task, self._task)
        self._task.flush()
        while True:
            message = pickle.load(self._said)  # noqa: S301 (our own child wrote it)
            if isinstance(message, Done | Raised):
                return message
            report(message)

    def _bury(self, reap: Callable[[int], int | None]) -> int | None:
        """Kill it, wait for its end, have it reaped, and close what led to it; nothing where that was done before."""
        with self._burying:
            if self._buried:
                return None
            self._kill()
            self._ended(None)
            code = reap(self.pid)
            self._buried = True
            os.close(self._life)
            for pipe in (self._task, self._said):
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
            return code

    def _kill(self) -> None:
        # Until it is reaped its id is nobody else's.
        if not self._buried and not self._ended(0):
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def _ended(self, timeout: float | None) -> bool:
        """Whether it has ended within so many seconds: then nobody holds the other end of this pipe any more."""
        poll = select.poll()
        poll.register(self._life, select.POLLIN)
        return bool(poll.poll(None if timeout is None else timeout * 1000))

    def _died(self) -> ProcessDied:
        self._ended(DYING)  # what is still alive then has closed its output and lives on
        if self._unwanted:
            self._bury(self._server.forget)
            how = signal.SIGKILL.name
        else:
            code = self._bury(self._server.reap)
            how = "its fork server" if code is None else _spelt(code)
        words = _end_of(self._output) or self._server.last_words()
        # A cancel or a stop is no warning: who reads one at night looks for a machine without memory.
        logger.log(
            logging.DEBUG if self._unwanted else logging.WARNING,
            *("engine process %d ended in mid-job with %s; its last output: %s", self.pid, how, words or "none"),
        )
        return ProcessDied(f"the engine process ended in mid-job with {how}")


def _spelt(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name


def _end_of(output: IO[bytes]) -> str:
    if output.closed:
        return ""
    output.seek(max(0, output.seek(0, os.SEEK_END) - LAST_WORDS))
    return output.read().decode(errors="replace").strip()
