"""A cycle that is not admitted: why, with every figure, and the command that mends it; or its place in the queue."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from temporalio.client import Client

from client.budget import require_status
from client.cycles import fetch
from client.looks import LazyRecords
from client.main import run
from domain.cycle import Phase
from domain.ledger import BudgetStatus, LimitsChange, budget_workflow_id

from .conftest import Command, Place, Ran

METERED = ("start", "--designer", "claude")


@pytest.fixture
async def offering(
    place: Place, temporal_env, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Command]:
    """`research` on the running house, with a designer that needs tokens and settings that allow 1,000 a day."""
    monkeypatch.setenv("AGENT_DAILY_TOKEN_BUDGET", "1000")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "no-key-and-never-sent")

    def call(*arguments: str) -> Ran:
        capsys.readouterr()
        code = run([*place.flags, *arguments])
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    yield call
    ledger = temporal_env.client.get_workflow_handle(budget_workflow_id(None))
    for update in ("configure", "set_limits"):
        await ledger.execute_update(update, LimitsChange.to(place.settings.limits), result_type=BudgetStatus)


async def test_a_cycle_that_the_settings_limit_does_not_allow_is_refused_before_any_call(
    offering: Command, place: Place, temporal_env
) -> None:
    ran = await asyncio.to_thread(offering, *METERED, "-o", "json")

    error = ran.json["error"]
    admission = error["started"]["admission"]
    needed = place.settings.design_token_cap + place.settings.assess_token_cap
    assert (ran.code, error["code"]) == (3, "budget_exhausted")
    assert (admission["limit"], admission["used"], admission["remaining"]) == (1_000, 0, 1_000)
    assert admission["deficit"] == needed - 1_000
    assert (await require_status(temporal_env.client)).invocations_today == 0
    assert "1000 tokens a day (it was 500000)" in ran.err


async def test_a_refusal_for_want_of_funds_is_told_with_every_figure_and_the_reset(offering: Command) -> None:
    ran = await asyncio.to_thread(offering, *METERED)

    assert (ran.code, ran.out) == (3, "")
    assert "the day's budget is short of 119,000 tokens (limit 1,000, used 0, remaining 1,000); it resets 20" in ran.err


async def test_the_command_that_a_refusal_names_makes_room(offering: Command, temporal_env) -> None:
    refused = await asyncio.to_thread(offering, *METERED, "-o", "json")
    command = re.search(r"`research (budget set [^`]*)`", refused.json["error"]["next"])
    assert command is not None

    mended = await asyncio.to_thread(offering, *command[1].split(), "-o", "json")

    admission = refused.json["error"]["started"]["admission"]
    assert mended.json["tokens_remaining"] == admission["deficit"] + admission["remaining"]


async def phase_of(place: Place, client: Client, cycle_id: str) -> Phase:
    return (await fetch(client, LazyRecords(place.settings), cycle_id)).status.phase


@pytest.fixture
async def behind(reaching: Command) -> AsyncIterator[list[str]]:
    """Cycles that wait behind another one; they leave the queue before that one ends."""
    cycle_ids: list[str] = []
    yield cycle_ids
    for cycle_id in reversed(cycle_ids):
        await asyncio.to_thread(reaching, "cancel", cycle_id)


@pytest.fixture
async def taken(reaching: Command, long: Path) -> AsyncIterator[str]:
    """A cycle that holds the only place until the test is over."""
    ran = await asyncio.to_thread(reaching, "start", "--designer", "offline", "--strategy", str(long), "-o", "json")
    yield ran.json["cycle_id"]
    await asyncio.to_thread(reaching, "cancel", ran.json["cycle_id"])


async def test_a_cycle_beside_an_active_one_is_refused_with_its_id(reaching: Command, taken: str) -> None:
    told = await asyncio.to_thread(reaching, "start", "--designer", "offline")
    asked = await asyncio.to_thread(reaching, "start", "--designer", "offline", "-o", "json")

    assert (told.code, asked.code) == (8, 8)
    assert f"was refused: {taken} is active" in told.err
    assert f"`research cancel {taken}` ends it" in told.err
    assert asked.json["error"]["code"] == "active_operation_exists"
    assert asked.json["error"]["started"]["admission"]["active_ids"] == [taken]


async def test_who_queues_waits_for_its_turn_in_the_order_of_coming(
    reaching: Command, place: Place, temporal_env, taken: str, behind: list[str], long: Path
) -> None:
    queue = ["start", "--designer", "offline", "--strategy", str(long), "--queue", "--on-budget-exhausted", "fail"]
    second = await asyncio.to_thread(reaching, *queue, "-o", "json")
    behind.append(second.json["cycle_id"])
    third = await asyncio.to_thread(reaching, *queue)

    admission = second.json["admission"]
    assert (second.code, admission["state"], admission["position"]) == (0, "queued", 1)
    assert (admission["reason"], admission["active_ids"]) == ("active_operation_exists", [taken])
    found = re.match(r"(cycle-\S+) is in the queue, place 2: ", third.out)
    assert found is not None
    behind.append(found[1])

    await asyncio.to_thread(reaching, "cancel", taken)
    async with asyncio.timeout(30):
        while (await phase_of(place, temporal_env.client, second.json["cycle_id"])) is Phase.QUEUED:
            await asyncio.sleep(0.05)
    waiting = (await fetch(temporal_env.client, LazyRecords(place.settings), found[1])).status
    assert (waiting.phase, waiting.request.on_budget_exhausted) == (Phase.QUEUED, "fail")
