"""What a metered house's worker offers, in the test's process or in one of its own that a test can kill.

Run as `python -m tests.metered.worker_process ADDRESS QUEUE PROVIDER ROOT`; says "ready" once it works. It ends
with its standard input, and so with its parent, however that ended.
"""

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from activities.budget import BudgetActivities
from activities.control import ControlActivities
from activities.record import RecordActivities
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
        records.record,
        ControlActivities(client).request_cancel,
        budget.ensure_budget,
        budget.describe_holders,
    ]
    async with (
        orchestrator(client, queue, activities),
        engine_worker(client, f"{queue}-engine", InstantEngine(), processes=8),
    ):
        yield


async def _work(address: str, queue: str, url: str, folder: str) -> None:
    root = Path(folder)
    client = await Client.connect(address, data_converter=pydantic_data_converter)
    async with working(client, queue, url, root, store_in(root)):
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


def _end_with_standard_input() -> None:
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_standard_input, daemon=True).start()
    asyncio.run(_work(*sys.argv[1:]))
