"""A cycle that costs tokens, through the real workflows: what is billed is what is booked."""

import asyncio
from pathlib import Path

from temporalio.testing import WorkflowEnvironment

from domain.cycle import AdmissionState, CallUsage, Outcome
from domain.ledger import Entry

from .books import differences
from .house import BOUNDS, ENVELOPE, metered_house
from .provider import MODEL, Bill, Call, Deed


async def test_a_cycle_of_ten_calls_is_booked_as_it_was_billed(
    temporal_env: WorkflowEnvironment, tmp_path: Path
) -> None:
    async with metered_house(temporal_env.client, tmp_path) as house:
        cycle, admission = await house.start()
        result = await asyncio.wait_for(cycle.result(), 60)
        entries, balance = await house.calls(), await house.balance()

        assert (admission.state, result.outcome) == (AdmissionState.GRANTED, Outcome.COMPLETED)
        turns = [*(("design", turn, 1) for turn in range(1, 8)), *(("assess", turn, 1) for turn in range(1, 4))]
        assert house.provider.turns_billed(cycle.id) == turns
        assert differences(entries, house.provider.bills) == []
        assert result.tokens == sum(entry.total_tokens for entry in entries) == house.provider.billed()
        assert (balance.tokens_charged, balance.tokens_held) == (0, 0)
        assert {bill.call.ceiling_tokens for bill in house.provider.bills} == {BOUNDS.most}
        assert house.store.get(cycle.id)


async def test_errors_that_cost_nothing_are_tried_again_and_lost_answers_are_paid_again(
    temporal_env: WorkflowEnvironment, tmp_path: Path
) -> None:
    async def deed(call: Call, nth: int) -> Deed:
        return {
            ("design", 1, 1): Deed.RATE_LIMIT,
            ("design", 2, 1): Deed.FAIL,
            ("design", 3, 1): Deed.DROP,
            ("assess", 1, 1): Deed.CUT,
        }.get((call.phase, call.turn, nth), Deed.ANSWER)

    async with metered_house(temporal_env.client, tmp_path) as house:
        house.provider.deed = deed
        cycle, _ = await house.start()
        assert (await asyncio.wait_for(cycle.result(), 60)).outcome is Outcome.COMPLETED
        entries = await house.calls()

        assert differences(entries, house.provider.bills) == []
        lost = [(entry.phase, entry.total_tokens) for entry in entries if entry.state == "charged"]
        assert lost == [("design", BOUNDS.most), ("assess", BOUNDS.most)]
        assert len(house.provider.bills) == len(entries) == 12
        assert sum(entry.total_tokens for entry in entries) > house.provider.billed()


async def test_a_worker_that_is_killed_in_a_call_leaves_it_charged_and_another_goes_on(
    temporal_env: WorkflowEnvironment, tmp_path: Path
) -> None:
    done = asyncio.Event()

    async def deed(call: Call, nth: int) -> Deed:
        if (call.phase, call.turn, nth) == ("design", 4, 1):
            await done.wait()
        return Deed.ANSWER

    async with metered_house(temporal_env.client, tmp_path, staffed=False) as house:
        house.provider.deed = deed
        worker = await house.worker_process()
        await house.open_ledger(tokens=ENVELOPE)
        cycle, _ = await house.start()
        await house.provider.until(lambda: len(house.provider.calls) == 4)
        worker.kill()
        await worker.wait()
        async with house.working():
            assert (await asyncio.wait_for(cycle.result(), 60)).outcome is Outcome.COMPLETED
            done.set()
            await house.provider.until(house.provider.is_idle)
            entries = await house.calls()

    assert differences(entries, house.provider.bills) == []
    assert [entry.seq for entry in entries if entry.state == "charged"] == [4]
    assert [entry[:2] for entry in house.provider.turns_billed(cycle.id)].count(("design", 4)) == 2


async def test_a_worker_process_ends_with_the_pipe_to_its_parent(
    temporal_env: WorkflowEnvironment, tmp_path: Path
) -> None:
    async with metered_house(temporal_env.client, tmp_path, staffed=False) as house:
        worker = await house.worker_process()
        assert worker.stdin
        worker.stdin.close()
        assert await asyncio.wait_for(worker.wait(), 60) == 1


async def test_a_difference_between_the_books_and_the_bills_is_found(
    temporal_env: WorkflowEnvironment, tmp_path: Path
) -> None:
    async def deed(call: Call, nth: int) -> Deed:
        return Deed.DROP if (call.phase, call.turn, nth) == ("design", 3, 1) else Deed.ANSWER

    async with metered_house(temporal_env.client, tmp_path) as house:
        house.provider.deed = deed
        cycle, _ = await house.start()
        await asyncio.wait_for(cycle.result(), 60)
        entries, bills = await house.calls(), house.provider.bills

    settled, charged = entries[0], entries[2]
    more = bills[-1].model_copy(update={"call": bills[-1].call.model_copy(update={"ticket": 999})})

    def without(entry: Entry) -> list[Entry]:
        return [other for other in entries if other is not entry]

    def changed(entry: Entry, **changes: object) -> list[Entry]:
        return [other.model_copy(update=changes if other is entry else {}) for other in entries]

    dear = bills[2].model_copy(update={"usage": CallUsage(model=MODEL, output=ENVELOPE)})
    wrong: list[tuple[list[Entry], list[Bill]]] = [
        (without(settled), bills),
        (without(charged), bills),
        (changed(settled, output_tokens=settled.output_tokens + 1), bills),
        (changed(settled, cost=None), bills),
        (changed(settled, days=()), bills),
        (changed(charged, ceiling=charged.ceiling - 1), bills),
        (entries, bills[1:]),
        (entries, [*bills, more]),
        (entries, [*bills, bills[-1]]),
        (entries, [*bills[:2], dear, *bills[3:]]),
        ([*entries, settled], bills),
    ]
    assert differences(entries, bills) == []
    assert [n for n, (books, billed) in enumerate(wrong) if not differences(books, billed)] == []
