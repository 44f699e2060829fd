"""Everything on this machine: a Temporal server with its Web UI, a worker, and what keeps both alive and ends both.

The server's data, the logs and all results lie in the home. One stack at a time uses a home: the operating system's
lock on `dev.lock` says so, and whoever finds it held uses the stack that runs.
"""

import asyncio
import contextlib
import fcntl
import json
import os
import shutil
import sys
import sysconfig
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from client.connection import (
    DEFAULT_NAMESPACE,
    RunningNote,
    Unreachable,
    configured_address,
    connect,
    read_running_note,
    running_note,
    target,
)
from client.cycles import reach
from client.exits import CommandError, ExitCode
from client.namespace import add_search_attributes, is_polled, keep_ended_cycles
from client.processes import Program, free_port, kept
from settings import PROJECT, Settings

SERVER_READY = 30.0
WORKER_READY = 90.0
SERVER_CONFIG = PROJECT / "temporal-dev" / "dynamic-config.json"


class DevError(CommandError):
    """The stack could not be started. The message says what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(ExitCode.NO_TEMPORAL_OR_WORKER, "dev_failed", message)


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

    With an address in the settings or in Temporal's profile the server is the user's own and only a worker is started.
    With a stack already running on this home nothing is started. Raises CommandError.
    """
    if address := configured_address(settings):
        client = await reach(settings)
        await add_search_attributes(client)
        async with _worker(client, settings, _environment(settings), tell):
            yield Stack(settings, address, settings.ui_url, started_here=True)
        return
    settings.home.mkdir(parents=True, exist_ok=True)
    with (settings.home / "dev.lock").open("a+") as lock:
        if note := await _lock_or_note(settings, lock):
            yield Stack(_reaching(settings, note.address, note.ui_url), note.address, note.ui_url, started_here=False)
            return
        async with _server(settings, tell, port) as (address, ui_url), contextlib.AsyncExitStack() as worker:
            reaching = _reaching(settings, address, ui_url)
            with _noted(settings, address, ui_url):
                client = await reach(reaching)
                await worker.enter_async_context(_worker(client, reaching, _environment(reaching, ours=True), tell))
                yield Stack(reaching, address, ui_url, started_here=True)


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


def server_options() -> list[str]:
    """The dynamic configuration of a server for one machine, as options of `temporal server start-dev`."""
    values = json.loads(SERVER_CONFIG.read_text())
    return [word for key, value in values.items() for word in ("--dynamic-config-value", f"{key}={json.dumps(value)}")]


async def _lock_or_note(settings: Settings, lock: IO[str]) -> RunningNote | None:
    """The note of the stack that runs on this home, or None once the home's lock is ours.

    Who holds the lock may be just starting or just ending, so both are tried for a while. Raises DevError.
    """
    deadline = asyncio.get_running_loop().time() + SERVER_READY
    while not _locked(lock):
        if note := read_running_note(settings):
            return note
        if asyncio.get_running_loop().time() > deadline:
            lock.seek(0)
            raise DevError(
                f"process {lock.read().strip() or '(unknown)'} holds {lock.name} and has not said for "
                f"{SERVER_READY:.0f} s where its server is. If it is a `research dev` or a demo that is stuck, end it; "
                "else wait for it, or use another home with --home."
            )
        await asyncio.sleep(0.1)
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return None


def _locked(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _noted(settings: Settings, address: str, ui_url: str) -> Iterator[None]:
    """The stack's note, there for as long as others may use the stack: gone before anything of it is stopped."""
    note = running_note(settings)
    note.write_text(json.dumps({"address": address, "ui_url": ui_url}))
    try:
        yield
    finally:
        note.unlink(missing_ok=True)


def _reaching(settings: Settings, address: str, ui_url: str | None) -> Settings:
    return settings.model_copy(
        update={
            "temporal_address": address,
            "temporal_namespace": settings.temporal_namespace or DEFAULT_NAMESPACE,
            "temporal_profile": None,
            "ui_url": settings.ui_url or ui_url,
        }
    )


@asynccontextmanager
async def _server(settings: Settings, tell: Callable[[str], None], port: int) -> AsyncIterator[tuple[str, str]]:
    running_note(settings).unlink(missing_ok=True)  # Of a stack that was killed.
    program = temporal_command()
    try:
        frontend, ui = free_port(port), free_port(port + 1000)
    except OSError as error:
        raise DevError(f"there is no free port on 127.0.0.1 for Temporal: {error}") from error
    address, ui_url = f"127.0.0.1:{frontend}", f"http://127.0.0.1:{ui}"
    namespace = settings.temporal_namespace or DEFAULT_NAMESPACE
    data = settings.home / "temporal.db"
    arguments = ["server", "start-dev", "--ip", "127.0.0.1", "--port", str(frontend), "--ui-port", str(ui)]
    arguments += ["--db-filename", str(data), "--namespace", namespace, "--log-level", "warn"]
    arguments += ["--sqlite-pragma", "synchronous=normal", *server_options()]
    server = Program(
        name="Temporal server",
        command=(str(program), *arguments),
        environment=_without_temporal(),
        log=settings.home / "logs" / "server.log",
        headline=f"Temporal server  {address}, ",
        remark=f"data in {data}",
        meanwhile="Its data are in the file: cycles go on as they were.",
    )
    async with kept(server, tell) as broken:
        await _ready(server, broken, _reaching(settings, address, ui_url))
        tell(f"Web UI           {ui_url}/namespaces/{namespace}/workflows")
        yield address, ui_url


async def _ready(server: Program, broken: asyncio.Event, settings: Settings) -> None:
    """Wait until the server answers, then see to its namespace; tell the log's end if it died instead."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SERVER_READY):
            while not broken.is_set():
                with contextlib.suppress(Unreachable):
                    client = await connect(settings, local=True)
                    await keep_ended_cycles(client)
                    await add_search_attributes(client)
                    return
                await asyncio.sleep(0.05)
    raise DevError(f"the Temporal server did not start. {server.ending()}")


@asynccontextmanager
async def _worker(
    client: Client, settings: Settings, environment: dict[str, str], tell: Callable[[str], None]
) -> AsyncIterator[None]:
    """A worker process, ready to work when handed out."""
    log = settings.home / "logs" / "worker.log"
    worker = Program(
        name="worker",
        command=(sys.executable, str(PROJECT / "worker.py")),
        environment=environment,
        log=log,
        headline="Worker           ",
        remark=f"trainings and backtests {settings.backend}; log in {log}",
        meanwhile="Cycles go on as they were.",
    )
    begun = datetime.now(UTC)
    if (metrics := environment["RESEARCH_METRICS_ADDRESS"]) != "off":
        tell(f"Metrics          http://{metrics}/metrics")
    async with kept(worker, tell) as broken:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WORKER_READY):
                while not broken.is_set() and not await _works(client, settings, begun):
                    await asyncio.sleep(0.1)
        if broken.is_set() or not await _works(client, settings, begun):
            raise DevError(f"the worker does not start working. {worker.ending()}")
        yield


async def _works(client: Client, settings: Settings, since: datetime) -> bool:
    """Whether a worker has loaded everything and polls both queues."""
    try:
        return await is_polled(client, settings.task_queue, since=since) and await is_polled(
            client, settings.engine_queue, TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY, since
        )
    except RPCError as error:
        if error.status in (RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED):
            return False  # The server is being started again.
        raise


def _environment(settings: Settings, *, ours: bool = False) -> dict[str, str]:
    """The worker's variables. For our own server nothing of Temporal's configuration, which is another server's."""
    address, namespace = target(settings)
    given = {
        "RESEARCH_HOME": str(settings.home),
        "TEMPORAL_ADDRESS": address,
        "TEMPORAL_NAMESPACE": namespace,
        "RESEARCH_METRICS_ADDRESS": _metrics_address(settings),
    }
    if ours:
        return _without_temporal() | given
    profile = {"TEMPORAL_PROFILE": settings.temporal_profile} if settings.temporal_profile else {}
    return dict(os.environ) | given | profile


def _metrics_address(settings: Settings) -> str:
    """Where the worker serves its metrics: the port of the settings if nobody listens there. The worker, which is
    started again whenever it ends, keeps to it.
    """
    if settings.metrics_address is None:
        return "off"
    host, _, port = settings.metrics_address.rpartition(":")
    try:
        return f"{host}:{free_port(int(port), host)}"
    except OSError:  # An address of IPv6, or of another machine, which the worker refuses in words.
        return settings.metrics_address


def _without_temporal() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("TEMPORAL_")}
