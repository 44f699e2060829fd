"""The ledger's workflow on a real server, with tiny cycles that only talk to it."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from activities.budget import ensure_budget, restart_budget
from domain.errors import ErrorCode, ResearchError
from domain.ledger import BudgetStatus, DayEntries, Limits, LimitsChange
from workflows.budget import BudgetWorkflow

from .conftest import until

Start = Callable[..., Awaitable[Any]]


async def test_what_a_cycle_used_is_settled_and_the_rest_is_free_again(open_house: Start) -> None:
    house = await open_house(tokens=1_000)
    cycle = await house.cycle(tokens=500, calls=(30, 12))
    assert (await cycle.result()).admission == "granted"
    status = await house.status()
    assert (status.tokens_settled, status.tokens_held, status.tokens_remaining) == (42, 0, 958)
    assert status.invocations_today == 2
    assert status.active == ()


async def test_a_second_cycle_is_refused_with_the_id_of_the_active_one(open_house: Start) -> None:
    house = await open_house()
    first = await house.cycle(hold=True)
    await house.reaches(first, "granted")
    second = await (await house.cycle()).result()
    assert (second.admission, second.reason) == ("refused", "active_operation_exists")
    assert second.active == (first.id,)


async def test_queued_cycles_begin_in_the_order_in_which_they_came(open_house: Start) -> None:
    house = await open_house()
    first = await house.cycle(hold=True)
    await house.reaches(first, "granted")
    second = await house.cycle(wait=True, hold=True)
    await house.reaches(second, "queued")
    third = await house.cycle(wait=True)
    await house.reaches(third, "queued")
    assert [one.cycle_id for one in await house.ledger.query(BudgetWorkflow.waiting)] == [second.id, third.id]
    await house.go_on(first)
    await house.reaches(second, "granted")
    assert await house.state(third) == "queued"
    await house.go_on(second)
    assert (await third.result()).was_queued


async def test_a_raised_limit_lets_a_waiting_cycle_go_on_at_once(open_house: Start) -> None:
    house = await open_house(tokens=1_000, active=5)
    first = await house.cycle(tokens=900, hold=True)
    await house.reaches(first, "granted")
    second = await house.cycle(tokens=200, wait=True)
    await house.reaches(second, "queued")
    change = LimitsChange(tokens_per_day=1_100)
    status = await house.ledger.execute_update(BudgetWorkflow.set_limits, change)
    assert status.daily_budget == 1_100
    assert (await second.result()).admission == "granted"


async def test_settings_count_when_they_change_and_leave_what_a_person_set_until_then(open_house: Start) -> None:
    house = await open_house(tokens=1_000)
    await house.ledger.execute_update(BudgetWorkflow.set_limits, LimitsChange(tokens_per_day=700))
    told = LimitsChange(tokens_per_day=1_000, max_active_cycles=4)
    status = await house.ledger.execute_update(BudgetWorkflow.configure, told)
    assert (status.daily_budget, status.max_active_cycles) == (700, 4)
    status = await house.ledger.execute_update(BudgetWorkflow.configure, LimitsChange(tokens_per_day=1_200))
    assert (status.daily_budget, status.configured.tokens_per_day) == (1_200, 1_200)


async def test_a_cycle_that_needs_more_than_the_whole_limit_is_refused_even_if_it_would_wait(open_house: Start) -> None:
    house = await open_house(tokens=1_000)
    story = await (await house.cycle(tokens=1_001, wait=True)).result()
    assert (story.admission, story.reason, story.was_queued) == ("refused", "budget_exhausted", False)


async def test_a_paused_ledger_grants_nothing_until_it_is_resumed(open_house: Start) -> None:
    house = await open_house()
    assert (await house.ledger.execute_update(BudgetWorkflow.pause, "audit")).paused == "audit"
    assert (await (await house.cycle()).result()).reason == "budget_paused"
    waiting = await house.cycle(wait=True)
    await house.reaches(waiting, "queued")
    await house.ledger.execute_update(BudgetWorkflow.resume)
    assert (await waiting.result()).admission == "granted"


async def test_a_terminated_cycle_frees_its_slot_unasked_and_its_envelope_stays_charged(open_house: Start) -> None:
    house = await open_house(tokens=1_000)
    lost = await house.cycle(tokens=400, calls=(100,), hold=True)

    async def booked() -> bool:
        status: BudgetStatus = await house.status()
        return status.tokens_settled == 100

    await until(booked)
    await lost.terminate("as by a person in the Web UI")
    assert (await (await house.cycle(tokens=600)).result()).admission == "granted"
    status = await house.status()
    assert (status.tokens_settled, status.tokens_charged, status.tokens_held) == (100, 300, 0)
    entries = await house.ledger.query(BudgetWorkflow.entries)
    assert [(entry.state, entry.total_tokens) for entry in entries.entries] == [("settled", 100), ("forfeited", 300)]


async def test_a_terminated_cycle_without_tokens_forfeits_nothing(open_house: Start) -> None:
    house = await open_house(sweep_every=timedelta(seconds=1))
    lost = await house.cycle(hold=True)
    await house.reaches(lost, "granted")
    await lost.terminate("as by a person in the Web UI")

    async def freed() -> bool:
        status: BudgetStatus = await house.status()
        return status.active == ()

    await until(freed)
    assert (await house.status()).tokens_charged == 0


async def test_a_cycle_terminated_while_it_waits_is_never_granted_anything(open_house: Start) -> None:
    house = await open_house(tokens=1_000)
    first = await house.cycle(hold=True)
    await house.reaches(first, "granted")
    lost = await house.cycle(tokens=500, wait=True)
    await house.reaches(lost, "queued")
    await lost.terminate("as by a person in the Web UI")
    assert (await (await house.cycle()).result()).reason == "active_operation_exists"
    await house.go_on(first)
    await first.result()
    status = await house.status()
    assert (status.active, status.waiting, status.tokens_charged) == ((), (), 0)


async def test_a_request_to_cancel_the_ledger_pauses_it_instead_and_its_next_run_too(open_house: Start) -> None:
    house = await open_house(continue_after_events=20)
    await house.ledger.cancel()

    async def paused() -> bool:
        return (await house.status()).paused is not None

    await until(paused)
    await house.ledger.execute_update(BudgetWorkflow.resume)
    await house.next_run()
    assert (await (await house.cycle(tokens=10, calls=(1,))).result()).admission == "granted"
    await house.ledger.cancel()
    await until(paused)
    assert (await house.status()).tokens_settled == 1


async def test_fifteen_cycles_for_one_slot_and_short_funds_all_get_an_answer_and_the_sums_are_exact(
    open_house: Start,
) -> None:
    """Every message twice, through several runs of the ledger: 6 fit (5 x 40 + 100 <= 300 < 6 x 40 + 100)."""
    house = await open_house(tokens=300, continue_after_events=40)
    cycles = [await house.cycle(tokens=100, calls=(15, 25), wait=number % 3 > 0, twice=True) for number in range(15)]

    async def settled() -> bool:
        states = await asyncio.gather(*(cycle.describe() for cycle in cycles))
        running = [description.id for description in states if description.status and description.status.value == 1]
        waiting = {one.cycle_id for one in await house.ledger.query(BudgetWorkflow.waiting)}
        return set(running) == waiting and (await house.status()).active == ()

    await until(settled, seconds=60)
    waiting = {one.cycle_id for one in await house.ledger.query(BudgetWorkflow.waiting)}
    stories = [await cycle.result() for cycle in cycles if cycle.id not in waiting]
    granted = [story for story in stories if story.admission == "granted"]
    assert len(granted) == 6
    assert {await house.state(cycle) for cycle in cycles if cycle.id in waiting} == {"queued"}
    assert {story.reason for story in stories if story.admission == "refused"} <= {
        "budget_exhausted",
        "active_operation_exists",
    }
    status = await house.status()
    assert (status.tokens_settled, status.tokens_charged, status.tokens_held) == (6 * 40, 0, 0)
    assert status.invocations_today == 12
    runs = await house.histories()
    assert len(runs) >= 3
    replayer = Replayer(workflows=[BudgetWorkflow], data_converter=house.client.data_converter)
    for events in runs.values():
        await replayer.replay_workflow(WorkflowHistory(house.ledger.id, events))


async def test_a_ledger_is_made_once_and_one_that_was_ended_is_not_replaced_without_a_person(open_house: Start) -> None:
    house = await open_house()
    client, limits, scope = house.client, Limits(tokens_per_day=500), uuid.uuid4().hex[:20]
    await ensure_budget(client, house.queue, limits, scope)
    await ensure_budget(client, house.queue, Limits(tokens_per_day=900), scope)
    ledger = client.get_workflow_handle(f"budget/{scope}")
    status: BudgetStatus = await ledger.query(BudgetWorkflow.status)
    assert status.daily_budget == 500
    await ledger.terminate("as by a person in the Web UI")
    with pytest.raises(ResearchError, match="research budget restart") as refused:
        await ensure_budget(client, house.queue, limits, scope)
    assert refused.value.code is ErrorCode.BUDGET_EXHAUSTED
    await restart_budget(client, house.queue, limits, scope)
    status = await ledger.query(BudgetWorkflow.status)
    assert (status.tokens_charged, status.tokens_remaining, status.budget_available) == (500, 0, False)
    entries: DayEntries = await ledger.query(BudgetWorkflow.entries)
    assert entries.folded_charged_tokens == 500
    await client.get_workflow_handle(f"budget/{scope}").terminate("the test is over")


async def test_a_reason_for_a_pause_that_is_too_long_is_refused(open_house: Start) -> None:
    house = await open_house()
    with pytest.raises(Exception, match="Workflow update failed"):
        await house.ledger.execute_update(BudgetWorkflow.pause, "x" * 501)
    assert (await house.status()).paused is None
