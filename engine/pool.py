"""Engine processes, one a job, forked from a server that has imported the engine's libraries.

Promise: while a job runs it has a process of its own, and when `run` has returned or raised, that process is dead: it
writes nothing any more. It holds because the process is killed on the way out, whatever the way; because the kernel
kills it when the parent dies, also by kill -9 (see `engine.child`); and because a process is never used twice.
"""

import asyncio
import contextlib
import logging
import os
import re
import sys
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Self

from engine.caches import bound
from engine.child import JobRaised, Task
from engine.forkserver import ForkServer, JobProcess, ProcessDied
from engine.interface import Progress, Report

logger = logging.getLogger(__name__)

WARM_MODULES = ("engine.training", "engine.backtest")
"""What is imported ahead of the jobs: the slow part of their start."""

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
NO_ARROW_THREAD = "background_thread:false"
"""For the allocator that comes with Arrow, which starts a thread as soon as it is loaded."""
ONE_XLA_THREAD = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL|DATABASE_URL", re.IGNORECASE)
"""Names of environment variables that engine processes do not get: they work on files that a model wrote."""

COMPILED = "*-cache"
"""The names of JAX's files of compiled programs. JAX itself bounds them only with a lock that a killed process would
leave behind."""

CACHE_BYTES = 256 * 2**20
"""What the compiled programs may take on the disk between two jobs; the oldest go first."""


class JobPool:
    """So many jobs at once, each in a process that is forked for it.

    Make it, and await its jobs, in the thread that lives as long as the pool (the event loop's): on Linux a process
    ends with the thread that started it. Imports go on in the background: the constructor returns at once.
    """

    def __init__(self, processes: int, cache: Path, warm: tuple[str, ...] = WARM_MODULES) -> None:
        """`cache` is the folder of JAX's compiled programs; it is made when needed and may be deleted at any time."""
        bound(cache, COMPILED, CACHE_BYTES)
        self._cache = cache
        self._environment = _environment(cache)
        self._warm = warm
        self._free = asyncio.Semaphore(processes)
        self._threads = ThreadPoolExecutor(processes, thread_name_prefix="engine")
        self._busy: set[JobProcess] = set()
        self._closed = False
        self._server: ForkServer | None = None
        try:
            self._server = ForkServer(self._environment, warm)
        except OSError as error:
            logger.warning("the engine's processes could not be warmed up ahead of their jobs: %s", error)

    async def run(self, function: str, arguments: Mapping[str, object], report: Report) -> object:
        """Call `function` ("module:name") with `arguments` and a `report` in a process, and give what it returns.

        Progress reaches `report` in the event loop's thread, in order, before the result. Cancelled, the process is
        killed first. Errors: ResearchError, OSError and MemoryError as the job raised them; JobRaised for any other
        exception of the job; ProcessDied.
        """
        async with self._free:
            process = await self._fork()
            self._busy.add(process)
            try:
                return await self._perform(process, Task(function, arguments), report)
            finally:
                process.kill()
                self._busy.discard(process)

    def close(self) -> None:
        """Kill all processes, also those with a job, whose `run` then raises ProcessDied."""
        self._closed = True
        for process in self._busy:
            process.kill()
        if self._server is not None:
            self._server.close()
            self._server = None
        self._threads.shutdown(wait=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pids(self) -> frozenset[int]:
        """The process ids of the fork server, while there is one, and of all jobs."""
        server = () if self._server is None else (self._server.pid,)
        return frozenset((*server, *(process.pid for process in self._busy)))

    async def _fork(self) -> JobProcess:
        """A process for a job, from a server that is started again where it has died. Errors: ProcessDied."""
        if self._server is not None and not self._server.alive:  # for want of memory, or by hand
            logger.warning(
                "the engine's fork server has died; its last output: %s", self._server.last_words() or "none"
            )
            self._server.close()
            self._server = None
        if self._server is None and not self._closed:
            try:
                self._server = ForkServer(self._environment, self._warm)
            except OSError as error:
                raise ProcessDied(f"no engine process could be started: {error}") from error
        if self._server is not None:
            await _done(self._server.ready)
        if self._server is None:
            raise ProcessDied("the worker is ending and starts no more jobs")
        return self._server.fork()

    async def _perform(self, process: JobProcess, task: Task, report: Report) -> object:
        loop = asyncio.get_running_loop()

        def forward(progress: Progress) -> None:
            # A loop that has been closed takes nothing more, and nobody listens there.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(report, progress)

        def work() -> object:
            try:
                return process.perform(task, forward)
            finally:
                bound(self._cache, COMPILED, CACHE_BYTES)

        performed = loop.run_in_executor(self._threads, work)
        try:
            return await asyncio.shield(performed)
        finally:
            process.kill()
            await asyncio.wait([performed])
            if not performed.cancelled():
                performed.exception()  # looked at, so that asyncio does not report it a second time


async def _done(future: Future[None]) -> None:
    """Wait for a future of another thread, and leave it alone where this wait is cancelled."""
    done, loop = asyncio.Event(), asyncio.get_running_loop()

    def tell(_: Future[None]) -> None:
        # A loop that has been closed takes nothing more, and nobody waits there.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(done.set)

    future.add_done_callback(tell)
    await done.wait()


def _environment(cache: Path) -> dict[str, str]:
    """What a process gets of its parent's environment: no secrets, one thread, and a memory of compiled programs."""
    inherited = {name: value for name, value in os.environ.items() if not SECRET.search(name)}
    return inherited | {
        **dict.fromkeys(ONE_THREAD, "1"),
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {ONE_XLA_THREAD}".strip(),
        "JE_ARROW_MALLOC_CONF": NO_ARROW_THREAD,
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        # The process finds what its parent finds, also where the parent's path was set by hand.
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }


__all__ = ["WARM_MODULES", "JobPool", "JobRaised", "ProcessDied"]
