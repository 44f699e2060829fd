"""The stories in which a worker dies at one place, and how each has to end all the same."""

import asyncio
import signal
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    closing,
    contextmanager,
    suppress,
)
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import CancelledError

from activities.budget import restart_budget
from domain.cycle import CYCLE_WORKFLOW, AdmissionState, CallUsage, CycleRequest, CycleStatus, Outcome, Phase
from domain.ledger import Closed, Limits
from engine.pool import JobPool
from tests.metered.books import differences
from tests.metered.house import ENVELOPE, MeteredHouse, metered_house
from tests.metered.provider import MODEL, Call, Deed
from tests.metered.test_lost_ledger import deleted, known, listed
from workflows.research_cycle import ResearchCycleWorkflow

from .armed_worker import Armed, Kind
from .awaits import Await
from .death import Moment
from .house import Cycle, House, figures, house_in, process, rows

LONG = Path(__file__).parent.parent / "activities" / "long_training.yaml"
PATIENCE = 300.0
"""Seconds after which a story is taken for one that has no end."""


@dataclass
class Bench:
    """What every story has at hand. twins: the figures of undisturbed cycles, by story, made once."""

    client: Client
    pool: JobPool
    cache: Path
    twins: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass
class Doom:
    """A worker that is to die at one place."""

    bench: Bench
    root: Path
    place: Await
    moment: Moment

    @property
    def marker(self) -> Path:
        return self.root / "reached"

    def worker(self, kind: Kind, queue: str, url: str = "") -> AbstractAsyncContextManager[Any]:
        """The process."""
        armed = Armed(
            kind=kind,
            place=self.place.name,
            moment=self.moment,
            marker=self.marker,
            address=self.bench.client.service_client.config.target_host,
            queue=queue,
            root=self.root,
            cache=self.bench.cache,
            url=url,
        )
        log = self.root / "armed.log"
        return process("tests.chaos.armed_worker", armed.model_dump(mode="json"), log)

    async def met(self, worker: asyncio.subprocess.Process, meanwhile: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Wait until the worker died there, while this goes on. Fails where that ends without it."""
        story = asyncio.ensure_future(meanwhile)
        death = asyncio.ensure_future(worker.wait())
        await asyncio.wait([death, story], timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        if not death.done():
            story.cancel()
            with suppress(asyncio.CancelledError):
                await story
        log = (self.root / "armed.log").read_text()
        assert death.done(), f"no scenario reaches it: {self.place.name}, {self.moment}. The worker's log: {log}"
        assert death.result() == -signal.SIGKILL, log
        assert self.marker.exists(), "somebody else has killed it"
        return story


Story = Callable[[Doom], Awaitable[None]]
Request = Callable[[House], CycleRequest]


async def designed(doom: Doom) -> None:
    """A whole cycle with its design; the worker of all but the engine dies."""
    await _whole(doom, Kind.ORCHESTRATOR, "designed", lambda house: house.request(strategy=None, seed=3))


async def orchestrator(doom: Doom) -> None:
    """A whole cycle with a finished strategy; the worker of all but the engine dies."""
    await _whole(doom, Kind.ORCHESTRATOR, "finished", finished)


async def engine(doom: Doom) -> None:
    """The same; the worker of training and backtest dies."""
    await _whole(doom, Kind.ENGINE, "finished", finished)


async def _whole(doom: Doom, kind: Kind, twin: str, request: Request) -> None:
    expected = await twin_of(doom.bench, doom.root, twin, request)
    async with house_in(doom.root, doom.bench.client) as house, AsyncExitStack() as living:
        dying, surviving = workers(doom, kind, house)
        await living.enter_async_context(surviving)
        async with dying as worker:
            going = await doom.met(worker, begun_and_ended(house, request(house)))
            await living.enter_async_context(replacement(doom, kind, house))
            status = await asyncio.wait_for(going, PATIENCE)
        assert figures(status) == expected
        await nothing_left(house, status, trainings=1)


async def twin_of(bench: Bench, root: Path, name: str, request: Request) -> dict[str, Any]:
    """The figures of an undisturbed cycle, made once."""
    if name not in bench.twins:
        async with house_in(root / "twin", bench.client) as house, house.orchestrator(), house.engine(bench.pool):
            bench.twins[name] = figures(await begun_and_ended(house, request(house)))
            assert bench.twins[name]["outcome"] == Outcome.COMPLETED
    return bench.twins[name]


def finished(house: House) -> CycleRequest:
    """A cycle with a finished strategy."""
    return house.request(seed=5)


async def finished_twin(bench: Bench, root: Path) -> dict[str, Any]:
    """The figures that every `finished` cycle has as the first one of its store."""
    return await twin_of(bench, root, "finished", finished)


async def cancel(doom: Doom) -> None:
    """A cycle is cancelled in mid-training; the worker of all but the engine dies."""
    await _cancelled(doom, Kind.ORCHESTRATOR)


async def cancel_in_engine(doom: Doom) -> None:
    """A cycle is cancelled in mid-training; the worker that trains dies as it stops."""
    await _cancelled(doom, Kind.ENGINE)


async def _cancelled(doom: Doom, kind: Kind) -> None:
    async with house_in(doom.root, doom.bench.client) as house, AsyncExitStack() as living:
        dying, surviving = workers(doom, kind, house)
        await living.enter_async_context(surviving)
        async with dying as worker:
            text = LONG.read_text().replace("epochs: 300", "epochs: 600").replace("size: 64", "size: 16")
            cycle, _ = await house.start(house.request(strategy=house.files.save("long", text)))

            await until(lambda: bool(list(doom.root.glob("artifacts/*/.attempts/*/checkpoint-[0-9]*"))))
            going = await doom.met(worker, cancelled(house, cycle))
            await living.enter_async_context(replacement(doom, kind, house))
            status = await asyncio.wait_for(going, PATIENCE)
        assert (status.outcome, status.stopped_in, status.reason) == (Outcome.CANCELLED, Phase.TRAINING, "enough")
        await nothing_left(house, status, trainings=0)


async def metered(doom: Doom) -> None:
    """A cycle whose every turn costs tokens."""
    async with _metered(doom) as (house, worker, living):
        await house.open_ledger(tokens=2 * ENVELOPE)
        cycle, _ = await house.start()
        going = await doom.met(worker, cycle.result())
        await living.enter_async_context(house.working())
        result = await asyncio.wait_for(going, PATIENCE)
        await house.provider.until(house.provider.is_idle)
        entries, balance = await house.calls(), await house.balance()
        assert result.outcome is Outcome.COMPLETED
        turns = [*(("design", turn) for turn in range(1, 8)), *(("assess", turn) for turn in range(1, 4))]
        assert list(dict.fromkeys(turn[:2] for turn in house.provider.turns_billed(cycle.id))) == turns
        assert differences(entries, house.provider.bills) == []
        assert (balance.active, balance.waiting, balance.tokens_held) == ((), (), 0)
        assert rows(house.store, cycle.id) == 1


async def swept(doom: Doom) -> None:
    """A cycle was terminated in a call, and another one wants its slot: the ledger looks what became of it."""
    async with _metered(doom) as (house, worker, living):
        await house.open_ledger(tokens=2 * ENVELOPE)
        terminated = await _terminated_in_a_call(house)

        async def another() -> Cycle:
            cycle, _ = await house.start(queue=True)
            await cycle.result()
            return cycle

        going = await doom.met(worker, another())
        await living.enter_async_context(house.working())
        cycle = await asyncio.wait_for(going, PATIENCE)
        entries, balance = await house.calls(), await house.balance()
        assert differences(entries, house.provider.bills) == []
        of_it = [entry.state for entry in entries if entry.operation_id == terminated.id]
        assert of_it == ["settled", "settled", "charged"]
        assert (balance.active, balance.waiting, balance.tokens_held) == ((), (), 0)
        assert (rows(house.store, cycle.id), rows(house.store, terminated.id)) == (1, 1)


async def swept_late(doom: Doom) -> None:
    """The same of a cycle that was terminated while it was being recorded, which the store could not do for a while."""
    async with _metered(doom) as (house, worker, living):
        await house.open_ledger(tokens=2 * ENVELOPE)
        with _nothing_can_be_written(doom.root):
            terminated, _ = await house.start()
            await until(lambda: len(house.provider.bills) == sum(house.provider.turns.values()))
            await _asked_for(terminated, "record")
            await terminated.terminate("as by a person in the Web UI")

        async def another() -> Cycle:
            cycle, _ = await house.start(queue=True)
            await cycle.result()
            return cycle

        going = await doom.met(worker, another())
        await living.enter_async_context(house.working())
        cycle = await asyncio.wait_for(going, PATIENCE)
        assert differences(await house.calls(), house.provider.bills) == []
        assert (rows(house.store, cycle.id), rows(house.store, terminated.id)) == (1, 1)
        kept = house.store.get(terminated.id)
        assert kept
        assert kept.outcome is Outcome.COMPLETED


@contextmanager
def _nothing_can_be_written(root: Path) -> Iterator[None]:
    """Somebody else holds the store's database."""
    with closing(sqlite3.connect(root / "research.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


async def _asked_for(cycle: Cycle, activity: str) -> None:
    """Wait until the cycle has asked for this activity."""
    async with asyncio.timeout(PATIENCE):
        while True:
            events = [event async for event in cycle.fetch_history_events()]
            asked = (event.activity_task_scheduled_event_attributes.activity_type.name for event in events)
            if activity in asked:
                return
            await asyncio.sleep(0.05)


async def lost(doom: Doom) -> None:
    """The ledger was deleted while a cycle spends from it, and another cycle asks whether there never was one."""
    at_the_end = asyncio.Event()

    async def deed(call: Call, nth: int) -> Deed:
        if (call.phase, call.turn) == ("assess", 3):
            await at_the_end.wait()
        return Deed.DROP if (call.phase, call.turn) == ("assess", 2) and nth <= 3 else Deed.ANSWER

    async with _metered(doom) as (house, worker, living):
        house.provider.deed = deed
        house.provider.usage = lambda call, nth: CallUsage(model=MODEL, input=nth, output=5_000 - nth)
        await house.open_ledger(tokens=2 * ENVELOPE)
        holding, _ = await house.start()
        await house.provider.until(
            lambda: any((call.phase, call.turn) == ("assess", 3) for call in house.provider.calls)
        )
        run_id = (await house.balance()).active[0].run_id
        await holding.signal(ResearchCycleWorkflow.closed, Closed(key="another", cycle_id=holding.id, run_id=run_id))
        await listed(house, holding, "ExecutionStatus = 'Running'")
        account = await _refused_until_restart(doom, house, worker, living)
        assert [one.cycle_id for one in account] == [holding.id]
        await house.set_limit(10 * ENVELOPE)  # The call that the dead worker had in flight has to be paid again.
        at_the_end.set()
        assert (await asyncio.wait_for(holding.result(), PATIENCE)).outcome is Outcome.COMPLETED
        await house.provider.until(house.provider.is_idle)
        booked = sum(entry.total_tokens for entry in await house.calls())
        before = account[0].settled.tokens + account[0].charged.tokens
        assert before + booked >= house.provider.billed(holding.id)
        assert (await house.balance()).tokens_held == 0


async def forgotten(doom: Doom) -> None:
    """The ledger was deleted after its cycles had ended; among many ended ones only one had spent from it."""
    async with _metered(doom) as (house, worker, living):
        await house.open_ledger(tokens=2 * ENVELOPE)
        terminated = await _terminated_in_a_call(house)
        for n in range(10):
            name = f"odd-{house.scope}-{n}"
            odd: Cycle = await house.client.start_workflow(CYCLE_WORKFLOW, {}, id=name, task_queue="nobody-polls")
            await odd.terminate()
            await listed(house, odd, "CloseTime IS NOT NULL")
        await listed(house, terminated, "CloseTime IS NOT NULL")
        assert list(await _refused_until_restart(doom, house, worker, living)) == []


async def begun_and_ended(house: House, request: CycleRequest) -> CycleStatus:
    """What the store has of the cycle in the end."""
    cycle, _ = await house.start(request)
    await cycle.result()
    status = house.store.get(cycle.id)
    assert status
    return status


async def cancelled(house: House, cycle: Cycle) -> CycleStatus:
    """What the store has of the cycle after a person has cancelled it."""
    await cycle.signal(ResearchCycleWorkflow.cancel, "enough")
    with pytest.raises(WorkflowFailureError) as ended:
        await cycle.result()
    assert isinstance(ended.value.cause, CancelledError), ended.value.cause
    status = house.store.get(cycle.id)
    assert status
    return status


def workers(
    doom: Doom, kind: Kind, house: House
) -> tuple[AbstractAsyncContextManager[Any], AbstractAsyncContextManager[Any]]:
    """The one that dies, and the other one, which lives."""
    other = house.engine(doom.bench.pool) if kind is Kind.ORCHESTRATOR else house.orchestrator()
    return doom.worker(kind, house.settings.task_queue), other


def replacement(doom: Doom, kind: Kind, house: House) -> AbstractAsyncContextManager[Any]:
    return house.orchestrator() if kind is Kind.ORCHESTRATOR else house.engine(doom.bench.pool)


async def nothing_left(house: House, status: CycleStatus, trainings: int) -> None:
    """The ledger holds nothing, the store has the run once, and there are so many published trainings."""
    balance = await house.balance()
    assert (balance.active, balance.waiting, balance.tokens_held, balance.tokens_charged) == ((), (), 0, 0)
    assert rows(house.store, status.cycle_id) == 1
    assert len(list((house.settings.artifacts / status.cycle_id).glob("training-*"))) == trainings


@asynccontextmanager
async def _metered(doom: Doom) -> AsyncIterator[tuple[MeteredHouse, asyncio.subprocess.Process, AsyncExitStack]]:
    """A metered house, the worker that dies in it, and a place for the one after it."""
    async with (
        metered_house(doom.bench.client, doom.root, staffed=False) as house,
        AsyncExitStack() as living,
        doom.worker(Kind.METERED, house.scope, house.provider.url) as worker,
    ):
        yield house, worker, living


async def _terminated_in_a_call(house: MeteredHouse) -> Cycle:
    """A cycle with two calls that were settled and one in flight, which the provider bills too."""
    done = asyncio.Event()

    async def deed(call: Call, nth: int) -> Deed:
        if (call.phase, call.turn, nth) == ("design", 3, 1) and not done.is_set():
            await done.wait()
        return Deed.ANSWER

    house.provider.deed = deed
    cycle, _ = await house.start()
    await house.provider.until(lambda: len(house.provider.bills) == 2 and len(house.provider.under_way) == 1)
    await cycle.terminate("as by a person in the Web UI")
    done.set()
    await house.provider.until(house.provider.is_idle)
    return cycle


async def _refused_until_restart(
    doom: Doom, house: MeteredHouse, worker: asyncio.subprocess.Process, living: AsyncExitStack
) -> tuple[Any, ...]:
    """The ledger is deleted, and another cycle gets no new one until a person restarts it. What that one takes over."""
    await deleted(house.client, house.ledger.id)
    going = await doom.met(worker, house.start(queue=True))
    await living.enter_async_context(house.working())
    waiting, admission = await asyncio.wait_for(going, PATIENCE)
    assert admission.state is AdmissionState.PENDING
    assert "research budget restart" in admission.message
    assert not await known(house.client, house.ledger.id)
    limits = Limits(tokens_per_day=2 * ENVELOPE)
    adopted = await restart_budget(house.client, house.scope, limits, house.scope)
    assert adopted is not None
    assert (await house.balance()).tokens_remaining == 0
    await waiting.terminate()
    return adopted


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.05)
