"""Everything on this machine: a Temporal server with its Web UI, a worker, and what keeps both alive and ends both.

The server's data, the logs and all results lie in the home. One stack at a time uses a home: the operating system's
lock on `dev.lock` says so, and whoever finds it held uses the stack that runs.
"""

import asyncio
import contextlib
import ctypes
import fcntl
import json
import os
import shutil
import signal
import socket
import sys
import sysconfig
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from client.connection import DEFAULT_NAMESPACE, Unreachable, connect, read_running_note, running_note
from client.namespace import is_polled, prepare_namespace
from settings import PROJECT, Settings

SERVER_READY = 30.0
WORKER_READY = 90.0
RESTART_AFTER = 10.0
STOP_PATIENCE = 15.0
SERVER_CONFIG = PROJECT / "temporal-dev" / "dynamic-config.json"


class DevError(Exception):
    """The stack could not be started. The message says what to do."""


@dataclass(frozen=True)
class Stack:
    """A running stack: settings that reach it, its addresses, and whether this process started it."""

    settings: Settings
    address: str
    ui_url: str | None
    started_here: bool


@asynccontextmanager
async def dev_stack(settings: Settings, tell: Callable[[str], None], port: int = 7233) -> AsyncIterator[Stack]:
    """Start what is missing, hand it out, stop what was started here. `tell` gets a line for each thing started.

    With an address in the settings the server is the user's own and only a worker is started. With a stack already
    running on this home nothing is started.
    """
    if settings.temporal_address:
        ui = settings.ui_url
        async with _worker(settings, tell):
            yield Stack(settings, settings.temporal_address, ui, started_here=True)
        return
    settings.home.mkdir(parents=True, exist_ok=True)
    with (settings.home / "dev.lock").open("a+") as lock:
        if not _locked(lock):
            address, ui_url = await _running(settings)
            yield Stack(_reaching(settings, address, ui_url), address, ui_url, started_here=False)
            return
        note = running_note(settings)
        note.unlink(missing_ok=True)
        async with _server(settings, tell, port) as (address, ui_url):
            reaching = _reaching(settings, address, ui_url)
            note.write_text(json.dumps({"address": address, "ui_url": ui_url}))
            try:
                async with _worker(reaching, tell):
                    yield Stack(reaching, address, ui_url, started_here=True)
            finally:
                note.unlink(missing_ok=True)


def temporal_command() -> Path:
    """The `temporal` program: one on PATH, else the one among the project's packages. Raises DevError."""
    bundled = Path(sysconfig.get_path("scripts")) / "temporal"
    found = shutil.which("temporal") or (str(bundled) if bundled.exists() else None)
    if found is None:
        raise DevError(
            "there is no `temporal` program on this machine, and the package that brings it has no build for this "
            "platform. Install Temporal's CLI so that it is on PATH, or start a server elsewhere and name it with "
            "TEMPORAL_ADDRESS (see the README, 'Other platforms')."
        )
    return Path(found)


def _locked(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def _running(settings: Settings) -> tuple[str, str | None]:
    """Where the stack that holds this home's lock is. It may be just starting, so the note is waited for."""
    async with asyncio.timeout(SERVER_READY):
        while (note := read_running_note(settings)) is None:
            await asyncio.sleep(0.1)
    return note.address, note.ui_url


def _reaching(settings: Settings, address: str, ui_url: str | None) -> Settings:
    return settings.model_copy(
        update={
            "temporal_address": address,
            "temporal_namespace": settings.temporal_namespace or DEFAULT_NAMESPACE,
            "ui_url": settings.ui_url or ui_url,
        }
    )


@asynccontextmanager
async def _server(settings: Settings, tell: Callable[[str], None], port: int) -> AsyncIterator[tuple[str, str]]:
    program = temporal_command()
    frontend, ui = _free_port(port), _free_port(port + 1000)
    address, ui_url = f"127.0.0.1:{frontend}", f"http://127.0.0.1:{ui}"
    namespace = settings.temporal_namespace or DEFAULT_NAMESPACE
    arguments = ["server", "start-dev", "--ip", "127.0.0.1", "--port", str(frontend), "--ui-port", str(ui)]
    arguments += ["--db-filename", str(settings.home / "temporal.db"), "--namespace", namespace, "--log-level", "warn"]
    arguments += ["--sqlite-pragma", "synchronous=normal"]
    for key, value in json.loads(SERVER_CONFIG.read_text()).items():
        arguments += ["--dynamic-config-value", f"{key}={json.dumps(value)}"]
    log = _log(settings.home, "server.log")
    process = await _spawn(str(program), *arguments, log=log, environment=dict(os.environ))
    try:
        await _ready(process, _reaching(settings, address, ui_url), log)
        tell(f"Temporal server  {address}  (data in {settings.home / 'temporal.db'})")
        tell(f"Web UI           {ui_url}/namespaces/{namespace}/workflows")
        yield address, ui_url
    finally:
        await _stop(process)


async def _ready(process: asyncio.subprocess.Process, settings: Settings, log: Path) -> None:
    """Wait until the server answers, then see to its namespace; tell the log's end if it died instead."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SERVER_READY):
            while process.returncode is None:
                with contextlib.suppress(Unreachable):
                    await prepare_namespace(await connect(settings))
                    return
                await asyncio.sleep(0.05)
    raise DevError(f"the Temporal server did not start. {_ending(log)}")


@asynccontextmanager
async def _worker(settings: Settings, tell: Callable[[str], None]) -> AsyncIterator[None]:
    """A worker process, started again whenever it ends by itself."""
    log = _log(settings.home, "worker.log")
    environment = os.environ | {
        "RESEARCH_HOME": str(settings.home),
        "TEMPORAL_ADDRESS": settings.temporal_address or "",
        "TEMPORAL_NAMESPACE": settings.temporal_namespace or DEFAULT_NAMESPACE,
    }
    broken = asyncio.Event()
    keeper = asyncio.create_task(_keep_worker(log, environment, tell, broken))
    try:
        await _working(settings, log, broken)
        yield
    finally:
        keeper.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeper


async def _working(settings: Settings, log: Path, broken: asyncio.Event) -> None:
    """Wait until the worker has loaded everything and polls."""
    client = await connect(settings)
    try:
        async with asyncio.timeout(WORKER_READY):
            while not broken.is_set():
                if await is_polled(client, settings.task_queue):
                    return
                await asyncio.sleep(0.1)
    except TimeoutError:
        pass
    raise DevError(f"the worker does not start working. {_ending(log)}")


async def _keep_worker(
    log: Path, environment: dict[str, str], tell: Callable[[str], None], broken: asyncio.Event
) -> None:
    """Keep a worker process alive. `broken` is set when one has ended with an error of its own."""
    while True:
        process = await _spawn(sys.executable, str(PROJECT / "worker.py"), log=log, environment=environment)
        tell(f"Worker           process {process.pid}  (log in {log})")
        try:
            code = await process.wait()
        finally:
            await _stop(process)
        if code >= 0:
            broken.set()
            tell(f"The worker ended with code {code}: see {log}. It is started again every {RESTART_AFTER:.0f} s.")
            await asyncio.sleep(RESTART_AFTER)
        else:
            tell(
                f"The worker was killed by {signal.Signals(-code).name}; starting it again. Cycles go on as they were."
            )


def _ending(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-5:]
    return "\n".join([f"The end of {log}:", *lines])


def _log(home: Path, name: str) -> Path:
    (home / "logs").mkdir(parents=True, exist_ok=True)
    return home / "logs" / name


async def _spawn(*command: str, log: Path, environment: dict[str, str]) -> asyncio.subprocess.Process:
    """A child in a session of its own, so that a Ctrl-C reaches this process alone, which stops things in order."""
    with log.open("ab") as out:
        return await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env=environment,
            start_new_session=True,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )


def _die_with_parent() -> None:
    """Linux: the kernel ends the child when its parent dies, by kill -9 too."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


async def _stop(process: asyncio.subprocess.Process) -> None:
    """SIGTERM, patience, then SIGKILL. Goes through to the end also while this task is being cancelled."""
    if process.returncode is not None:
        return
    await asyncio.shield(asyncio.ensure_future(_terminate(process)))


async def _terminate(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(STOP_PATIENCE):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _free_port(wanted: int) -> int:
    """The wanted port if nobody listens there, else one that the system gives."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return int(probe.getsockname()[1])
    raise DevError("no free port on 127.0.0.1")
