"""A worker process for the benchmark of the ledger: run as `python -m benchmarks.budget_worker ADDRESS TASK_QUEUE`.

It runs workflows as production does (worker.py: the same sticky queue), says READY on its standard
output when it polls, and works until it is ended.
"""

import asyncio
import sys

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Worker

from activities.budget import BudgetActivities
from benchmarks.budget_talkers import BareAnswerer, BareTalker, LedgerTalker
from worker import STICKY_TIMEOUT
from workflows.budget import BudgetWorkflow

READY = b"ready\n"


async def work(address: str, task_queue: str) -> None:
    """Serve the task queue for ever."""
    client = await Client.connect(address, data_converter=pydantic_data_converter)
    activities = BudgetActivities(client)
    worker = Worker(
        client,
        task_queue=task_queue,
        workflows=[BudgetWorkflow, LedgerTalker, BareTalker, BareAnswerer],
        activities=[activities.ensure_budget, activities.describe_holders],
        sticky_queue_schedule_to_start_timeout=STICKY_TIMEOUT,
    )
    async with worker:
        sys.stdout.buffer.write(READY)
        sys.stdout.buffer.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(work(*sys.argv[1:]))
