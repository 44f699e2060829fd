"""What a house of Claude's offers for work, in the test's process or in one of its own that a test can kill.

Run as `python -m tests.claude.worker_process ADDRESS QUEUE API ROOT`; says "ready" once it works, and ends with its
standard input, and so with its parent.
"""

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from pydantic import SecretStr
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from claude.call import PATIENCE
from engine.interface import Engine
from settings import Settings
from store.cycles import Store
from tests.metered.engine import InstantEngine
from tests.metered.worker_process import store_in
from worker import claude_at, engine_worker, orchestrator, orchestrator_activities

from .fake_api import KEY


@asynccontextmanager
async def working(
    client: Client,
    queue: str,
    url: str,
    root: Path,
    store: Store,
    engine: Engine | None = None,
    patience: float = PATIENCE,
) -> AsyncIterator[None]:
    """Both workers, all as it is; without an engine the instant one. patience: seconds for a call."""
    settings = Settings(home=root, task_queue=queue, anthropic_api_key=SecretStr(KEY), anthropic_base_url=url)
    claude = claude_at(settings, patience)
    assert claude
    try:
        async with (
            orchestrator(client, queue, orchestrator_activities(client, settings, store, claude)),
            engine_worker(client, settings.engine_queue, engine or InstantEngine(), processes=8),
        ):
            yield
    finally:
        await claude.aclose()


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
