"""What a metered house's worker offers, in the test's process or in one of its own that a test can kill.

Run as `python -m tests.metered.worker_process ADDRESS QUEUE PROVIDER ROOT`; says "ready" once it works. It stops in
order at SIGTERM, as a real one does, and ends at once with its standard input, and so with its parent, however that
ended.
"""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from activities.budget import BudgetActivities
from activities.control import ControlActivities
from activities.messages import MessageActivities
from activities.record import RecordActivities
from client.exits import leave
from observability import logging as logs
from store.cycles import Store
from store.strategies import StrategyFiles
from worker import Activity, engine_worker, orchestrator

from .engine import InstantEngine
from .turns import MeteredTurns


def store_in(root: Path) -> Store:
    """The house's store, made where there is none."""
    return Store.open(f"sqlite:///{root / 'research.db'}", migrate=True)


def files_in(root: Path) -> StrategyFiles:
    """The house's strategies."""
    return StrategyFiles(root / "strategies")


@asynccontextmanager
async def working(
    client: Client, queue: str, url: str, root: Path, store: Store, turns: MeteredTurns | None = None
) -> AsyncIterator[None]:
    """Both workers, with metered turns, an instant engine, and all else as it is."""
    turns, records = turns or MeteredTurns(url, files_in(root)), RecordActivities(store, files_in(root))
    budget = BudgetActivities(client, records)
    activities: list[Activity] = [
        turns.design,
        turns.assess,
        records.count_trials,
        records.inherit,
        records.record,
        ControlActivities(client).request_cancel,
        budget.ensure_budget,
        budget.describe_holders,
        MessageActivities(client).deliver_close,
    ]
    async with (
        orchestrator(client, queue, activities),
        engine_worker(client, f"{queue}-engine", InstantEngine(), processes=8),
    ):
        yield


async def _work(address: str, queue: str, url: str, folder: str) -> None:
    root, stop = Path(folder), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    client = await Client.connect(address, data_converter=pydantic_data_converter)
    async with working(client, queue, url, root, store_in(root)):
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await stop.wait()


def _end_with_standard_input() -> None:
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_standard_input, daemon=True).start()
    logs.configure()
    asyncio.run(_work(*sys.argv[1:]))
    leave(0)
