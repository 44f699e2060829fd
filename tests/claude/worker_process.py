"""What a house of Claude's offers for work, in the test's process or in one of its own that a test can kill.

Run as `python -m tests.claude.worker_process ADDRESS QUEUE API ROOT`; says "ready" once it works, and ends with its
standard input, and so with its parent. Where ROOT has a file `hold`, trainings wait until there is one `go`. It writes
traces where OTEL_* variables say so.
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
from observability.metrics import Metrics
from observability.propagation import Propagation
from observability.tracing import tracing
from observability.watching import Observer
from settings import Settings
from store.cycles import Store
from tests.metered.engine import HeldEngine, InstantEngine
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
    observer: Observer | None = None,
) -> AsyncIterator[None]:
    """Both workers, all as it is; without an engine the instant one. patience: seconds for a call."""
    settings = Settings(home=root, task_queue=queue, anthropic_api_key=SecretStr(KEY), anthropic_base_url=url)
    claude = claude_at(settings, patience, observer.tracing.provider if observer and observer.tracing else None)
    assert claude
    interceptors = observer.interceptors if observer else []
    activities = orchestrator_activities(client, settings, store, claude, observer)
    try:
        async with (
            orchestrator(client, queue, activities, interceptors),
            engine_worker(
                client, settings.engine_queue, engine or InstantEngine(), processes=8, interceptors=interceptors
            ),
        ):
            yield
    finally:
        await claude.aclose()


async def _work(address: str, queue: str, url: str, folder: str) -> None:
    root = Path(folder)
    traces = tracing()
    propagation = Propagation(traces.keeps if traces else None)
    client = await Client.connect(address, data_converter=pydantic_data_converter, interceptors=[propagation])
    engine = HeldEngine(root / "go") if (root / "hold").exists() else None
    async with working(client, queue, url, root, store_in(root), engine, observer=Observer(Metrics(), traces)):
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


def _end_with_standard_input() -> None:
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_standard_input, daemon=True).start()
    asyncio.run(_work(*sys.argv[1:]))
