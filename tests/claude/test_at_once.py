"""Many cycles by Claude at once: under a limit that is not enough for all, and while the API fails now and then."""

import asyncio
import json
import re
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from temporalio.testing import WorkflowEnvironment

from domain.cycle import Outcome
from domain.results import Verdict

from .fake_api import Asked, Fault, Refuses, Says
from .house import SUBMIT_ASSESSMENT, SUBMIT_STRATEGY, claude_house, unbooked, usual
from .test_cycle_claude import TURNS

ENVELOPE = 120_000
"""Tokens that a cycle holds while it runs."""

SOON = (("retry-after-ms", "5"),)
FREE: tuple[Says | Refuses, ...] = (
    Refuses(529, "overloaded_error", headers=SOON),
    Refuses(500, "api_error", headers=SOON),
    Refuses(429, "rate_limit_error", headers=SOON),
)
LOST: tuple[Says | Refuses, ...] = (
    *(Says(fault=fault) for fault in (Fault.DROP, Fault.CUT, Fault.SHORT, Fault.HALF, Fault.ERROR, Fault.HTML)),
    Refuses(502, body="<html>Bad Gateway</html>"),
)


def number_of(asked: Asked) -> int:
    """Of the cycle that asks: its brief has it, and the strategy that is made of that."""
    said = json.dumps(asked.body["messages"])
    brief, strategy = re.search(r"research number (\d+)", said), re.search(r"period: (\d+)", said)
    if brief:
        return int(brief[1])
    assert strategy
    return int(strategy[1]) - 10


def of_its_own(asked: Asked, says: Says) -> Says:
    """The same with another strategy for each cycle."""
    blocks = json.dumps(says.blocks).replace("period: 14", f"period: {10 + number_of(asked)}")
    return replace(says, blocks=tuple(json.loads(blocks)))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A few cycles in the usual run; with --chaos twenty under a limit for twelve, and ten by twenty chances."""
    chaos = metafunc.config.getoption("chaos")
    if "enough_for" in metafunc.fixturenames:
        metafunc.parametrize(("number", "enough_for"), [(20, 12) if chaos else (5, 3)])
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize(("number", "seed"), [(10, seed) for seed in range(20)] if chaos else [(2, 7)])


async def test_cycles_under_a_limit_that_is_not_enough_bill_no_more_and_what_is_designed_is_assessed(
    temporal_env: WorkflowEnvironment, tmp_path: Path, number: int, enough_for: int
) -> None:
    limit = enough_for * ENVELOPE + ENVELOPE // 2
    begun = asyncio.Event()

    async def script(asked: Asked) -> Says | Refuses:
        block = SUBMIT_ASSESSMENT if asked.phase == "assess" else SUBMIT_STRATEGY
        usage = {"input_tokens": 12_000, "output_tokens": 7_000}
        return of_its_own(asked, Says(blocks=(block,), usage=usage, before=begun.wait))

    async with claude_house(temporal_env.client, tmp_path) as house:
        await house.open_ledger(tokens=limit, active=number)
        house.api.script = script
        cycles = [await house.start(brief=f"research number {each}") for each in range(number)]
        begun.set()
        results = await asyncio.gather(*(asyncio.wait_for(cycle.result(), 120) for cycle in cycles))
    outcomes = [result.outcome for result in results]
    assert outcomes == [Outcome.COMPLETED] * enough_for + [Outcome.REFUSED] * (number - enough_for)
    assert sorted(bill.asked.phase for bill in house.api.bills) == ["assess"] * enough_for + ["design"] * enough_for
    assert house.api.billed == sum(result.tokens for result in results) <= limit


async def test_cycles_come_to_their_end_through_whatever_the_api_does_and_are_booked(
    temporal_env: WorkflowEnvironment, tmp_path: Path, number: int, seed: int
) -> None:
    chance = Random(seed)
    met: dict[tuple[int, tuple[str, int]], list[Says | Refuses]] = {
        (each, turn): [
            *chance.choices(LOST, k=chance.choice((0, 0, 0, 1, 3))),
            *chance.choices(FREE, k=chance.choice((0, 0, 1, 4))),
        ]
        for each in range(number)
        for turn in TURNS
    }
    for faults in met.values():
        chance.shuffle(faults)
    expected = sum(map(len, met.values())) + number * len(TURNS)

    async def script(asked: Asked) -> Says | Refuses:
        faults = met[number_of(asked), (asked.phase, asked.turn)]
        return faults.pop() if faults else of_its_own(asked, usual(asked))

    async with claude_house(temporal_env.client, tmp_path) as house:
        await house.open_ledger(tokens=10 * number * ENVELOPE, active=number)
        house.api.script = script
        cycles = [await house.start(brief=f"research number {each}") for each in range(number)]
        results = await asyncio.gather(*(asyncio.wait_for(cycle.result(), 120) for cycle in cycles))
        await house.api.until(lambda: house.api.under_way == 0)
        entries = await house.entries()
    bills = defaultdict(list)
    for bill in house.api.bills:
        bills[number_of(bill.asked)].append(bill)

    assert {(result.outcome, result.verdict) for result in results} == {(Outcome.COMPLETED, Verdict.POOR)}
    assert len(house.api.asked) == expected
    for each, (cycle, result) in enumerate(zip(cycles, results, strict=True)):
        own = [entry for entry in entries if entry.operation_id == cycle.id]
        answered = [(bill.asked.phase, bill.asked.turn) for bill in bills[each] if not bill.lost]
        assert answered == TURNS
        assert unbooked(own, bills[each]) == []
        assert sum(entry.total_tokens for entry in own) == result.tokens
