"""Whole cycles that Claude designs and assesses: the real SDK, workflows, ledger and bars; the API is a fake."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment

import worker
from client.transcript import transcript_of
from domain.cycle import Outcome
from domain.results import Verdict
from domain.strategy import dump_strategy, load_strategy
from engine.embedded import EmbeddedEngine
from engine.interface import Places
from engine.pool import JobPool

from .fake_api import MODEL, Asked, Refuses, Says
from .house import HYPOTHESIS, YAML, claude_house, unbooked, usual


async def test_a_cycle_is_designed_and_assessed_by_claude_and_booked_to_the_token(
    temporal_env: WorkflowEnvironment, tmp_path: Path
) -> None:
    """On real bars, with the real engine."""
    written = load_strategy(YAML).strategy.model_copy(update={"name": "claude_range", "hypothesis": HYPOTHESIS})
    places = Places(artifacts=tmp_path / "artifacts", strategies=tmp_path / "strategies", data=tmp_path / "data")
    async with AsyncExitStack() as stack:
        house = await stack.enter_async_context(claude_house(temporal_env.client, tmp_path, staffed=False))
        pool = stack.enter_context(JobPool(1, tmp_path / "compiled"))
        await stack.enter_async_context(house.working(EmbeddedEngine(pool, places)))
        cycle = await house.start()
        result = await asyncio.wait_for(cycle.result(), 120)
        status, entries = await house.status(cycle), await house.entries()

        assert (result.outcome, result.verdict, status.hypothesis) == (Outcome.COMPLETED, Verdict.POOR, HYPOTHESIS)
        assert result.strategy
        assert (places.strategies / result.strategy.path).read_text() == dump_strategy(written)
        assert [(one.asked.phase, one.asked.turn) for one in house.api.bills] == [
            *(("design", turn) for turn in (1, 2, 3)),
            *(("assess", turn) for turn in (1, 2)),
        ]
        assert unbooked(entries, house.api.bills) == []
        assert result.tokens == house.api.billed
        assert {entry.model for entry in entries} == {MODEL}
        assert all(entry.cost for entry in entries)
        assert house.store.get(cycle.id)

        said = (await transcript_of(house.client, cycle.id)).turns
        assert [(turn.phase, turn.turn, turn.usage) for turn in said] == [
            (one.asked.phase, one.asked.turn, one.usage) for one in house.api.bills
        ]
        assert [one.asked.body["messages"][-1]["content"] for one in house.api.bills[1:3]] == [
            list(turn.messages[-1].blocks) for turn in said[:2]
        ]


TURNS = [("design", 1), ("design", 2), ("design", 3), ("assess", 1), ("assess", 2)]
MOMENTS = ["before", "during", "after"]


async def killed_at(
    client_env: WorkflowEnvironment, root: Path, turn: tuple[str, int], moment: str
) -> list[tuple[str, int]]:
    """A cycle whose worker is killed once, in this turn. The turns that were billed, in order."""
    async with claude_house(client_env.client, root, staffed=False) as house:
        process = await house.worker_process()
        dead = asyncio.Event()

        def kill() -> None:
            if not dead.is_set():
                process.kill()
                dead.set()

        async def killed() -> None:
            kill()
            await process.wait()

        async def script(asked: Asked) -> Says | Refuses:
            says = usual(asked)
            if dead.is_set() or (asked.phase, asked.turn) != turn:
                return says
            if moment == "before":
                await killed()
                return Refuses(503)
            return replace(says, before=killed) if moment == "during" else replace(says, after=kill)

        house.api.script = script
        cycle = await house.start()
        await asyncio.wait_for(dead.wait(), 60)
        async with house.working():
            result = await asyncio.wait_for(cycle.result(), 90)
            await house.api.until(lambda: house.api.under_way == 0)
            entries = await house.entries()

        assert result.outcome is Outcome.COMPLETED
        assert house.api.billed <= sum(entry.total_tokens for entry in entries) == result.tokens
        assert [entry.phase for entry in entries if entry.state == "charged"] in ([], [turn[0]])
        assert sum(entry.total_tokens for entry in entries if entry.state == "settled") <= house.api.billed
        return [(bill.asked.phase, bill.asked.turn) for bill in house.api.bills]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One death a day, in mid-call; with --chaos one in every turn, before its call, in it and right after it."""
    if "moment" in metafunc.fixturenames:
        every = [(turn, moment) for turn in TURNS for moment in MOMENTS]
        cases = every if metafunc.config.getoption("chaos") else [(("design", 2), "during")]
        metafunc.parametrize(("turn", "moment"), cases, ids=[f"{moment}-{turn[0]}-{turn[1]}" for turn, moment in cases])


async def test_whenever_a_worker_is_killed_its_call_is_charged_and_no_recorded_turn_is_asked_again(
    temporal_env: WorkflowEnvironment, tmp_path: Path, turn: tuple[str, int], moment: str
) -> None:
    turns = await killed_at(temporal_env, tmp_path, turn, moment)
    again = [each for number, each in enumerate(turns) if each in turns[:number]]
    assert again in ([[turn]] if moment == "during" else [[], [turn]])
    assert sorted(set(turns)) == sorted(TURNS)


async def test_a_worker_that_is_shut_down_in_mid_call_leaves_it_charged_and_another_goes_on(
    temporal_env: WorkflowEnvironment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "SHUTDOWN_PATIENCE", timedelta(seconds=0.2))

    async def script(asked: Asked) -> Says | Refuses:
        says = usual(asked)
        return replace(says, before=house.api.released.wait) if asked.nth == 2 else says

    async with claude_house(temporal_env.client, tmp_path, staffed=False) as house:
        house.api.script = script
        async with house.working():
            cycle = await house.start()
            await house.api.until(lambda: len(house.api.asked) == 2)
        async with house.working():
            result = await asyncio.wait_for(cycle.result(), 60)
            house.api.released.set()
            await house.api.until(lambda: house.api.under_way == 0)
            entries = await house.entries()

    assert result.outcome is Outcome.COMPLETED
    assert [entry.state for entry in entries] == ["settled", "charged", *["settled"] * 4]
    assert house.api.billed < sum(entry.total_tokens for entry in entries)
    assert len(house.api.bills) == 6
