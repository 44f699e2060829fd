"""What the budget ledger costs, against a bare workflow pair that only signals back and forth on the same server.

Run from the project's root: `python -m benchmarks.budget [--quick] [--json FILE]`. It starts a development server in
memory with the project's dynamic configuration, and a worker process. Beside nothing else that wants the processors.
"""

import argparse
import asyncio
import os
import platform
import statistics
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table
from temporalio.api.workflowservice.v1 import GetSystemInfoRequest
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from benchmarks.budget_measures import (
    FULL_RUN,
    KINDS,
    Bench,
    Kind,
    Load,
    Restart,
    Round,
    Size,
    restart,
    rounds,
    size,
)
from client.dev import server_options, temporal_command
from domain.results import Frozen

GOAL = 0.8
"""Of the bare pair's envelopes per second, and of its quickness in answering."""


class Plan(Frozen):
    """How much is measured. calls: those that states are fed with. events: of a full run of the ledger."""

    loads: tuple[Load, ...] = (
        Load(at_once=1, envelopes=12, bursts=8),
        Load(at_once=16, envelopes=4, bursts=1),
        Load(at_once=64, envelopes=2, bursts=1),
    )
    rounds: int = 3
    calls: tuple[int, ...] = (1_000, 10_000, 100_000)
    events: int = FULL_RUN


QUICK = Plan(
    loads=(Load(at_once=2, envelopes=1, bursts=1),),
    rounds=1,
    calls=(40,),
    events=100,
)


class Machine(Frozen):
    """Where and with what it was measured. load: the load average over one minute, before and after."""

    system: str
    processor: str
    cores: int
    python: str
    temporalio: str
    server: str
    load_before: float
    load_after: float
    at: datetime


class Rate(Frozen):
    """One kind at one number of cycles at once. per_second: the median of the rounds. Waits: of all, in ms."""

    kind: Kind
    at_once: int
    per_second: float
    wait_p50: float
    wait_p99: float
    waits: int


class Ratio(Frozen):
    """Ledger against one bare kind: the rounds' median of rate / bare rate; bare wait / wait."""

    at_once: int
    against: Kind
    per_second: float
    wait_p50: float
    wait_p99: float


class Figures(Frozen):
    """All that was measured."""

    machine: Machine
    plan: Plan
    rates: tuple[Rate, ...]
    ratios: tuple[Ratio, ...]
    sizes: tuple[Size, ...]
    restarts: tuple[Restart, ...]


async def measured(plan: Plan, tell: Callable[[str], None]) -> Figures:
    """Everything, on a server of its own."""
    load_before = os.getloadavg()[0]
    found: list[Round] = []
    async with await WorkflowEnvironment.start_local(
        data_converter=pydantic_data_converter,
        dev_server_existing_path=str(temporal_command()),
        dev_server_extra_args=server_options(),
        dev_server_log_level="error",
    ) as env:
        config = env.client.service_client.config
        bench = Bench(env.client, config.target_host, f"bench-{uuid.uuid4()}")
        async with bench.working():
            for load in plan.loads:
                tell(f"{load.at_once} cycles at once ...")
                found += await rounds(bench, load, plan.rounds)
            tell("sizes ...")
            sizes = [await size(bench, calls, plan.events) for calls in plan.calls]
            tell("restarts ...")
            restarts = await restart(bench, plan.calls[-1], plan.events)
        server = await env.client.workflow_service.get_system_info(GetSystemInfoRequest())
    return Figures(
        machine=Machine(
            system=f"{platform.system()} {platform.release()}",
            processor=_processor(),
            cores=os.cpu_count() or 1,
            python=platform.python_version(),
            temporalio=version("temporalio"),
            server=f"{server.server_version}, development server in memory",
            load_before=load_before,
            load_after=os.getloadavg()[0],
            at=datetime.now(UTC),
        ),
        plan=plan,
        rates=tuple(_rate(found, load, kind) for load in plan.loads for kind in KINDS),
        ratios=tuple(_ratio(found, load, kind) for load in plan.loads for kind in KINDS[1:]),
        sizes=tuple(sizes),
        restarts=tuple(restarts),
    )


def _of(found: Sequence[Round], load: Load, kind: Kind) -> list[Round]:
    return [one for one in found if (one.at_once, one.kind) == (load.at_once, kind)]


def _rate(found: Sequence[Round], load: Load, kind: Kind) -> Rate:
    rounds_of_kind = _of(found, load, kind)
    waits = sorted(wait for one in rounds_of_kind for wait in one.waits)
    return Rate(
        kind=kind,
        at_once=load.at_once,
        per_second=statistics.median(one.per_second for one in rounds_of_kind),
        wait_p50=statistics.median(waits),
        wait_p99=waits[min(len(waits) - 1, int(0.99 * len(waits)))],
        waits=len(waits),
    )


def _ratio(found: Sequence[Round], load: Load, against: Kind) -> Ratio:
    pairs = zip(_of(found, load, KINDS[0]), _of(found, load, against), strict=True)
    ours, bare = _rate(found, load, KINDS[0]), _rate(found, load, against)
    return Ratio(
        at_once=load.at_once,
        against=against,
        per_second=statistics.median(one.per_second / other.per_second for one, other in pairs),
        wait_p50=bare.wait_p50 / ours.wait_p50,
        wait_p99=bare.wait_p99 / ours.wait_p99,
    )


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def _tables(figures: Figures) -> list[Table]:
    talk = Table(title="envelopes opened, with 4 recorded calls, and closed; wait from open to granted")
    for column in ("cycles at once", "kind", "envelopes/s", "p50 ms", "p99 ms", "of waits"):
        talk.add_column(column, justify="left" if column == "kind" else "right")
    for one in figures.rates:
        talk.add_row(
            str(one.at_once),
            one.kind,
            f"{one.per_second:.1f}",
            f"{one.wait_p50:.0f}",
            f"{one.wait_p99:.0f}",
            str(one.waits),
        )
    against = Table(title=f"ledger as a ratio to the bare signals (1: as good; goal {GOAL})")
    for column in ("cycles at once", "against", "envelopes/s", "p50", "p99", "goal"):
        against.add_column(column, justify="left" if column == "against" else "right")
    for ratio in figures.ratios:
        least = min(ratio.per_second, ratio.wait_p50, ratio.wait_p99)
        against.add_row(
            str(ratio.at_once),
            ratio.against,
            f"{ratio.per_second:.2f}",
            f"{ratio.wait_p50:.2f}",
            f"{ratio.wait_p99:.2f}",
            "met" if least >= GOAL else "missed",
        )
    sizes = Table(title="what is kept after so many calls, and one full run of the ledger with it")
    for column in ("calls", "state bytes", "events of a run", "bytes of a run", "us a message (pure ledger)"):
        sizes.add_column(column, justify="right")
    for kept in figures.sizes:
        sizes.add_row(
            f"{kept.calls:,}",
            f"{kept.state_bytes:,}",
            f"{kept.history_events:,}",
            f"{kept.history_bytes:,}",
            f"{kept.microseconds_a_message:.0f}",
        )
    first = Table(title="first answer after kill -9 of the worker, in seconds")
    for column in ("asked", "events to replay", "new process polls after", "answer after that"):
        first.add_column(column, justify="left" if column == "asked" else "right")
    for again in figures.restarts:
        first.add_row(again.ask, str(again.history_events), f"{again.boot:.2f}", f"{again.answer:.2f}")
    return [talk, against, sizes, first]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.budget", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few of everything: shows that it works, not how fast")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    options = parser.parse_args(arguments)
    console, progress = Console(), Console(stderr=True)
    figures = asyncio.run(measured(QUICK if options.quick else Plan(), progress.print))
    machine = figures.machine
    console.print(
        f"{machine.processor}, {machine.cores} cores, {machine.system}; Python {machine.python}, temporalio "
        f"{machine.temporalio}, server {machine.server}; load {machine.load_before:.2f} before, "
        f"{machine.load_after:.2f} after; {machine.at:%Y-%m-%d %H:%M} UTC",
        highlight=False,
    )
    for table in _tables(figures):
        console.print(table)
    if options.json:
        options.json.write_text(figures.model_dump_json(indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
