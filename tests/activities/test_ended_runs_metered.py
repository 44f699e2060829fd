"""Real cycles that end without a word, and what the ledger then has in its books, beside the provider's bills."""

import asyncio
from datetime import timedelta
from pathlib import Path

from temporalio.testing import WorkflowEnvironment

from domain.cycle import CallUsage
from domain.ledger import RunRef
from tests.metered.books import differences
from tests.metered.house import BOUNDS, ENVELOPE, metered_house
from tests.metered.provider import MODEL, Call, Deed

from .ended_cycles import sweep, until


async def test_a_cycle_terminated_in_a_call_after_lost_answers_and_a_top_up_is_booked_from_its_history(
    temporal_env: WorkflowEnvironment, tmp_path: Path
) -> None:
    done = asyncio.Event()

    async def deed(call: Call, nth: int) -> Deed:
        if (call.phase, call.turn) != ("assess", 2):
            return Deed.ANSWER
        if nth == 4:
            await done.wait()
        return Deed.DROP

    async with metered_house(temporal_env.client, tmp_path) as house:
        house.provider.deed = deed
        house.provider.usage = lambda call, nth: CallUsage(model=MODEL, input=nth, output=5_000 - nth)
        await house.open_ledger(tokens=ENVELOPE + BOUNDS.most + BOUNDS.closing, sweep_every=timedelta(seconds=1))
        cycle, _ = await house.start()
        provider = house.provider
        await provider.until(lambda: len(provider.under_way) == 1 and len(provider.bills) == 11)
        [holding] = (await house.balance()).active
        assert holding.granted == ENVELOPE + BOUNDS.most + BOUNDS.closing
        await cycle.terminate("as by a person in the Web UI")
        done.set()
        await provider.until(provider.is_idle)

        async def nobody_holds() -> bool:
            return not (await house.balance()).active

        await until(nobody_holds)
        entries = sorted(await house.calls(), key=lambda entry: entry.seq)
        assert differences(entries, house.provider.bills) == []
        assert [entry.state for entry in entries] == ["settled"] * 8 + ["charged"] * 4
        for day in await house.history():
            booked = sum(entry.total_tokens for entry in entries if day.day in entry.days)
            assert (day.settled_tokens + day.charged_tokens, day.held_tokens) == (booked, 0)
        run = RunRef(cycle_id=cycle.id, run_id=holding.run_id)
        [report] = await sweep(house.client, [run])
        assert report.calls is not None
        assert [(call.seq, call.phase, call.kind.value, call.usage.model, call.usd) for call in report.calls] == [
            (entry.seq, entry.phase, entry.state, entry.model, entry.cost) for entry in entries
        ]
        assert [call.at for call in report.calls[:11]] == [entry.timestamp for entry in entries[:11]]
