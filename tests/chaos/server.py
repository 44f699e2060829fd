"""A Temporal server of a test's own, on a file, that can be killed and started again on its port."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError

from client.dev import server_options, temporal_command
from client.namespace import add_search_attributes
from client.processes import free_port

BELOW_THE_SYSTEMS = range(20_000, 32_000)
"""Ports that the system gives to nobody by itself, also while the server is down."""

READY = 120.0
"""Seconds after which it is taken for one that doesn't start."""


@dataclass
class Server:
    """The server as `research dev` runs it, its data in `root`."""

    root: Path
    port: int = field(default_factory=lambda: free_port(random.choice(BELOW_THE_SYSTEMS)))
    process: asyncio.subprocess.Process | None = None

    @property
    def address(self) -> str:
        """Where it listens, each time."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self.process
        return self.process.pid

    async def start(self) -> None:
        """Start it; over when it serves."""
        words = ["server", "start-dev", "--ip", "127.0.0.1", "--port", str(self.port), "--headless", "--log-level"]
        words += ["error", "--db-filename", str(self.root / "temporal.db"), "--sqlite-pragma", "synchronous=normal"]
        with (self.root / "server.log").open("a") as log:
            self.process = await asyncio.create_subprocess_exec(
                temporal_command(), *words, *server_options(), stdout=log, stderr=log
            )
        async with asyncio.timeout(READY):
            while not await self._serves():
                assert self.process.returncode is None, (self.root / "server.log").read_text()
                await asyncio.sleep(0.02)

    async def kill(self) -> None:
        """By SIGKILL; over when it is gone."""
        if self.process and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    async def client(self) -> Client:
        """A client that speaks as ours do."""
        return await Client.connect(self.address, data_converter=pydantic_data_converter)

    async def _serves(self) -> bool:
        with contextlib.suppress(RPCError, RuntimeError):
            await add_search_attributes(await self.client())
            return True
        return False


@asynccontextmanager
async def file_server(root: Path) -> AsyncIterator[Server]:
    """A server at work, with its data in `root`."""
    server = Server(root)
    try:
        await server.start()
        yield server
    finally:
        await server.kill()
