"""What a person's restart of the ledger reads in the history of a running cycle: the envelope that it holds."""

import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from random import Random
from typing import Any

import pytest
import pytest_asyncio
from temporalio.api.history.v1 import History, HistoryEvent
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from activities.ended_runs import HistoryUnreadable
from activities.open_envelopes import envelope_in
from domain.ledger import Account, Closed, Granted

from .ended_cycles import CAPS, CEILING, Cycle, Fate, House, ScriptedCycle, Step, ended_house, events, has, ref, until


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def house(temporal_env: WorkflowEnvironment) -> AsyncIterator[House]:
    """A house for all tests here."""
    async with ended_house(temporal_env.client) as house:
        yield house


async def held_by(cycle: Cycle, of: Sequence[HistoryEvent] | None = None) -> Account | None:
    """What the cycle holds by its history, or by these events of it."""
    return await envelope_in(await events(cycle) if of is None else of, ref(cycle), pydantic_data_converter)


async def at_rest(house: House, *steps: Step, told: int = 0) -> Cycle:
    """A cycle that has made its calls, and still holds its envelope."""
    cycle = await house.cycle(*steps, told=told)
    await until(lambda: cycle.query(ScriptedCycle.resting))
    return cycle


async def told(cycle: Cycle, signal: Callable[..., Any], message: Closed | Granted) -> None:
    """Signal, and wait until it stands in the history: the server keeps it back while the workflow has a task."""
    before = sum(event.HasField("workflow_execution_signaled_event_attributes") for event in await events(cycle))
    await cycle.signal(signal, message)
    await until(lambda: has(cycle, "workflow_execution_signaled", before + 1))


async def test_an_open_envelope_is_read_as_its_run_has_it(house: House) -> None:
    chance = Random(17)
    fates = [fate for fate in Fate if fate not in (Fate.HANGS, Fate.TIMED_OUT)]
    for _ in range(4):
        phases = chance.choices(list(CAPS), k=5)
        cycle = await at_rest(house, *(Step(phase=phase, fate=chance.choice(fates)) for phase in phases), told=2)
        account, envelope = await held_by(cycle), await cycle.query(ScriptedCycle.envelope)
        assert account is not None
        assert envelope is not None
        assert (account.run_id, account.key) == (envelope.run_id, envelope.key)
        assert (account.next_seq, account.granted.tokens) == (envelope.calls + 1, sum(CAPS.values()))
        assert account.settled.tokens == sum(purse.settled for purse in envelope.purses.values())
        assert account.charged.tokens == sum(purse.charged for purse in envelope.purses.values())
        assert account.settled.usd + account.charged.usd == envelope.spent_usd
        assert account.unspent.tokens == sum(envelope.free(phase) for phase in CAPS)
        await cycle.terminate()
        assert await held_by(cycle) is None


async def test_a_call_in_flight_is_no_record_yet_and_stays_held(house: House) -> None:
    cycle = await house.cycle(Step(), Step(fate=Fate.HANGS))
    await until(lambda: has(cycle, "activity_task_scheduled", 2))
    account, envelope = await held_by(cycle), await cycle.query(ScriptedCycle.envelope)
    assert account is not None
    assert envelope is not None
    assert account.next_seq == 2
    assert account.unspent.tokens == sum(envelope.free(phase) for phase in CAPS) + CEILING
    await cycle.terminate()


async def test_no_beginning_of_a_history_tells_of_more_calls_than_the_whole(house: House) -> None:
    cycle = await at_rest(house, Step(), Step(fate=Fate.LOST), Step(), told=3)
    whole, made = await events(cycle), 0
    granted = next(event.event_id for event in whole if event.HasField("workflow_execution_signaled_event_attributes"))
    for end in range(1, len(whole) + 1):
        account = await held_by(cycle, whole[:end])
        assert (account is not None) == (end >= granted)
        if account:
            assert made <= account.next_seq - 1 <= 3
            made = account.next_seq - 1
    assert made == 3
    await cycle.terminate()


async def test_an_envelope_whose_close_is_confirmed_is_not_open(house: House) -> None:
    cycle = await at_rest(house, Step())
    account = await held_by(cycle)
    assert account is not None
    for key in ("another", account.key):
        assert await held_by(cycle) == account
        receipt = Closed(key=key, cycle_id=cycle.id, run_id=account.run_id)
        await told(cycle, ScriptedCycle.closed, receipt)
    assert await held_by(cycle) is None
    await cycle.terminate()


async def test_grants_that_the_run_did_not_ask_for_do_not_count(house: House) -> None:
    """As those of its earlier run, in the history of a cycle that was reset."""
    cycle = await at_rest(house, Step())
    account = await held_by(cycle)
    assert account is not None
    for key, run_id in ((account.key, "another"), (str(uuid.uuid4()), account.run_id)):
        await told(cycle, ScriptedCycle.granted, Granted(key=key, cycle_id=cycle.id, run_id=run_id, tokens=7))
    assert await held_by(cycle) == account
    await cycle.terminate()


@pytest.mark.parametrize(("said", "instead"), [('"seq":1', '"seq":2'), ('"kind":"settled"', '"kind":"charged"')])
async def test_a_history_whose_turns_do_not_tell_of_a_record_that_was_sent_is_unreadable(
    said: str, instead: str, house: House
) -> None:
    cycle = await at_rest(house, Step(), told=1)
    history = History(events=await events(cycle))
    [record] = [
        event.signal_external_workflow_execution_initiated_event_attributes.input.payloads[0]
        for event in history.events
        if event.signal_external_workflow_execution_initiated_event_attributes.signal_name == "record"
    ]
    assert said.encode() in record.data
    record.data = record.data.replace(said.encode(), instead.encode())
    with pytest.raises(HistoryUnreadable, match="has sent record"):
        await held_by(cycle, list(history.events))
    await cycle.terminate()
