"""A worker process, as a rule to die at one place. Run as a module with an Armed in JSON; says "ready" once it works.

It ends with its standard input, and so with its parent, however that ended.
"""

import asyncio
import os
import sys
import threading
from contextlib import AsyncExitStack
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Worker

import workflows.budget
from engine.pool import JobPool
from settings import Settings
from store.cycles import Store
from tests.claude import worker_process as claude
from tests.metered.house import SILENCE
from tests.metered.turns import MeteredTurns
from tests.metered.worker_process import files_in, store_in, working
from workflows.policies import SWEEP, ActivityPolicy

from .awaits import awaits
from .death import Moment, arm
from .house import House


class Kind(StrEnum):
    """What the process works on: all but engine jobs, engine jobs alone, those at a service, a metered house, or its
    designer's and assessor's turns alone, one at a time, or a house of Claude's.
    """

    ORCHESTRATOR = "orchestrator"
    ENGINE = "engine"
    SERVICE = "service"
    METERED = "metered"
    TURNS = "turns"
    CLAUDE = "claude"


class Armed(BaseModel):
    """Which house, and where to die, if at all. url: of a metered house's provider, of the service, or
    of the API."""

    kind: Kind
    place: str | None = None
    moment: Moment = Moment.WAITING
    address: str
    queue: str
    root: Path
    marker: Path = Path()
    cache: Path = Path()
    url: str = ""


def hasty_sweep() -> ActivityPolicy:
    """The ledger's sweep for people without patience."""
    return SWEEP.model_copy(update={"start_to_close": SILENCE})


async def _work(armed: Armed) -> None:
    client = await Client.connect(armed.address, data_converter=pydantic_data_converter)
    async with AsyncExitStack() as stack:
        if armed.kind is Kind.METERED:
            store = store_in(armed.root)
            worker = working(client, armed.queue, armed.url, armed.root, store)
            await stack.enter_async_context(worker)
        elif armed.kind is Kind.CLAUDE:
            store = store_in(armed.root)
            await stack.enter_async_context(claude.working(client, armed.queue, armed.url, armed.root, store))
        elif armed.kind is Kind.TURNS:
            turns = MeteredTurns(armed.url, files_in(armed.root))
            await stack.enter_async_context(
                Worker(
                    client,
                    task_queue=armed.queue,
                    activities=[turns.design, turns.assess],
                    # Busy with one turn it asks for no other, which would be lost with it while it is frozen.
                    max_concurrent_activities=1,
                )
            )
        else:
            settings = Settings(home=armed.root, task_queue=armed.queue)
            house = House(client, settings, Store.open(settings.store_url))
            if armed.kind is Kind.ENGINE:
                pool = stack.enter_context(JobPool(1, armed.cache))
                await stack.enter_async_context(house.engine(pool))
            elif armed.kind is Kind.SERVICE:
                await stack.enter_async_context(house.at_service(armed.url))
            else:
                await stack.enter_async_context(house.orchestrator())
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


def _end_with_standard_input() -> None:
    os.read(0, 1)
    os._exit(1)


def main(armed: Armed) -> None:
    """Work until the place is reached, or the parent ends."""
    threading.Thread(target=_end_with_standard_input, daemon=True).start()
    setattr(workflows.budget, "SWEEP", hasty_sweep())  # noqa: B010
    for place in awaits() if armed.place else ():
        if place.name == armed.place:
            arm(place, armed.moment, armed.marker)
    asyncio.run(_work(armed))


if __name__ == "__main__":
    main(Armed.model_validate_json(sys.argv[1]))
