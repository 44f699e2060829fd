"""Programs that run beside this process: started, kept alive, and ended with it, however it ends."""

import asyncio
import contextlib
import ctypes
import functools
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

RESTART_AFTER = 10.0
RESTART_AFTER_KILL = 0.5
"""Seconds; a program that is killed at once, again and again, must not keep a core busy."""
STOP_PATIENCE = 15.0
PR_SET_PDEATHSIG = 1

# Loaded here: in the forked child only the call itself is safe, as other threads may hold the loader's lock.
LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@dataclass(frozen=True)
class Program:
    """What to run and how to tell of it. `headline` and `remark` stand around the process id; `meanwhile` says what a
    sudden end means for those who use it.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    log: Path
    headline: str
    remark: str
    meanwhile: str

    def ending(self) -> str:
        """The last lines of its log, for an error."""
        lines = self.log.read_text(errors="replace").splitlines()[-5:] if self.log.exists() else []
        return "\n".join([f"The end of {self.log}:", *lines])


@asynccontextmanager
async def kept(program: Program, tell: Callable[[str], None]) -> AsyncIterator[asyncio.Event]:
    """Keep the program running for as long as the block does; it is started again whenever it ends by itself.

    Hands out an event that is set once the program has ended with an error of its own, or could not be started.
    """
    broken = asyncio.Event()
    program.log.parent.mkdir(parents=True, exist_ok=True)
    keeper = asyncio.create_task(_keep(program, tell, broken))
    try:
        yield broken
    finally:
        keeper.cancel()
        # A further cancel of this task goes on to the keeper, which sees the program's end through.
        with contextlib.suppress(asyncio.CancelledError):
            await keeper


async def _keep(program: Program, tell: Callable[[str], None], broken: asyncio.Event) -> None:
    while True:
        try:
            process = await spawn(program)
        except OSError as error:
            broken.set()
            tell(f"The {program.name} cannot be started ({error}). It is tried again in {RESTART_AFTER:.0f} s.")
            await asyncio.sleep(RESTART_AFTER)
            continue
        tell(f"{program.headline}process {process.pid}  ({program.remark})")
        try:
            code = await process.wait()
        finally:
            await stop(process)
        if code >= 0:
            broken.set()
            tell(
                f"The {program.name} ended with code {code}: see {program.log}. "
                f"It is started again in {RESTART_AFTER:.0f} s."
            )
            await asyncio.sleep(RESTART_AFTER)
        else:
            killer = signal.Signals(-code).name
            tell(f"The {program.name} was killed by {killer}; starting it again. {program.meanwhile}")
            await asyncio.sleep(RESTART_AFTER_KILL)


async def spawn(program: Program) -> asyncio.subprocess.Process:
    """A child in a session of its own, so that a Ctrl-C reaches this process alone, which stops things in order."""
    with program.log.open("ab") as out:
        return await asyncio.create_subprocess_exec(
            *program.command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env=program.environment,
            start_new_session=True,
            preexec_fn=functools.partial(_die_with_parent, os.getpid()),
        )


async def stop(process: asyncio.subprocess.Process) -> None:
    """SIGTERM, patience, then SIGKILL. However often this is cancelled meanwhile, it goes through to the end first."""
    loop = asyncio.get_running_loop()
    cancelled = False
    deadline: float | None = loop.time() + STOP_PATIENCE
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    while process.returncode is None:
        try:
            async with asyncio.timeout_at(deadline):
                await process.wait()
        except TimeoutError:
            deadline = None
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError


def free_port(wanted: int, host: str = "127.0.0.1") -> int:
    """The wanted port if nobody listens there, else one that the system gives. Raises OSError."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, wanted))
        except OSError:
            probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _die_with_parent(parent: int) -> None:
    """In the child. Linux: the kernel ends the child when its parent dies, by kill -9 too."""
    if LIBC is not None:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    # The parent may have ended before the kernel was asked.
    if os.getppid() != parent:
        os._exit(1)
