"""What it costs to be seen: the latency of a cycle with metrics, a scrape a second, and traces, against one without.

Run from the project's root: `python -m benchmarks.observability [--quick] [--json FILE]`. It starts a development
server in memory and two workers, one watched and one not, and gives them cycles in turn, so that whatever else the
machine does hits both. An empty cycle has an engine that has its results at once; a real one trains and backtests on
real bars.
"""

import asyncio
import statistics
import tempfile
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Literal

import httpx
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from benchmarks.figures import Group, Row, command
from benchmarks.orchestration_house import STRATEGY
from benchmarks.processes import child
from client.dev import server_options, temporal_command
from domain.cycle import CycleRequest, DesignerKind, StrategyRef
from domain.results import Frozen
from store.strategies import StrategyFiles
from tests.domain.usual_results import OPEN_GATES
from tests.observability.otlp_receiver import receiving
from workflows import search_attributes
from workflows.cycle_input import CycleInput
from workflows.research_cycle import ResearchCycleWorkflow

Kind = Literal["empty", "real"]
Watched = Literal["on", "off"]

GOALS: dict[Kind, float] = {"empty": 1.15, "real": 1.01}
"""The median latency with all of it, against the one without."""

NOTE = "Each has its page of metrics read once a second, and its spans received by a real receiver of OTLP."


class Result(Frozen):
    """Median latencies in seconds of so many cycles each, and the median of the pairs' ratios on / off."""

    kind: Kind
    cycles: int
    on: float
    off: float
    ratio: float
    goal: float


async def measure(kind: Kind, cycles: int, scratch: Path) -> Result:
    """So many cycles on each of the two workers, in turn, after two that don't count."""
    async with (
        await WorkflowEnvironment.start_local(
            data_converter=pydantic_data_converter,
            dev_server_existing_path=str(temporal_command()),
            dev_server_extra_args=server_options(),
            search_attributes=search_attributes.ALL,
            dev_server_log_level="error",
        ) as env,
        AsyncExitStack() as stack,
    ):
        receiver = stack.enter_context(receiving())
        address = env.client.service_client.config.target_host
        queues: dict[Watched, str] = {}
        for watched in ("on", "off"):
            queues[watched] = f"{kind}-{watched}-{uuid.uuid4().hex[:6]}"
            exported = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint} if watched == "on" else {}
            root = scratch / queues[watched]
            await stack.enter_async_context(_worker(address, queues[watched], root, watched, kind, exported))
        taken: dict[Watched, list[float]] = {"on": [], "off": []}
        sides: tuple[Watched, Watched] = ("on", "off")
        for number in range(cycles + 2):
            for watched in sides if number % 2 else reversed(sides):
                seconds = await _cycle(env.client, queues[watched], scratch / queues[watched], number)
                if number >= 2:
                    taken[watched].append(seconds)
        assert receiver.spans, "nothing was traced"
    return Result(
        kind=kind,
        cycles=cycles,
        on=statistics.median(taken["on"]),
        off=statistics.median(taken["off"]),
        ratio=statistics.median(on / off for on, off in zip(taken["on"], taken["off"], strict=True)),
        goal=GOALS[kind],
    )


@asynccontextmanager
async def _worker(
    address: str, queue: str, root: Path, watched: Watched, kind: Kind, exported: dict[str, str]
) -> AsyncIterator[None]:
    words = (address, queue, str(root), watched, kind)
    async with child("benchmarks.observability_worker", *words, environment=exported) as process:
        scraping = asyncio.create_task(_scrape(process.said))
        try:
            yield
        finally:
            scraping.cancel()


async def _scrape(page: str) -> None:
    """Read the page every second, if there is one."""
    while page:
        async with httpx.AsyncClient(trust_env=False) as http:
            (await http.get(f"http://{page}/metrics")).raise_for_status()
        await asyncio.sleep(1)


async def _cycle(client: Client, queue: str, root: Path, seed: int) -> float:
    """Seconds from the start of a cycle to its result."""
    strategy: StrategyRef = StrategyFiles(root / "strategies").save("planted", STRATEGY.read_text())
    request = CycleRequest(
        symbol="PLANTED",
        timeframe="1h",
        designer=DesignerKind.OFFLINE,
        strategy=strategy,
        thresholds=OPEN_GATES,
        seed=seed,
        queue=True,
        budget_scope=queue,
    )
    begun = time.perf_counter()
    await client.execute_workflow(
        ResearchCycleWorkflow.run,
        CycleInput(request=request, engine_queue=f"{queue}-engine"),
        id=f"cycle-{uuid.uuid4().hex[:12]}",
        task_queue=queue,
    )
    return time.perf_counter() - begun


def groups(quick: bool) -> list[Group]:
    """The figures, a row a kind of cycle."""
    return [Group(title="A cycle that is watched", rows=tuple(map(_row, asyncio.run(_measured(quick)))), notes=(NOTE,))]


def _row(result: Result) -> Row:
    return Row(
        what=f"{result.kind} cycle, median of {result.cycles}",
        ours=f"{result.on:.3f} s",
        beside="without metrics, scrapes and traces",
        theirs=f"{result.off:.3f} s",
        ratio=result.ratio,
        goal=result.goal,
    )


async def _measured(quick: bool) -> list[Result]:
    plan: dict[Kind, int] = {"empty": 5} if quick else {"empty": 60, "real": 8}
    with tempfile.TemporaryDirectory() as scratch:
        return [await measure(kind, cycles, Path(scratch)) for kind, cycles in plan.items()]


main = command("observability", __doc__ or "", ("temporalio", "opentelemetry-sdk", "prometheus-client"), groups)

if __name__ == "__main__":
    raise SystemExit(main(None))
