"""Limits that the settings name reach a ledger that runs; what a person set stands otherwise."""

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal

import pytest
from temporalio.client import Client

from client.budget import require_status, set_limits
from client.limits import tell_limits
from domain.ledger import BudgetInput, BudgetStatus, Limits, LimitsChange, budget_workflow_id
from settings import Settings
from worker import Role, working
from workflows.budget import BudgetWorkflow

from .conftest import Place


async def tell(client: Client, **named: object) -> str | None:
    """Tell the ledger so, as a worker's boot or a start does."""
    return await tell_limits(client, LimitsChange.model_validate(named))


async def limits(client: Client) -> tuple[int, Decimal | None, int]:
    status = await require_status(client)
    return status.daily_budget, status.daily_usd_budget, status.max_active_cycles


@pytest.fixture
async def ledger(place: Place, temporal_env) -> AsyncIterator[Client]:
    """A client of the house whose ledger has its usual limits again after the test."""
    yield temporal_env.client
    handle = temporal_env.client.get_workflow_handle(budget_workflow_id(None))
    for update in ("configure", "set_limits"):
        await handle.execute_update(update, LimitsChange.to(place.settings.limits), result_type=BudgetStatus)


async def test_what_changed_is_told_with_the_command_that_brings_the_former_back(ledger: Client) -> None:
    told = await tell(ledger, tokens_per_day=300_000, usd_per_day=Decimal("2.50"))

    assert await limits(ledger) == (300_000, Decimal("2.50"), 1)
    assert told is not None
    assert "300000 tokens a day (it was 500000), 2.50 dollars a day (it was none)" in told
    assert told.endswith("`research budget set --tokens 500000 --usd none`")


async def test_what_a_person_set_stands_until_the_settings_name_another_limit(ledger: Client) -> None:
    await tell(ledger, tokens_per_day=301_000)
    await set_limits(ledger, LimitsChange(tokens_per_day=350_000))

    assert await tell(ledger, tokens_per_day=301_000) is None
    assert (await limits(ledger))[0] == 350_000
    assert await tell(ledger, tokens_per_day=302_000) is not None
    assert (await limits(ledger))[0] == 302_000


async def test_settings_that_name_no_limit_say_nothing(ledger: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AGENT_DAILY_TOKEN_BUDGET", raising=False)
    await set_limits(ledger, LimitsChange(tokens_per_day=350_000))

    assert await tell_limits(ledger, Settings().named_limits) is None
    assert (await limits(ledger))[0] == 350_000


async def test_a_worker_that_boots_with_other_limits_brings_them_and_logs_it(
    ledger: Client, place: Place, tmp_path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "worker")
    settings = place.settings.model_copy(update={"home": tmp_path, "task_queue": "another", "max_active_cycles": 3})

    async with working(ledger, settings, Role.ORCHESTRATOR), asyncio.timeout(20):
        while "3 cycles at once (it was 1)" not in caplog.text:
            await asyncio.sleep(0.05)

    assert (await limits(ledger))[2] == 3


async def test_without_a_worker_the_settings_limits_are_not_told_and_nothing_is_started(
    reaching, ledger: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_DAILY_TOKEN_BUDGET", "1000")
    monkeypatch.setenv("RESEARCH_TASK_QUEUE", "nobody-home")
    monkeypatch.setattr("client.cycles.WORKER_PATIENCE", 0.3)

    ran = await asyncio.to_thread(reaching, "start", "--designer", "offline")

    assert (ran.code, "nothing was started" in ran.err) == (6, True)
    assert (await limits(ledger))[0] == 500_000


async def test_where_no_ledger_runs_yet_there_is_nobody_to_tell(elsewhere: Client) -> None:
    assert await tell(elsewhere, tokens_per_day=1_000) is None


async def test_a_ledger_that_does_not_answer_is_told_and_no_error(
    elsewhere: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("client.budget.PATIENCE", timedelta(seconds=0.3))
    await elsewhere.start_workflow(
        BudgetWorkflow.run, BudgetInput(limits=Limits()), id=budget_workflow_id(None), task_queue="nobody-home"
    )

    told = await tell(elsewhere, tokens_per_day=1_000)

    assert told is not None
    assert "have not reached the budget ledger: no worker answers" in told
