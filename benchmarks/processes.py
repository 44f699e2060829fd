"""Processes that benchmarks start, what they cost, and the server that all of them share."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from client.dev import server_options, temporal_command
from settings import PROJECT
from workflows import search_attributes


@dataclass(frozen=True)
class Server:
    """A development server as `research dev` starts it, data in a file. pid: of its process."""

    client: Client
    address: str
    pid: int
    database: Path


@asynccontextmanager
async def server(scratch: Path) -> AsyncIterator[Server]:
    """One for as long as the block runs."""
    before = {child.pid for child in psutil.Process().children()}
    database = scratch / "temporal.db"
    async with await WorkflowEnvironment.start_local(
        data_converter=pydantic_data_converter,
        dev_server_existing_path=str(temporal_command()),
        dev_server_database_filename=str(database),
        dev_server_extra_args=["--sqlite-pragma", "synchronous=normal", *server_options()],
        search_attributes=search_attributes.ALL,
        dev_server_log_level="error",
    ) as env:
        (pid,) = {child.pid for child in psutil.Process().children()} - before
        yield Server(env.client, env.client.service_client.config.target_host, pid, database)


@dataclass(frozen=True)
class Child:
    """A process that said `ready`, and what else it said on that line."""

    process: asyncio.subprocess.Process
    said: str

    @property
    def pid(self) -> int:
        return self.process.pid

    async def kill(self) -> None:
        """With -9; once it is gone."""
        self.process.kill()
        await self.process.wait()


@asynccontextmanager
async def child(module: str, *words: str, environment: Mapping[str, str] | None = None) -> AsyncIterator[Child]:
    """`python -m MODULE WORDS`, ready, and killed at the end. Traces go where `environment` says, or nowhere."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *words),
        cwd=PROJECT,
        env={key: value for key, value in os.environ.items() if not key.startswith("OTEL_")} | dict(environment or {}),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout
    ready, _, said = (await process.stdout.readline()).decode().rstrip("\n").partition(" ")
    if ready != "ready":
        raise RuntimeError(f"{module} did not start")
    started = Child(process, said)
    try:
        yield started
    finally:
        if process.returncode is None:
            await started.kill()


class Cpu:
    """Seconds of processor time of some processes, all their threads, in user and system."""

    def __init__(self, *pids: int) -> None:
        self._processes = [psutil.Process(pid) for pid in pids]

    def seconds(self) -> float:
        """Since they were started."""
        return sum(times.user + times.system for times in (process.cpu_times() for process in self._processes))


@contextmanager
def ending_with_standard_input() -> Iterator[None]:
    """For a child: it ends as soon as its parent does, however that ends."""
    import threading

    def wait() -> None:
        os.read(0, 1)
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()
    yield
