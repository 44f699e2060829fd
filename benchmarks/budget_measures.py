"""What the benchmark of the ledger measures: rates and waits against bare signals, sizes, a worker's restart."""

import asyncio
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Literal

from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle

from benchmarks.budget_talkers import (
    CALLS,
    CAP,
    PHASE,
    USED,
    BareAnswerer,
    Spoken,
    Talk,
)
from benchmarks.budget_worker import READY
from domain.cycle import CallUsage
from domain.envelope import Envelope, ask_to_open
from domain.ledger import BudgetInput, Granted, Ledger, LedgerState, Limits
from domain.results import Frozen
from settings import PROJECT
from workflows.budget import BudgetWorkflow

LIMITS = Limits(tokens_per_day=10**12, max_active_cycles=1_000)
"""Nothing is refused: what is measured is the talk."""

DAYS = 40
"""The calls that a state is fed with are spread over so many days: more than the books keep."""

AHEAD = timedelta(milliseconds=300)
AHEAD_EACH = timedelta(milliseconds=15)
"""So long before they begin are talkers started."""

ROOM = 80
"""Events that one envelope may add to a run, and more."""

FULL_RUN: int = BudgetInput.model_fields["continue_after_events"].default

Ask = Literal["query", "envelope"]
Kind = Literal["ledger", "bare, one partner for all", "bare, a partner each"]
KINDS: tuple[Kind, ...] = ("ledger", "bare, one partner for all", "bare, a partner each")


class Load(Frozen):
    """Cycles at once; envelopes that each opens and closes without pause; how often all open one at the same moment."""

    at_once: int
    envelopes: int
    bursts: int


class Round(Frozen):
    """One kind at one number of cycles at once. waits: from open to granted, in milliseconds, in ascending order."""

    kind: Kind
    at_once: int
    per_second: float
    waits: tuple[float, ...]


class Size(Frozen):
    """After so many calls: the state, and one full run of the ledger that began with it. Sizes in bytes."""

    calls: int
    state_bytes: int
    history_events: int
    history_bytes: int
    microseconds_a_message: float


class Restart(Frozen):
    """Seconds after a worker was killed in a full-length run and another one was started.

    boot: from the start of the new process until it polls. answer: from then until the first answer, to a query or to
    a whole envelope (opened, granted, recorded, closed).
    """

    ask: Ask
    history_events: int
    boot: float
    answer: float


@dataclass
class Bench:
    """A server, and a worker process of our own that can be killed."""

    client: Client
    address: str
    queue: str
    process: asyncio.subprocess.Process | None = None

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """A worker runs during the block; it is killed at the end."""
        await self.start_worker()
        try:
            yield
        finally:
            await self.kill_worker()

    async def start_worker(self) -> float:
        """Seconds until the new worker polls."""
        began = time.perf_counter()
        command = (sys.executable, "-m", "benchmarks.budget_worker", self.address, self.queue)
        self.process = await asyncio.create_subprocess_exec(*command, cwd=PROJECT, stdout=asyncio.subprocess.PIPE)
        assert self.process.stdout is not None
        if await self.process.stdout.readline() != READY:
            raise RuntimeError("the benchmark's worker did not start: see its error above")
        return time.perf_counter() - began

    async def kill_worker(self) -> None:
        """As kill -9 does."""
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    async def ledger(
        self, state: LedgerState | None = None, events: int = FULL_RUN
    ) -> WorkflowHandle[BudgetWorkflow, None]:
        """A ledger with its usual settings, from a state or empty. events: after which it continues as new."""
        return await self.client.start_workflow(
            BudgetWorkflow.run,
            BudgetInput(limits=LIMITS, state=state, continue_after_events=events),
            id=f"budget/{uuid.uuid4()}",
            task_queue=self.queue,
        )

    async def answerer(self) -> str:
        """The id of a new bare partner."""
        handle = await self.client.start_workflow(BareAnswerer.run, id=f"bare-{uuid.uuid4()}", task_queue=self.queue)
        return handle.id

    async def end(self, *ids: str) -> None:
        """Terminate what serves for ever."""
        await asyncio.gather(*(self.client.get_workflow_handle(one).terminate("measured") for one in ids))


async def talk(bench: Bench, kind: Kind, ledger: str, at_once: int, envelopes: int) -> list[Spoken]:
    """Let so many talkers begin together and open and close so many envelopes each."""
    shared = 1 if kind == "bare, one partner for all" else at_once if kind == "bare, a partner each" else 0
    partners = await asyncio.gather(*(bench.answerer() for _ in range(shared)))
    talker = "LedgerTalker" if kind == "ledger" else "BareTalker"
    begin = datetime.now(UTC) + AHEAD + at_once * AHEAD_EACH
    spoken = await asyncio.gather(
        *(
            bench.client.execute_workflow(
                talker,
                Talk(partner=partners[number % shared] if shared else ledger, begin=begin, envelopes=envelopes),
                id=f"talker-{uuid.uuid4()}",
                task_queue=bench.queue,
                result_type=Spoken,
            )
            for number in range(at_once)
        )
    )
    await bench.end(*partners)
    return spoken


async def one_round(bench: Bench, kind: Kind, ledger: str, load: Load) -> Round:
    """Envelopes a second while all talk without pause; waits where all open at once, and then do what cycles do."""
    spoken = await talk(bench, kind, ledger, load.at_once, load.envelopes)
    seconds = (max(one.ended for one in spoken) - min(one.began for one in spoken)).total_seconds()
    bursts = [await talk(bench, kind, ledger, load.at_once, 1) for _ in range(load.bursts)]
    return Round(
        kind=kind,
        at_once=load.at_once,
        per_second=load.at_once * load.envelopes / seconds,
        waits=tuple(sorted(wait * 1_000 for burst in bursts for one in burst for wait in one.waits)),
    )


async def rounds(bench: Bench, load: Load, number: int) -> list[Round]:
    """Every kind in every round, in an order that turns, so that noise and warmth hit all alike."""
    ledger = await bench.ledger()
    found: list[Round] = []
    for turn in range(number):
        turned = KINDS[turn % len(KINDS) :] + KINDS[: turn % len(KINDS)]
        order = turned if turn % 2 == 0 else turned[::-1]
        found += [await one_round(bench, kind, ledger.id, load) for kind in order]
    await bench.end(ledger.id)
    return found


def fed(calls: int) -> tuple[LedgerState, float]:
    """A state after so many calls, in envelopes of CALLS each, over DAYS days; and microseconds for one message."""
    now = datetime.now(UTC) - timedelta(days=DAYS)
    step = timedelta(days=DAYS) / (calls // CALLS)
    ledger = Ledger(LedgerState.new(LIMITS, now))
    began, messages = time.perf_counter(), 0
    for number in range(calls // CALLS):
        now += step
        messages += _one_envelope(ledger, f"cycle-{number:08}", now)
    return ledger.state, (time.perf_counter() - began) / messages * 1e6


def _one_envelope(ledger: Ledger, cycle: str, now: datetime) -> int:
    caps = {PHASE: CAP}
    opening = ask_to_open(f"key-of-{cycle}", cycle, f"run-of-{cycle}", caps, Decimal(1), False, now)
    (granted,) = ledger.open(opening, now)
    assert isinstance(granted, Granted)
    envelope = Envelope.opened(granted, caps)
    for _ in range(CALLS):
        envelope, ticket = envelope.take(PHASE, 2 * USED, Decimal("0.20"), now)
        usage = CallUsage(model="a-model", input=USED - 500, output=500)
        envelope, record = envelope.settle(ticket, usage, Decimal("0.05"), now)
        ledger.record(record, now)
    ledger.close(envelope.close(now), now)
    return CALLS + 2


async def size(bench: Bench, calls: int, events: int) -> Size:
    """Feed the pure ledger, hand its state to a ledger on the server, and let that live one full run."""
    state, microseconds = fed(calls)
    handle = await bench.ledger(state, events)
    first = bench.client.get_workflow_handle(handle.id, run_id=handle.first_execution_run_id)
    while (described := await first.describe()).status is WorkflowExecutionStatus.RUNNING:
        await talk(bench, "ledger", handle.id, at_once=8, envelopes=1)
    await bench.end(handle.id)
    return Size(
        calls=calls,
        state_bytes=len(state.model_dump_json()),
        history_events=described.history_length,
        history_bytes=described.raw_info.history_size_bytes,
        microseconds_a_message=microseconds,
    )


async def restart(bench: Bench, calls: int, events: int) -> list[Restart]:
    """Kill the worker of a ledger at the end of a run, start another, and wait for an answer; for each way to ask."""
    state, _ = fed(calls)
    handle = await bench.ledger(state, events)
    ledger = bench.client.get_workflow_handle(handle.id)
    while (length := (await ledger.describe()).history_length) < events - ROOM:
        await talk(bench, "ledger", ledger.id, at_once=1, envelopes=1)

    async def query() -> None:
        await ledger.query(BudgetWorkflow.status)

    async def envelope() -> None:
        await talk(bench, "ledger", ledger.id, at_once=1, envelopes=1)

    found: list[Restart] = []
    asks: dict[Ask, Callable[[], Awaitable[None]]] = {"query": query, "envelope": envelope}
    for name, ask in asks.items():
        await bench.kill_worker()
        boot = await bench.start_worker()
        began = time.perf_counter()
        await ask()
        found.append(Restart(ask=name, history_events=length, boot=boot, answer=time.perf_counter() - began))
    await bench.end(ledger.id)
    return found
