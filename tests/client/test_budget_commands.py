"""`research budget` where cycles were billed, where the ledger answers otherwise, and where it was ended."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from client.main import run
from domain.cycle import Outcome
from domain.ledger import budget_workflow_id
from tests.metered.house import metered_house
from workflows.budget import BudgetWorkflow

from .another_ledger import AnotherLedger, Answers, consistent, instead
from .conftest import Command, Ran


@dataclass(frozen=True)
class Billed:
    """A server on which one cycle of ten calls has ended, under the ledger that everybody shares."""

    env: WorkflowEnvironment
    flags: tuple[str, ...]
    queue: str
    cycle_id: str
    truth: Answers

    async def answers(self, answers: Answers) -> None:
        """The ledger answers so from now on."""
        await instead(self.env.client, budget_workflow_id(None), f"{self.queue}-another", answers)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def billed(quiet_env: WorkflowEnvironment, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Billed]:
    """With workers for the real ledger and for one that answers otherwise."""
    client, root = quiet_env.client, tmp_path_factory.mktemp("billed")
    address = client.service_client.config.target_host
    flags = ("--home", str(root), "--address", address, "--namespace", client.namespace)
    async with metered_house(client, root) as house:
        cycle, _ = await house.start(budget_scope=None)
        assert (await asyncio.wait_for(cycle.result(), 60)).outcome is Outcome.COMPLETED
        ledger: WorkflowHandle[Any, Any] = client.get_workflow_handle(budget_workflow_id(None))
        truth = Answers(
            entries=await ledger.query(BudgetWorkflow.entries),
            history=await ledger.query(BudgetWorkflow.history),
            status=await ledger.query(BudgetWorkflow.status),
        )
        async with Worker(client, task_queue=f"{house.scope}-another", workflows=[AnotherLedger]):
            yield Billed(quiet_env, flags, house.scope, cycle.id, truth)


@pytest.fixture
def research(billed: Billed, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command on that server."""
    monkeypatch.setenv("RESEARCH_TASK_QUEUE", billed.queue)

    def call(*arguments: str) -> Ran:
        capsys.readouterr()
        code = run([*billed.flags, *arguments])
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return call


async def test_the_days_json_has_every_figure_of_the_ledgers_status(billed: Billed, research: Command) -> None:
    shown = await asyncio.to_thread(research, "budget", "-o", "json")

    assert (shown.code, shown.json) == (0, billed.truth.status.model_dump(mode="json"))


async def test_a_day_that_verifies_is_told_as_equal_and_is_exit_code_0(billed: Billed, research: Command) -> None:
    told = await asyncio.to_thread(research, "budget", "verify")
    found = await asyncio.to_thread(research, "budget", "verify", "-o", "json")

    assert told.code == found.code == 0
    assert "(UTC): equal, call by call\n" in told.out
    assert "10 calls in 1 run of cycles" in told.out
    assert (found.json["complete"], found.json["settled_tokens"]) == (True, billed.truth.status.tokens_settled)


@pytest.mark.parametrize("day", ["tomorrow", (datetime.now(UTC) + timedelta(days=2)).date().isoformat()])
async def test_a_day_that_is_none_yet_is_exit_code_2(research: Command, day: str) -> None:
    told = await asyncio.to_thread(research, "budget", "verify", "--day", day)

    assert (told.code, told.out) == (2, "")
    assert "Traceback" not in told.err


async def test_a_difference_is_told_with_both_figures_and_is_exit_code_1(billed: Billed, research: Command) -> None:
    first, second, *rest = billed.truth.entries.entries
    more = second.model_copy(update={"input_tokens": second.input_tokens + 7, "total_tokens": second.total_tokens + 7})
    await billed.answers(consistent(billed.truth, [more, *rest]))

    told = await asyncio.to_thread(research, "budget", "verify")
    found = await asyncio.to_thread(research, "budget", "verify", "-o", "json")

    assert told.code == found.code == 1
    assert "(UTC): 2 differences\n" in told.out
    rows = [" ".join(line.split()) for line in told.out.splitlines()]
    total, booked = f"{second.total_tokens:,}", f"{second.total_tokens + 7:,}"
    assert f"changed {billed.cycle_id} 2 design input tokens {second.input_tokens:,} {more.input_tokens:,}" in rows
    assert f"total tokens {total} {booked}" in rows
    missing = f"missing {billed.cycle_id} 1 design settled tokens {first.total_tokens:,} - the ledger was told of it"
    assert missing in rows
    assert {(one["kind"], one["seq"]) for one in found.json["differences"]} == {("changed", 2), ("missing", 1)}


async def test_an_ended_ledger_is_told_as_ended_and_one_in_its_place_counts_the_day_as_spent(
    billed: Billed, research: Command
) -> None:
    await billed.answers(billed.truth)
    await asyncio.to_thread(research, "budget")
    await billed.env.client.get_workflow_handle(budget_workflow_id(None)).terminate()

    asked = [("budget",), ("budget", "set", "--tokens", "7"), ("budget", "pause", "x")]
    ended = [await asyncio.to_thread(research, *words) for words in asked]
    entries = await asyncio.to_thread(research, "budget", "entries", "-o", "json")
    restarted = await asyncio.to_thread(research, "budget", "restart", "-o", "json")
    again = await asyncio.to_thread(research, "budget", "restart", "-o", "json")
    verified = await asyncio.to_thread(research, "budget", "verify", "-o", "json")

    assert [told.code for told in ended] == [3, 3, 3]
    assert all("was ended" in told.err and "`research budget restart`" in told.err for told in ended)
    assert len(entries.json["entries"]) == 10
    assert (restarted.code, restarted.json["tokens_remaining"]) == (0, 0)
    assert f"{datetime.now(UTC):%Y-%m-%d}" in restarted.err
    assert "No running cycle held anything." in restarted.err
    assert (again.code, again.err, again.json) == (0, "a ledger runs: nothing was done\n", restarted.json)
    assert (verified.code, verified.json["equal"]) == (0, True)
    assert [(one["reason"], one["calls"]) for one in verified.json["unsaid"]] == [("counted_as_spent", 10)]
