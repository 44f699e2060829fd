"""Prefect: flows in the caller's process, which tell a server of their states; results lie in files.

The server is Prefect's own, a process beside, on SQLite, with its settings as they come, its telemetry off.
"""

import asyncio
import logging
import os
import socket
import sqlite3
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from importlib.metadata import version
from pathlib import Path

import httpx
import psutil

from benchmarks.database_size import sqlite_bytes
from benchmarks.peers.peer import Peer, Served
from benchmarks.peers.protocol import command
from benchmarks.peers.steps import STEPS, Answer

STARTING = 180.0
"""Seconds that a server may take to make its database."""

WRITING = 20.0
"""Seconds after which what is not yet written of runs that have ended is no longer waited for."""


class Flows:
    """Runs of the flow."""

    async def run(self, run: str, held: str) -> Answer:
        """The last step's answer."""
        from benchmarks.peers.prefect_flow import cycle

        answer: Answer = await cycle(run, held)
        return answer

    async def resumed(self) -> list[str]:
        """None: a flow that ran in a process of its caller's is taken up by nobody."""
        return []


@asynccontextmanager
async def opened(home: Path) -> AsyncIterator[Flows]:
    """There is nothing to open: the environment names the server. What it refuses is noted."""

    requests = logging.getLogger("httpx")
    requests.setLevel(logging.INFO)
    requests.propagate = False
    requests.addHandler(Refusals(home / "refusals"))
    yield Flows()


class Refusals(logging.Handler):
    """Keeps a line of each request that the server answered with 503."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it, if it is one."""
        if " 503 " in (line := record.getMessage()):
            with self._file.open("a") as file:
                file.write(f"{line}\n")


@asynccontextmanager
async def served(home: Path) -> AsyncIterator[Served]:
    """A server of its own, once it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "NO_PROXY": "127.0.0.1",
    }
    log = home / "server.log"
    with log.open("w") as words:
        server = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)),
            env={**os.environ, **environment},
            stdout=words,
            stderr=words,
        )
    try:
        async with asyncio.timeout(STARTING), httpx.AsyncClient(trust_env=False) as client:
            while not await _answers(client, f"{environment['PREFECT_API_URL']}/health"):
                if server.returncode is not None:
                    raise RuntimeError(f"Prefect's server did not start:\n{log.read_text()[-2000:]}")
                await asyncio.sleep(0.1)
        processes = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
        yield Served(tuple(process.pid for process in processes), environment)
    finally:
        if server.returncode is None:
            server.terminate()
            await server.wait()


async def _answers(client: httpx.AsyncClient, address: str) -> bool:
    try:
        return (await client.get(address, timeout=5)).is_success
    except httpx.TransportError:
        return False


def _counted(home: Path, query: str, *values: str) -> int:
    with closing(sqlite3.connect(f"file:{home / 'prefect.db'}?mode=ro", uri=True)) as connection:
        return int(connection.execute(query, values).fetchone()[0])


async def written(home: Path, runs: int) -> None:
    """Once the server has written the tasks of so many runs, which it hears of as events, some time after."""
    query, until = "SELECT count(*) FROM task_run WHERE state_type = 'COMPLETED'", time.monotonic() + WRITING
    while _counted(home, query) < len(STEPS) * runs and time.monotonic() < until:
        await asyncio.sleep(0.2)


def bytes_used(home: Path) -> int:
    """Of its database, and of the results' files."""
    return sqlite_bytes(home / "prefect.db") + sum(file.stat().st_size for file in (home / "storage").iterdir())


def notes(home: Path) -> tuple[str, ...]:
    """How durable it is."""
    kept = sum(1 for _ in (home / "storage").iterdir())
    flows = _counted(home, "SELECT count(*) FROM flow_run WHERE state_type = 'COMPLETED'")
    with closing(sqlite3.connect(f"file:{home / 'prefect.db'}?mode=ro", uri=True)) as connection:
        journal = connection.execute("PRAGMA journal_mode").fetchone()[0]
    refusals = home / "refusals"
    refused = len(refusals.read_text().splitlines()) if refusals.exists() else 0
    return (
        f"Its server's SQLite has journal_mode {journal}, and synchronous normal by Prefect's code.",
        f"Results are persisted: {kept} files of results and of tasks' keys lie there for {flows} runs completed.",
        f"Its server answered {refused} requests with 503, as it does where its SQLite is locked; the client then "
        "waits about 2 s, 4 s, 8 s and so on before it asks again.",
    )


def after_kill(home: Path) -> str:
    """What became of the flow runs whose process was killed."""
    running = _counted(home, "SELECT count(*) FROM flow_run WHERE name LIKE 'held-%' AND state_type = 'RUNNING'")
    return (
        f"A flow run whose process died is not resumed by itself; the server still shows {running} of them as running "
        "after all. Flows that are called again by hand with the same parameters find the results of their finished "
        "tasks, which takes a cache policy without the run's id in the key."
    )


PEER = Peer(
    name="prefect",
    version=version("prefect"),
    opened=opened,
    bytes_used=bytes_used,
    notes=notes,
    after_kill=after_kill,
    served=served,
    written=written,
)

if __name__ == "__main__":
    raise SystemExit(command(PEER))
