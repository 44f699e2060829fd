"""A worker of the benchmark of observability, in a process of its own: `ADDRESS QUEUE ROOT on|off empty|real`.

Says "ready" and where its metrics are once it works, and ends with its standard input. `on`: it counts, serves its
page, and writes traces to where the OTEL_* variables say; `off`: none of it. `empty`: an engine that has its results at
once; `real`: the embedded one.
"""

import asyncio
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from benchmarks.processes import ending_with_standard_input
from engine.embedded import EmbeddedEngine
from engine.interface import Engine
from engine.pool import JobPool
from observability import exposition
from observability.logging import runtime
from observability.metrics import Metrics
from observability.propagation import Propagation
from observability.readings import Readings
from observability.tracing import tracing
from observability.watching import Observer
from settings import Settings
from store.cycles import Store
from tests.metered.engine import InstantEngine
from worker import engine_worker, orchestrator, orchestrator_activities, places


async def _work(address: str, queue: str, root: str, observed: str, kind: str) -> None:
    settings = Settings(home=Path(root), task_queue=queue)
    settings.home.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        observer, page = None, ""
        interceptors: list[Propagation] = []
        made, at = (runtime(), "") if observed == "off" else exposition.runtime_with_metrics()
        if observed == "on":
            traces = tracing()
            assert traces
            stack.callback(traces.close)
            observer, interceptors = Observer(Metrics(), traces), [Propagation(traces.keeps)]
        client = await Client.connect(
            address, data_converter=pydantic_data_converter, runtime=made, interceptors=interceptors
        )
        if observer:
            observer.metrics.registry.register(exposition.SdkMetrics(at))
            observer.metrics.registry.register(Readings(client, asyncio.get_running_loop(), queue))
            page = stack.enter_context(exposition.served(observer.metrics.registry, "127.0.0.1:0"))
        engine: Engine = InstantEngine()
        if kind == "real":
            pool = stack.enter_context(JobPool(1, settings.home / "cache"))
            engine = EmbeddedEngine(pool, places(settings))
        store = Store.open(settings.store_url, migrate=True)
        stack.callback(store.close)
        activities = orchestrator_activities(client, settings, store, None, observer)
        watching = observer.interceptors if observer else []
        await stack.enter_async_context(orchestrator(client, queue, activities, watching))
        await stack.enter_async_context(
            engine_worker(client, settings.engine_queue, engine, processes=1, interceptors=watching)
        )
        sys.stdout.write(f"ready {page}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    with ending_with_standard_input():
        asyncio.run(_work(*sys.argv[1:]))
