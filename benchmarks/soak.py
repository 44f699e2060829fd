"""Five hundred cycles by Claude, one after the other and a few at once, over a midnight: what grows, and what it cost.

Run from the project's root: `python -m benchmarks.soak [--quick] [--json FILE]`. A worker process that is real but for
an instant engine, an HTTP server that speaks as Claude's API does and keeps its bills, and a development server with
its data in a file. When nearly all cycles have ended the day's budget is used up; the last ones wait, the server skips
to the next day, and they go on.
"""

import asyncio
import contextlib
import math
import statistics
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

import psutil
from pydantic import SecretStr
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import TimeSkippingConfig, WorkflowEnvironment

from benchmarks.database_size import sqlite_bytes
from benchmarks.figures import Group, Row, command
from benchmarks.processes import child
from client.audit import audit
from client.audit_report import Audit
from client.budget import budget_history, require_status, set_limits
from client.cycles import start_cycle
from client.dev import server_options, temporal_command
from domain.cycle import Admission, AdmissionState, CycleRequest, DesignerKind
from domain.ledger import CLOCK_SKEW, BudgetInput, DaySummary, Limits, LimitsChange, budget_workflow_id
from domain.pricing import price_of
from settings import Settings
from tests.claude.fake_api import KEY, MODEL, Asked, FakeApi, Refuses, Says, fake_api, tool
from tests.claude.house import YAML, usual
from tests.domain.usual_results import OPEN_GATES
from workflows import search_attributes
from workflows.budget import BudgetWorkflow

AT_ONCE = 4

MIB = 2**20

NOISE = 0.01
"""The most that memory or descriptors may grow in 100 cycles, of what they are, where it is more than chance."""


@dataclass(frozen=True)
class Plan:
    """cycles: in all. waiting: how many of them wait for the midnight. every: cycles between two samples."""

    cycles: int
    waiting: int
    every: int


@dataclass(frozen=True)
class Sample:
    """The worker after so many cycles. memory: resident, in bytes."""

    cycles: int
    memory: int
    descriptors: int


@dataclass(frozen=True)
class Slope:
    """Growth for 100 cycles by least squares, its standard error, and the last size."""

    growth: float
    error: float
    size: float

    @classmethod
    def of(cls, points: Sequence[tuple[float, float]]) -> "Slope":
        """Through (cycles, size) points, three of them at least."""
        across, up = zip(*points, strict=True)
        slope, level = statistics.linear_regression(across, up)
        left = sum((y - level - slope * x) ** 2 for x, y in points)
        spread = sum((x - statistics.mean(across)) ** 2 for x in across)
        return cls(100 * slope, 100 * math.sqrt(left / (len(points) - 2) / spread), up[-1])

    @property
    def beyond_chance(self) -> float:
        """The growth as a part of the size; 0 where it is below 0, or 0 lies within two standard errors."""
        return self.growth / self.size if self.growth > 2 * self.error else 0.0


@dataclass
class House:
    """What runs, and what was seen of it."""

    env: WorkflowEnvironment
    settings: Settings
    api: FakeApi
    worker: psutil.Process
    every: int
    ended: int = 0
    samples: list[Sample] = field(default_factory=list)

    @property
    def database(self) -> Path:
        """The server's."""
        return self.settings.home / "temporal.db"

    async def start(self, number: int) -> tuple[str, Admission]:
        """One cycle, which waits for funds."""
        request = CycleRequest(
            brief=f"soak {number}",
            symbol="EURUSD",
            timeframe="1h",
            designer=DesignerKind.CLAUDE,
            model=MODEL,
            thresholds=OPEN_GATES,
            queue=True,
            seed=number,
        )
        started = await start_cycle(self.env.client, self.settings, request)
        return started.cycle_id, started.admission

    async def end(self, cycle_id: str) -> None:
        """Wait for a cycle's end, and look at the worker now and then."""
        await self.env.client.get_workflow_handle(cycle_id).result()
        self.ended += 1
        if self.ended % self.every == 0:
            memory, descriptors = self.worker.memory_info().rss, self.worker.num_fds()
            self.samples.append(Sample(self.ended, memory, descriptors))


@dataclass(frozen=True)
class Found:
    """All that was measured. server, store: bytes for each cycle. billed: tokens and dollars on the API's own bills."""

    samples: tuple[Sample, ...]
    history: tuple[DaySummary, ...]
    audits: tuple[Audit, ...]
    billed: tuple[int, Decimal]
    waited: int
    server: float
    store: float


async def _another_strategy(asked: Asked) -> Says | Refuses:
    """As usual, but that no two cycles hand in the same strategy, which would be refused."""
    says = usual(asked)
    if asked.phase == "assess" or asked.turn == 1:
        return says
    text = YAML.replace("learning_rate: 0.01", f"learning_rate: {0.01 + asked.nth / 10**7:.7f}")
    if text == YAML:
        raise RuntimeError("the strategy has no learning rate to vary")
    blocks = tuple(
        tool(block["name"], **{**block["input"], "yaml": text}) if "yaml" in block.get("input", {}) else block
        for block in says.blocks
    )
    return Says(blocks=blocks, usage=says.usage)


@asynccontextmanager
async def _house(folder: Path, every: int) -> AsyncIterator[House]:
    async with contextlib.AsyncExitStack() as stack:
        env = await stack.enter_async_context(
            await WorkflowEnvironment.start_time_skipping_v2(
                ts_config=TimeSkippingConfig(enabled=False),
                data_converter=pydantic_data_converter,
                dev_server_existing_path=str(temporal_command()),
                dev_server_database_filename=str(folder / "temporal.db"),
                dev_server_extra_args=[
                    *("--sqlite-pragma", "synchronous=normal", *server_options()),
                    *("--dynamic-config-value", "frontend.WorkflowTimeSkippingEnabled=true"),
                ],
                search_attributes=search_attributes.ALL,
                dev_server_log_level="error",
            )
        )
        api = await stack.enter_async_context(fake_api())
        api.script = _another_strategy
        address = env.client.service_client.config.target_host
        settings = Settings(
            home=folder,
            temporal_address=address,
            temporal_namespace=env.client.namespace,
            temporal_profile=None,
            anthropic_api_key=SecretStr(KEY),
        )
        await env.client.start_workflow(
            BudgetWorkflow.run,
            BudgetInput(limits=Limits(tokens_per_day=10**9, max_active_cycles=AT_ONCE), sweep_every=timedelta(hours=6)),
            id=budget_workflow_id(None),
            task_queue=settings.task_queue,
        )
        worker = await stack.enter_async_context(child("benchmarks.house_worker", address, str(folder), api.url))
        yield House(env, settings, api, psutil.Process(worker.pid), every)


async def _soaked(plan: Plan) -> Found:
    with tempfile.TemporaryDirectory() as folder:
        async with _house(Path(folder), plan.every) as house:
            before = sqlite_bytes(house.database)
            await _first_day(house, plan.cycles - plan.waiting)
            waiting = await _at_the_limit(house, range(plan.cycles - plan.waiting, plan.cycles))
            await _midnight(house, waiting)
            await asyncio.gather(*map(house.end, waiting))
            history = tuple(await budget_history(house.env.client))
            audits = [await audit(house.env.client, day.day) for day in history]
            store = sqlite_bytes(house.settings.home / "research.db")
            return Found(
                samples=tuple(house.samples),
                history=history,
                audits=tuple(audits),
                billed=_billed(house.api),
                waited=len(waiting),
                server=(sqlite_bytes(house.database) - before) / plan.cycles,
                store=store / plan.cycles,
            )


async def _first_day(house: House, cycles: int) -> None:
    free = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        async with free:
            cycle_id, _ = await house.start(number)
            await house.end(cycle_id)

    await asyncio.gather(*map(one, range(cycles)))


async def _at_the_limit(house: House, numbers: Sequence[int]) -> list[str]:
    """As a person does with `research budget set`: the limit is what is spent, and not quite an envelope more."""
    today = await require_status(house.env.client)
    spent = today.tokens_settled + today.tokens_charged
    envelope = house.settings.design_token_cap + house.settings.assess_token_cap
    await set_limits(house.env.client, LimitsChange(tokens_per_day=spent + envelope - 1))
    found = []
    for number in numbers:
        cycle_id, admission = await house.start(number)
        if (admission.state, admission.reason) != (AdmissionState.QUEUED, "budget_exhausted"):
            raise RuntimeError(f"{cycle_id} does not wait for funds: {admission.state.value} {admission.message}")
        found.append(cycle_id)
    return found


async def _midnight(house: House, waiting: Sequence[str]) -> None:
    """All clocks go on to the first moment of a day on which nothing was spent, the ledger's as the last."""
    client = house.env.client
    day: date = (await require_status(client)).reset_date
    reset = datetime.combine(max(day, datetime.now(UTC).date()) + timedelta(days=1), time(), UTC) + CLOCK_SKEW
    ahead = reset - datetime.now(UTC) + timedelta(seconds=1)
    for cycle_id in (*waiting, budget_workflow_id(None)):
        if not await house.env.fast_forward(client.get_workflow_handle(cycle_id), ahead):
            raise RuntimeError(f"{cycle_id} ended before its midnight")


def _billed(api: FakeApi) -> tuple[int, Decimal]:
    price, usd = price_of(MODEL), Decimal(0)
    for bill in api.bills:
        usd += (price.cost(bill.usage) if price else None) or Decimal("NaN")
    return api.billed, usd


def _groups(found: Found, plan: Plan) -> list[Group]:
    half = [sample for sample in found.samples if 2 * sample.cycles >= plan.cycles]
    memory = Slope.of([(sample.cycles, sample.memory) for sample in half])
    descriptors = Slope.of([(sample.cycles, sample.descriptors) for sample in half])
    tokens = sum(day.settled_tokens + day.charged_tokens for day in found.history)
    usd = sum((day.settled_usd + day.charged_usd for day in found.history), Decimal(0))
    billed_tokens, billed_usd = found.billed
    unlike = sum(len(one.differences) + len(one.sums) for one in found.audits)
    days = [day for day in found.history if day.calls]
    told = ", ".join(f"{day.settled_tokens:,} on {day.day}" for day in reversed(days))
    return [
        Group(
            title="Growth for 100 cycles",
            rows=(
                Row(
                    what="memory of the worker, resident",
                    ours=f"{memory.growth / MIB:+.2f} MiB, standard error {memory.error / MIB:.2f}",
                    beside=f"after {plan.cycles} cycles",
                    theirs=f"{memory.size / MIB:.0f} MiB",
                    ratio=memory.beyond_chance,
                    goal=NOISE,
                ),
                Row(
                    what="open descriptors of the worker",
                    ours=f"{descriptors.growth:+.2f}, standard error {descriptors.error:.2f}",
                    beside=f"after {plan.cycles} cycles",
                    theirs=f"{descriptors.size:.0f}",
                    ratio=descriptors.beyond_chance,
                    goal=NOISE,
                ),
                Row(what="the store, each cycle", ours=f"{found.store / 1024:.1f} KiB"),
                Row(what="the server's database, each cycle", ours=f"{found.server / 1024:.1f} KiB"),
            ),
            notes=(
                f"{plan.cycles} cycles of five calls, {AT_ONCE} at once; a straight line by least squares through "
                f"{len(half)} samples of the second half. The ratio is the growth as a part of the size, and 0 where "
                "no growth lies within two standard errors.",
            ),
        ),
        Group(
            title="The ledger beside the API's bills",
            rows=(
                _difference("tokens", f"{tokens:,}", f"{billed_tokens:,}", abs(tokens - billed_tokens)),
                _difference("dollars", f"{usd:f}", f"{billed_usd:f}", float(abs(usd - billed_usd))),
                _difference("differences that `research budget verify` finds", f"{unlike}", "", float(unlike)),
            ),
            notes=(
                f"Of {plan.cycles} cycles the last {found.waited} waited at the day's limit, and went on when the "
                f"server had skipped to the next day: settled tokens {told}. The ratio is the difference.",
            ),
        ),
    ]


def _difference(what: str, booked: str, billed: str, difference: float) -> Row:
    return Row(what=what, ours=booked, beside="billed" if billed else "", theirs=billed, ratio=difference, goal=0.0)


def _measure(quick: bool) -> list[Group]:
    plan = Plan(cycles=6, waiting=2, every=1) if quick else Plan(cycles=500, waiting=40, every=10)
    return _groups(asyncio.run(_soaked(plan)), plan)


main = command("soak", __doc__ or "", ("temporalio", "anthropic", "sqlalchemy"), _measure)

if __name__ == "__main__":
    raise SystemExit(main())
