"""The worker of `research worker`, in a process of its own: `ADDRESS HOME [API]`.

All is real but the engine, which has its results at once. Cycles by Claude speak to the API at that address. Says
"ready" once it works, and ends with its standard input.
"""

import asyncio
import logging
import sys
from pathlib import Path

from pydantic import SecretStr
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from benchmarks.processes import ending_with_standard_input
from observability import exposition
from observability import logging as logs
from observability.metrics import Metrics
from observability.propagation import Propagation
from observability.readings import Readings
from observability.watching import Observer
from settings import ANTHROPIC, Settings
from tests.claude.fake_api import KEY
from tests.metered.engine import InstantEngine
from worker import Role, engine_worker, working

JOBS = 8


async def _work(address: str, home: str, api: str = "") -> None:
    key, url = (SecretStr(KEY), api) if api else (None, ANTHROPIC)
    settings = Settings(home=Path(home), temporal_address=address, anthropic_api_key=key, anthropic_base_url=url)
    observer = Observer(Metrics(settings.prices))
    runtime, at = exposition.runtime_with_metrics()
    client = await Client.connect(
        address, data_converter=pydantic_data_converter, runtime=runtime, interceptors=[Propagation()]
    )
    registry = observer.metrics.registry
    registry.register(exposition.SdkMetrics(at))
    registry.register(Readings(client, asyncio.get_running_loop()))
    engine = engine_worker(
        client, settings.engine_queue, InstantEngine(), processes=JOBS, interceptors=observer.interceptors
    )
    with exposition.served(registry, "127.0.0.1:0") as page:
        async with working(client, settings, Role.ORCHESTRATOR, observer), engine:
            sys.stdout.write(f"ready {page}\n")
            sys.stdout.flush()
            await asyncio.Event().wait()


if __name__ == "__main__":
    logs.configure()
    logging.getLogger().setLevel(logging.WARNING)  # else a line for every request
    with ending_with_standard_input():
        asyncio.run(_work(*sys.argv[1:]))
