"""Many cycles at once on a plain server with its default limits, on a short day, with workers that are killed.

The usual run has thirty-two, `--chaos` sixty-four.

The ledger continues as new all the while. What was granted never passes the limit, nobody is told anything but granted,
queued or refused, and in the end every call in the books is a bill of the provider's, exact to the token.
"""

import asyncio
import contextlib
import shutil
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pytest
import pytest_asyncio
from temporalio.client import WorkflowFailureError, WorkflowHistoryEventFilterType
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment

from domain.cycle import AdmissionState, Outcome
from domain.ledger import BudgetStatus, Entry
from tests.metered.books import differences
from tests.metered.house import ENVELOPE, Cycle, MeteredHouse, metered_house
from tests.metered.provider import Call, Deed
from workflows import search_attributes
from workflows.budget import BudgetWorkflow
from workflows.research_cycle import ResearchCycleWorkflow

IMPATIENT = 4
"""One cycle of so many is not content with a place in the queue."""

CALLS_A_RUN = 11
"""So many calls the provider takes before it waits for the ledger's next run."""


class Storm(NamedTuple):
    """How much happens. runs: of the ledger, at the least; a server starts one no sooner than a second after the last.

    kills: after so many calls a worker is killed. drops, limits: of so many calls one is dropped, one is turned away.
    """

    cycles: int
    active: int
    runs: int
    kills: tuple[int, ...]
    drops: int
    limits: int

    @property
    def too_short(self) -> int:
        """Tokens of a day; those who don't mind to wait use about twice as many together."""
        return self.active * ENVELOPE

    @property
    def enough(self) -> int:
        """More than all use."""
        return 5 * self.too_short


USUAL = Storm(cycles=32, active=6, runs=10, kills=(12, 30), drops=25, limits=15)
LONG = Storm(cycles=64, active=12, runs=20, kills=(25, 60, 95), drops=50, limits=30)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def plain_env() -> AsyncIterator[WorkflowEnvironment]:
    """A server as it comes, without any option."""
    beside_python = Path(sys.executable).parent / "temporal"
    async with await WorkflowEnvironment.start_local(
        data_converter=pydantic_data_converter,
        dev_server_existing_path=str(beside_python) if beside_python.exists() else shutil.which("temporal"),
        search_attributes=search_attributes.ALL,
        dev_server_log_level="error",
    ) as env:
        yield env


@dataclass
class Watch:
    """What can be seen of the ledger while it works: its sums, its calls before they are folded, its runs."""

    house: MeteredHouse
    sums: list[BudgetStatus] = field(default_factory=list)
    calls: dict[tuple[str, int], Entry] = field(default_factory=dict)
    runs: list[str] = field(default_factory=list)

    async def look(self) -> BudgetStatus:
        """Once, by an update, so that the ledger's runs grow long also while nobody calls."""
        status: BudgetStatus = await self.house.ledger.execute_update(BudgetWorkflow.resume)
        self.sums.append(status)
        self.calls |= {(entry.run_id, entry.seq): entry for entry in await self.house.calls()}
        return status

    async def until(self, condition: Callable[[BudgetStatus], bool]) -> BudgetStatus:
        """Look until it is so."""
        async with asyncio.timeout(150):
            while True:
                # A question that a killed worker has taken is lost with it, or one that meets the end of a run.
                with contextlib.suppress(RPCError):
                    if condition(status := await self.look()):
                        return status
                await asyncio.sleep(0.25)

    async def follow(self) -> None:
        """The ledger's runs, as they begin."""
        run = (await self.house.ledger.describe()).run_id
        while True:
            self.runs.append(run)
            handle = self.house.client.get_workflow_handle(self.house.ledger.id, run_id=run)
            closing = WorkflowHistoryEventFilterType.CLOSE_EVENT
            async for event in handle.fetch_history_events(wait_new_event=True, event_filter_type=closing):
                run = event.workflow_execution_continued_as_new_event_attributes.new_execution_run_id


@dataclass
class Kills:
    """Of the workers beside the house's own, one after the other, as by the kernel, each in the middle of a call."""

    house: MeteredHouse
    after: tuple[int, ...]
    workers: list[asyncio.subprocess.Process] = field(default_factory=list)
    doomed: set[int] = field(default_factory=set)
    ends: list[int | None] = field(default_factory=list)

    async def prepare(self) -> None:
        """All at work before the first cycle starts, so that each has its share."""
        self.workers += await asyncio.gather(*(self.house.worker_process() for _ in self.after))

    async def go_on(self) -> None:
        """Until all are killed."""
        provider = self.house.provider
        try:
            for worker, calls in zip(self.workers, self.after, strict=True):
                await provider.until(at_least(provider.calls, calls))
                self.doomed = {worker.pid}  # the provider doesn't answer it any more
                await provider.until(lambda: any(call.sender in self.doomed for call in provider.under_way))
                worker.kill()
                self.ends.append(await worker.wait())
                self.doomed = set()
        finally:
            for worker in self.workers[len(self.ends) :]:
                worker.kill()


def at_least(calls: list[Call], number: int) -> Callable[[], bool]:
    """Whether there are so many."""
    return lambda: len(calls) >= number


async def test_in_a_storm_nothing_is_granted_beyond_the_limit_and_every_bill_is_booked_to_the_token(
    plain_env: WorkflowEnvironment, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Who still waits when the day has nothing left is cancelled; in the long form the limit is raised instead."""
    chaos = request.config.getoption("chaos")
    storm = LONG if chaos else USUAL
    async with metered_house(plain_env.client, tmp_path) as house:
        watch, kills = Watch(house), Kills(house, storm.kills)

        async def deed(call: Call, nth: int) -> Deed:
            number = len(house.provider.calls)
            await house.provider.until(
                lambda: len(watch.runs) * CALLS_A_RUN >= number and call.sender not in kills.doomed
            )
            if number % storm.drops == 0:
                return Deed.DROP
            return Deed.RATE_LIMIT if number % storm.limits == 0 else Deed.ANSWER

        house.provider.deed = deed
        await house.open_ledger(tokens=storm.too_short, active=storm.active, continue_after_events=20)
        await kills.prepare()
        async with asyncio.TaskGroup() as beside:
            following = beside.create_task(watch.follow())
            beside.create_task(kills.go_on())
            started = await asyncio.gather(*(house.start(queue=n % IMPATIENT > 0) for n in range(storm.cycles)))
            ends = [beside.create_task(end_of(cycle)) for cycle, _ in started]
            stuck = await watch.until(
                lambda status: len(status.waiting) + sum(end.done() for end in ends) == storm.cycles
            )
            assert max(house.provider.billed_by_day().values()) <= storm.too_short
            if chaos:
                await house.set_limit(storm.enough)
            else:
                await asyncio.gather(
                    *(house.client.get_workflow_handle(one.cycle_id).cancel() for one in stuck.waiting)
                )
            await watch.until(lambda _: all(end.done() for end in ends) and len(watch.runs) > storm.runs)
            last = await watch.until(lambda _: True)
            following.cancel()
        await house.provider.until(house.provider.is_idle)
        statuses = [await cycle.query(ResearchCycleWorkflow.status) for cycle, _ in started]
        history = await house.history()

    told = Counter(admission.state for _, admission in started)
    assert told.keys() == {AdmissionState.GRANTED, AdmissionState.QUEUED, AdmissionState.REFUSED}
    cancelled = 0 if chaos else len(stuck.waiting)
    assert stuck.waiting or len(history) > 1  # a day that begins meanwhile has enough for them all
    assert Counter(status.outcome for status in statuses) == Counter(
        {
            Outcome.COMPLETED: storm.cycles - told[AdmissionState.REFUSED] - cancelled,
            Outcome.REFUSED: told[AdmissionState.REFUSED],
            Outcome.CANCELLED: cancelled,
        }
    )
    assert kills.ends == [-9] * len(storm.kills)
    for one in watch.sums:
        assert one.tokens_settled + one.tokens_charged + one.tokens_held <= one.daily_budget
    assert (last.active, last.waiting, last.tokens_held, last.overrun_tokens) == ((), (), 0, 0)
    assert differences(watch.calls.values(), house.provider.bills) == []
    assert len([entry for entry in watch.calls.values() if entry.state == "charged"]) >= len(storm.kills)
    by_cycle: dict[str, int] = defaultdict(int)
    for entry in watch.calls.values():
        by_cycle[entry.operation_id] += entry.total_tokens
    assert by_cycle == {status.cycle_id: status.tokens for status in statuses if status.tokens}
    for day in history:
        booked = sum(entry.total_tokens for entry in watch.calls.values() if day.day in entry.days)
        assert booked == day.settled_tokens + day.charged_tokens


async def end_of(cycle: Cycle) -> None:
    """Until the cycle has ended, in whatever way."""
    with contextlib.suppress(WorkflowFailureError):
        await cycle.result()
