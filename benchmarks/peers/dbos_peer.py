"""DBOS: a library in the caller's process, which keeps each step's result in a database; here a file of SQLite."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from importlib.metadata import version
from pathlib import Path

from dbos import DBOS, SetWorkflowID

from benchmarks.database_size import sqlite_bytes
from benchmarks.peers.peer import Peer
from benchmarks.peers.protocol import command
from benchmarks.peers.steps import Answer, work


@DBOS.step()
async def design(run: str, held: str) -> Answer:
    """The first."""
    return await work("design", run, held)


@DBOS.step()
async def train(run: str, held: str) -> Answer:
    """The second."""
    return await work("train", run, held)


@DBOS.step()
async def backtest(run: str, held: str) -> Answer:
    """The third."""
    return await work("backtest", run, held)


@DBOS.step()
async def assess(run: str, held: str) -> Answer:
    """The last."""
    return await work("assess", run, held)


@DBOS.workflow()
async def cycle(run: str, held: str) -> Answer:
    """One after the other."""
    await design(run, held)
    await train(run, held)
    await backtest(run, held)
    answer: Answer = await assess(run, held)
    return answer


class Durable:
    """Workflows of DBOS, by the names of their runs."""

    async def run(self, run: str, held: str) -> Answer:
        """The last step's answer."""
        with SetWorkflowID(run):
            answer: Answer = await cycle(run, held)
        return answer

    async def resumed(self) -> list[str]:
        """All that there are: the launch has taken up those that were not finished."""
        runs = [status.workflow_id for status in await DBOS.list_workflows_async()]
        for run in runs:
            await (await DBOS.retrieve_workflow_async(run)).get_result()
        return runs


def database(home: Path) -> Path:
    """Where DBOS keeps its runs."""
    return home / "dbos.sqlite"


@asynccontextmanager
async def opened(home: Path) -> AsyncIterator[Durable]:
    """As its documentation does it: configured, then launched, which recovers what an earlier process left."""
    DBOS(config={"name": "peer", "system_database_url": f"sqlite:///{database(home)}", "log_level": "ERROR"})
    DBOS.launch()
    try:
        yield Durable()
    finally:
        DBOS.destroy()


def notes(home: Path) -> tuple[str, ...]:
    """How durable SQLite makes it: DBOS sets neither of the two, so that the file and the library's default say it."""
    with closing(sqlite3.connect(database(home))) as connection:
        journal, synchronous = (
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")
        )
    level = ("off", "normal", "full", "extra")[synchronous]
    return (f"Its SQLite has journal_mode {journal} and synchronous {level}, as DBOS leaves them.",)


PEER = Peer(
    name="dbos",
    version=version("dbos"),
    opened=opened,
    bytes_used=lambda home: sqlite_bytes(database(home)),
    notes=notes,
    after_kill=lambda home: "The restarted process takes up every run by itself; the step that was cut off runs again.",
)

if __name__ == "__main__":
    raise SystemExit(command(PEER))
