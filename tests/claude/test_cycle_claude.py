"""Cycles by Claude whose worker dies or is shut down in mid-conversation."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment

import worker
from domain.cycle import Outcome

from .fake_api import Asked, Refuses, Says
from .house import claude_house, usual

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
