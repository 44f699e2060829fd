"""Warm engine processes, one a job.

Promise: while a job runs it has a process of its own, and when `run` has returned or raised, that process is dead: it
writes nothing any more. It holds because the process is killed on the way out, whatever the way; because the kernel
kills it when the parent dies, also by kill -9 (see `engine.child`); and because a process is never used twice.

Processes are spawned, never forked: JAX is not fork-safe. They import the engine's libraries ahead of their job.
"""

import asyncio
import contextlib
import logging
import os
import pickle
import re
import signal
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Self

from engine.child import Done, JobRaised, Raised, Task
from engine.interface import Progress, Report

logger = logging.getLogger(__name__)

WARM_MODULES = ("engine.training", "engine.backtest")
"""What a process imports ahead of its job: the slow part of its start."""

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
ONE_XLA_THREAD = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL|DATABASE_URL", re.IGNORECASE)
"""Names of environment variables that engine processes do not get: they work on files that a model wrote."""

CACHE_BYTES = 256 * 2**20
"""What the compiled programs may take on the disk between two jobs; the oldest go first."""

LAST_WORDS = 2_000
"""How much of a dead process's output goes into the log, in bytes."""

DYING = 5.0
"""How long a process that has closed its output may take to end, in seconds."""

START = "from engine.child import main; main()"


class ProcessDied(Exception):
    """An engine process ended in mid-job without a word of its own, or could not be started.

    Says how; the same job may well succeed again.
    """


class JobPool:
    """So many jobs at once, each in a process that was warmed up before. While all are busy, one more is warming.

    Make it, and await its jobs, in the thread that lives as long as the pool (the event loop's): on Linux a process
    ends with the thread that started it. Warming up goes on in the background: the constructor returns at once.
    """

    def __init__(self, processes: int, cache: Path, warm: tuple[str, ...] = WARM_MODULES) -> None:
        """`cache` is the folder of JAX's compiled programs; it is made when needed and may be deleted at any time."""
        _prune(cache)
        self._cache = cache
        self._environment = _environment(cache)
        self._warm = warm
        self._processes = processes
        self._free = asyncio.Semaphore(processes)
        self._threads = ThreadPoolExecutor(processes, thread_name_prefix="engine")
        self._idle: deque[_Process] = deque()
        self._busy: set[_Process] = set()
        self._closed = False
        self._fill_up()

    async def run(self, function: str, arguments: Mapping[str, object], report: Report) -> object:
        """Call `function` ("module:name") with `arguments` and a `report` in a process, and give what it returns.

        Progress reaches `report` in the event loop's thread, in order, before the result. Cancelled, the process is
        killed first. Errors: ResearchError, OSError and MemoryError as the job raised them; JobRaised for any other
        exception of the job; ProcessDied.
        """
        async with self._free:
            process = self._take()
            self._busy.add(process)
            try:
                self._fill_up()
                return await self._perform(process, Task(function, arguments), report)
            finally:
                process.kill()
                self._busy.discard(process)
                self._fill_up()

    def close(self) -> None:
        """Kill all processes, also those with a job, whose `run` then raises ProcessDied."""
        self._closed = True
        for process in (*self._idle, *self._busy):
            process.kill()
        for process in self._idle:
            process.bury()
        self._idle.clear()
        self._threads.shutdown(wait=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pids(self) -> frozenset[int]:
        """The process ids of all processes, idle and busy."""
        return frozenset(process.pid for process in (*self._idle, *self._busy))

    def _take(self) -> "_Process":
        """A process for a job: a warm one, or a new one where there is none. Errors: ProcessDied."""
        if self._closed:
            raise ProcessDied("the worker is ending and starts no more jobs")
        if self._idle:
            process = self._idle.popleft()
            if process.alive:
                return process
            process.bury()  # killed while it was idle: by the kernel for want of memory, or by hand
        try:
            return _Process(self._environment, self._warm)
        except OSError as error:
            raise ProcessDied(f"no engine process could be started: {error}") from error

    async def _perform(self, process: "_Process", task: Task, report: Report) -> object:
        loop = asyncio.get_running_loop()

        def forward(progress: Progress) -> None:
            # A loop that has been closed takes nothing more, and nobody listens there.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(report, progress)

        def work() -> object:
            try:
                return process.perform(task, forward)
            finally:
                _prune(self._cache)

        performed = loop.run_in_executor(self._threads, work)
        try:
            return await asyncio.shield(performed)
        finally:
            process.kill()
            await asyncio.wait([performed])
            if not performed.cancelled():
                performed.exception()  # looked at, so that asyncio does not report it a second time

    def _fill_up(self) -> None:
        """Start what is missing, as far as it can be: one for each job that may come, and one that is never missing.

        A cycle's backtest follows its training at once; it finds a process that warmed up meanwhile.
        """
        if self._closed:
            return
        try:
            while not self._idle or len(self._idle) + len(self._busy) < self._processes:
                self._idle.append(_Process(self._environment, self._warm))
        except OSError as error:
            logger.warning("no engine process could be warmed up ahead of its job: %s", error)


class _Process:
    """One process and the three pipes to it."""

    def __init__(self, environment: Mapping[str, str], warm: tuple[str, ...]) -> None:
        """Errors: OSError where the machine has no room for another process."""
        self._output: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed by bury)
        self._unwanted = False
        try:
            self._popen = subprocess.Popen(
                [sys.executable, "-P", "-X", "faulthandler", "-c", START, str(os.getpid()), *warm],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._output,
                env=environment,
                # Out of the terminal's foreground group: Ctrl-C reaches the parent alone.
                process_group=0,
            )
        except OSError:
            self._output.close()
            raise

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def alive(self) -> bool:
        return self._popen.poll() is None

    def kill(self) -> None:
        """End it, which is no news then."""
        self._unwanted = True
        self._popen.kill()

    def perform(self, task: Task, report: Report) -> object:
        """Hand over the task and wait for its end; in a thread, because reading blocks."""
        try:
            end = self._converse(task, report)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError):
            raise self._died() from None
        finally:
            self._popen.kill()
            self.bury()
        if isinstance(end, Raised):
            raise end.error
        return end.value

    def _converse(self, task: Task, report: Report) -> Done | Raised:
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        pickle.dump(task, self._popen.stdin)
        self._popen.stdin.flush()
        while True:
            message = pickle.load(self._popen.stdout)  # noqa: S301 (our own child wrote it)
            if isinstance(message, Done | Raised):
                return message
            report(message)

    def bury(self) -> None:
        """Wait for the end of a process that was killed, and close what led to it."""
        self._popen.wait()
        for pipe in (self._popen.stdin, self._popen.stdout, self._output):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def _died(self) -> ProcessDied:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(timeout=DYING)
        self._popen.kill()  # for one that closed its output and lives on
        code = self._popen.wait()
        how = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
        self._output.seek(max(0, self._output.seek(0, os.SEEK_END) - LAST_WORDS))
        words = self._output.read().decode(errors="replace").strip()
        # A cancel or a stop is no warning: who reads one at night looks for a machine without memory.
        logger.log(
            logging.DEBUG if self._unwanted else logging.WARNING,
            *("engine process %d ended in mid-job with %s; its last output: %s", self.pid, how, words or "none"),
        )
        return ProcessDied(f"the engine process ended in mid-job with {how}")


def _prune(cache: Path) -> None:
    """Bound the compiled programs. They only save time: a folder that cannot be tidied is told and fails no job."""
    # JAX itself bounds its cache only with a lock that a killed process would leave behind.
    try:
        programs = [(status, path) for path in cache.glob("*-cache") if (status := _status(path))]
        total = sum(status.st_size for status, _ in programs)
        for status, path in sorted(programs, key=lambda program: program[0].st_mtime):
            if total <= CACHE_BYTES:
                break
            path.unlink(missing_ok=True)
            total -= status.st_size
    except OSError as error:
        logger.warning("the compiled programs could not be bounded to %d bytes: %s", CACHE_BYTES, error)


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None  # another process bounds the same folder


def _environment(cache: Path) -> dict[str, str]:
    """What a process gets of its parent's environment: no secrets, one thread, and a memory of compiled programs."""
    inherited = {name: value for name, value in os.environ.items() if not SECRET.search(name)}
    return inherited | {
        **dict.fromkeys(ONE_THREAD, "1"),
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {ONE_XLA_THREAD}".strip(),
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        # The process finds what its parent finds, also where the parent's path was set by hand.
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }


__all__ = ["WARM_MODULES", "JobPool", "JobRaised", "ProcessDied"]
