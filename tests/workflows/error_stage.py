"""The stages on which cycles fail: a house whose engine, store or files break, and one whose model's calls do."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from temporalio.api.failure.v1 import Failure
from temporalio.client import Client, WorkflowHandle

from activities.fence import Billable
from claude.call import PATIENCE
from domain.cycle import CycleResult, CycleStatus, Phase
from domain.ledger import BudgetStatus, Entry, budget_workflow_id
from domain.turns import FundedTurn
from engine.interface import Engine, Places
from engine.pool import JobPool
from tests.claude.fake_api import Asked, Refuses, Says
from tests.claude.house import claude_house, unbooked, usual
from tests.metered.books import differences
from tests.metered.house import ENVELOPE, hasty, metered_house
from tests.metered.provider import Provider, Reply
from tests.metered.turns import MeteredTurns
from tests.metered.worker_process import files_in
from workflows.policies import Policies
from workflows.research_cycle import ResearchCycleWorkflow

from .conftest import SMALL, Deed, House, open_house
from .test_reset import reset

Cycle = WorkflowHandle[ResearchCycleWorkflow, CycleResult]
SOON = timedelta(milliseconds=20)


@dataclass(frozen=True)
class Stage:
    """What a play needs of the session."""

    client: Client
    root: Path
    pool: JobPool


@dataclass(frozen=True)
class Played:
    """A cycle that has ended or is about to, and what can be asked about it. calls: the ledger's. asked: how often an
    activity asked the API, where there is one.
    """

    cycle: Cycle
    get: Callable[[str], CycleStatus | None]
    balance: Callable[[], Awaitable[BudgetStatus]]
    calls: Callable[[], Awaitable[Sequence[Entry]]]
    asked: Callable[[str], int] | None = None


def policies(**rows: dict[str, Any]) -> Policies:
    """The usual numbers of attempts, without the pauses between them. rows: what else is changed in a row."""
    usual = Policies()
    changed = {name: {"first_retry": SOON, "backoff": 1.0} for name in ("train", "backtest", "record")}
    for name, row in rows.items():
        changed[name] = changed.get(name, {}) | row
    return usual.model_copy(
        update={name: getattr(usual, name).model_copy(update=row) for name, row in changed.items()}
        | {"lost_answers": 1}
    )


async def nothing_meanwhile(house: House, cycle: Cycle) -> Cycle:
    """The cycle goes its way."""
    return cycle


@asynccontextmanager
async def plain(
    stage: Stage,
    *,
    engine: Callable[[JobPool, Places], Engine] = SMALL,
    deeds: Callable[[House], dict[Phase, Deed]] = lambda house: {},
    hold: Phase | None = None,
    without: str = "",
    meanwhile: Callable[[House, Cycle], Awaitable[Cycle]] = nothing_meanwhile,
    given: Policies | None = None,
    **changes: object,
) -> AsyncIterator[Played]:
    """A cycle of the offline designer and assessor. changes: of its request."""
    async with open_house(stage.client, stage.root, stage.pool, without=frozenset({without}), engine=engine) as house:
        house.faults.hold, house.faults.deeds = hold, deeds(house)
        cycle, _ = await house.start(house.request(**changes), given or policies())
        cycle = await meanwhile(house, cycle)

        async def balance() -> BudgetStatus:
            ledger = house.client.get_workflow_handle(budget_workflow_id(house.scope))
            return await ledger.query("status", result_type=BudgetStatus)

        async def calls() -> Sequence[Entry]:
            return ()

        yield Played(cycle, house.store.get, balance, calls)


@dataclass(frozen=True)
class BrokenTurns(MeteredTurns):
    """As the metered ones, but the second turn breaks before its request."""

    async def _reply(self, phase: str, turn: FundedTurn, work: Billable) -> Reply:
        if turn.turn == 2:
            raise KeyError("a field that is missing")
        return await super()._reply(phase, turn, work)


@dataclass(frozen=True)
class EndlessTurns(MeteredTurns):
    """As the metered ones, but no turn brings a result."""

    async def _reply(self, phase: str, turn: FundedTurn, work: Billable) -> Reply:
        return (await super()._reply(phase, turn, work)).model_copy(update={"final": False})


@asynccontextmanager
async def metered(
    stage: Stage,
    *,
    turns: type[MeteredTurns] = MeteredTurns,
    provider: Callable[[Provider], None] = lambda provider: None,
    before: Callable[[Path], None] = lambda root: None,
    **changes: object,
) -> AsyncIterator[Played]:
    """A cycle whose turns cost tokens, with funds for one such cycle."""
    async with metered_house(stage.client, stage.root, staffed=False) as house:
        provider(house.provider)
        before(stage.root)
        async with house.working(turns(house.provider.url, files_in(stage.root))):
            await house.open_ledger(tokens=ENVELOPE)
            cycle, _ = await house.start(None, **changes)

            async def calls() -> Sequence[Entry]:
                await house.provider.until(house.provider.is_idle)
                entries = await house.calls()
                assert differences(entries, house.provider.bills) == []
                return entries

            yield Played(cycle, house.store.get, house.balance, calls)


@asynccontextmanager
async def by_claude(
    stage: Stage, *, phase: str, answers: tuple[Says | Refuses, ...], patience: float = PATIENCE
) -> AsyncIterator[Played]:
    """A cycle by Claude, in which the second turn of a phase is answered so, in turn and then with the last one. Pauses
    between attempts are short at first, and then longer than anybody waits.
    """
    async with claude_house(stage.client, stage.root, patience=patience) as house:
        said = 0

        async def script(asked: Asked) -> Says | Refuses:
            nonlocal said
            if (asked.phase, asked.turn) != (phase, 2):
                return usual(asked)
            said += 1
            return answers[min(said, len(answers)) - 1]

        house.api.script = script
        policies = hasty()
        pauses = {"first_retry": SOON, "backoff": 10_000_000.0, "longest_retry": timedelta(days=1)}
        policies = policies.model_copy(update={phase: getattr(policies, phase).model_copy(update=pauses)})
        cycle = await house.start({"policies": policies})

        async def calls() -> Sequence[Entry]:
            house.api.released.set()
            await house.api.until(lambda: house.api.under_way == 0)
            entries = await house.entries()
            assert unbooked(entries, house.api.bills) == []
            return entries

        def asked(activity: str) -> int:
            return sum(one.phase == activity for one in house.api.asked)

        yield Played(cycle, house.store.get, house.balance, calls, asked)


# What breaks, and heals


def artifacts_are_a_file(house: House, heals_at: int | None = None) -> dict[Phase, Deed]:
    """From the first attempt at the training on, the folder of the artifacts can't be used; until one, or for good."""

    def deed(attempt: int) -> None:
        if attempt == 1:
            shutil.rmtree(house.places.artifacts, ignore_errors=True)
            house.places.artifacts.write_text("a file, where a folder should be")
        if attempt == heals_at:
            house.places.artifacts.unlink()

    return {Phase.TRAINING: deed}


def store_goes_away(house: House) -> None:
    """There is a folder where the store was."""
    house.store.close()
    database = _database(house)
    database.rename(database.with_suffix(".aside"))
    database.mkdir()


def store_goes_away_in_the_end(house: House) -> dict[Phase, Deed]:
    """With the assessment."""
    return {Phase.ASSESSING: lambda _: store_goes_away(house)}


def store_comes_back(house: House) -> None:
    database = _database(house)
    database.rmdir()
    database.with_suffix(".aside").rename(database)


def _database(house: House) -> Path:
    return Path(str(house.store.engine.url.database))


async def store_is_away_for_a_while(house: House, cycle: Cycle) -> Cycle:
    """It comes back once an attempt to record the cycle has failed."""
    async with asyncio.timeout(60):
        while not [
            one
            for one in (await cycle.describe()).raw_description.pending_activities
            if one.activity_type.name == "record" and one.HasField("last_failure")
        ]:
            await asyncio.sleep(0.02)
    store_comes_back(house)
    return cycle


async def store_comes_back_too_late(house: House, cycle: Cycle) -> Cycle:
    async with asyncio.timeout(60):
        while (await cycle.query(ResearchCycleWorkflow.status)).failure is None:
            await asyncio.sleep(0.02)
    store_comes_back(house)
    return cycle


def strategy_is_changed(house: House) -> dict[Phase, Deed]:
    """After the cycle was started with it."""
    return {Phase.TRAINING: lambda _: _write(house.places.strategies / "small.yaml", "name: another")}


def strategies_are_a_file(root: Path) -> None:
    _write(root / "strategies", "a file, where a folder should be")


def a_field_is_missing(house: House) -> dict[Phase, Deed]:
    def deed(_attempt: int) -> None:
        raise KeyError("a field that is missing")

    return {Phase.TRAINING: deed}


def _write(path: Path, text: str) -> None:
    path.write_text(text)


async def reset_in_its_first_turn(house: House, cycle: Cycle) -> Cycle:
    """The run that goes on with it."""
    await asyncio.wait_for(house.faults.held.wait(), 60)
    house.faults.hold = None
    return (await reset(house.client, cycle, "design"))[1]


# What the history tells of it


async def attempts_of(cycle: Cycle, activity: str) -> tuple[int, list[Failure]]:
    """How often an activity was tried, and the failures of those attempts that Temporal tells of."""
    number, asked, failures = 0, set[int](), list[Failure]()
    for event in (await cycle.fetch_history()).events:
        started = event.activity_task_started_event_attributes
        failed = event.activity_task_failed_event_attributes
        if event.activity_task_scheduled_event_attributes.activity_type.name == activity:
            asked.add(event.event_id)
        elif started.scheduled_event_id in asked:
            number += started.attempt
            failures += [started.last_failure] if started.HasField("last_failure") else []
        elif failed.scheduled_event_id in asked:
            failures.append(failed.failure)
    return number, failures


async def pauses_of(cycle: Cycle) -> list[float]:
    """The seconds of the cycle's pauses before another attempt."""
    timers = [event.timer_started_event_attributes for event in (await cycle.fetch_history()).events]
    return [one.start_to_fire_timeout.ToMilliseconds() / 1000 for one in timers if one.timer_id]
