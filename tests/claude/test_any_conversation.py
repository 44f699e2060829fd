"""Whatever the API does, in whatever order: no bill passes the ledger, no answer is asked for again, every end has a
name."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from temporalio.client import WorkflowFailureError
from temporalio.testing import WorkflowEnvironment

from client.transcript import transcript_of
from domain.cycle import Outcome
from domain.errors import ErrorCode

from .fake_api import Asked, Bill, Fault, Refuses, Says, thinks, tool
from .house import SUBMIT_ASSESSMENT, SUBMIT_STRATEGY, ClaudeHouse, Cycle, claude_house, unbooked
from .test_at_once import ENVELOPE, FREE, LOST, number_of, of_its_own

Answer = Says | Refuses
Behaviour = Callable[[Asked], Answer]


def well(asked: Asked) -> Says:
    """What ends the phase."""
    return of_its_own(asked, Says(blocks=(thinks(), SUBMIT_ASSESSMENT if asked.phase == "assess" else SUBMIT_STRATEGY)))


LOOK = tool("get_indicator", name="rsi")


def always(answer: Answer) -> Behaviour:
    return lambda asked: answer


def with_(**changes: Any) -> Behaviour:
    """A look at something, with this about it."""
    return always(replace(Says(blocks=(thinks("hm"), LOOK)), **changes))


NAMED = {"hypothesis": "h" * 50, "tests_hypothesis": None}
ODD: tuple[Behaviour, ...] = (
    with_(),
    always(Says()),
    always(Says(blocks=({"type": "text", "text": ""},))),
    always(Says(blocks=({"type": "text", "text": "long " * 60_000},))),
    with_(blocks=(tool("run_shell", command="rm -rf /"),)),
    with_(blocks=(tool("submit_strategy", name="../../etc/passwd", yaml="a: [", **NAMED),)),
    with_(blocks=(tool("submit_assessment", verdict="excellent"),)),
    with_(blocks=({**LOOK, "input": '{"name": '},)),
    with_(blocks=({**LOOK, "input": "[1, 2]"},)),
    with_(blocks=({**LOOK, "id": "no id"},)),
    with_(blocks=tuple({**LOOK, "id": f"toolu_{number}"} for number in range(12))),
    with_(blocks=({"type": "of_tomorrow", "data": "?"}, LOOK)),
    with_(stop_reason="max_tokens"),
    with_(stop_reason="pause_turn"),
    with_(stop_reason="bored"),
    with_(fault=Fault.NO_USAGE),
    with_(fault=Fault.HALF_USAGE),
    with_(usage={"output_tokens": 45_000}),
    lambda asked: Says(blocks=(thinks(), LOOK), usage={"input_tokens": 2 * asked.tokens}),
)
"""Answers that are billed, and after which the conversation goes on."""

LAST: tuple[Behaviour, ...] = (
    with_(stop_reason="refusal"),
    with_(stop_reason="model_context_window_exceeded"),
    always(Refuses(400, "invalid_request_error", "no such field")),
    always(Refuses(401, "authentication_error")),
    always(Refuses(402, "billing_error")),
    always(Refuses(413, "request_too_large")),
    always(Refuses(429, "rate_limit_error", code="enforced_spend_limit_reached")),
)
"""What no further turn mends."""

ENDS = {
    ErrorCode.DESIGN_INVALID,
    ErrorCode.DESIGN_REFUSED,
    ErrorCode.ASSESS_REFUSED,
    ErrorCode.ANSWER_LOST,
    ErrorCode.ANTHROPIC_REQUEST,
    ErrorCode.ANTHROPIC_AUTH,
    ErrorCode.ANTHROPIC_SPEND_LIMIT,
}
NO_END = ("assess came to no end", "assess has used", "The assess conversation has filled")
"""How an assessment is told that came to none: there is no code of its own for it."""


def drawn(chance: Random) -> list[Behaviour]:
    """What a cycle meets, request by request."""
    kinds = chance.choices((ODD, [always(one) for one in FREE], [always(one) for one in LOST]), (5, 2, 2), k=10)
    met = [chance.choice(kind) for kind in kinds[: chance.randrange(11)]]
    return [*met, chance.choice(LAST)] if chance.random() < 0.25 else met


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Three conversations in the usual run, three hundred with --chaos."""
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize(
            ("number", "seed"), [(10, seed) for seed in range(30)] if metafunc.config.getoption("chaos") else [(3, 10)]
        )


async def test_any_conversation_is_booked_is_not_had_twice_and_ends_by_name(
    temporal_env: WorkflowEnvironment, tmp_path: Path, number: int, seed: int
) -> None:
    chance = Random(seed)
    met = [drawn(chance) for _ in range(number)]

    async def script(asked: Asked) -> Answer:
        waiting = met[number_of(asked)]
        return waiting.pop(0)(asked) if waiting else well(asked)

    async with claude_house(temporal_env.client, tmp_path) as house:
        await house.open_ledger(tokens=20 * number * ENVELOPE, active=number)
        house.api.script = script
        cycles = [await house.start(brief=f"research number {each}") for each in range(number)]
        await asyncio.gather(*(_ended(cycle) for cycle in cycles))
        await house.api.until(lambda: house.api.under_way == 0)
        bills: dict[int, list[Bill]] = defaultdict(list)
        for bill in house.api.bills:
            bills[number_of(bill.asked)].append(bill)
        for each, cycle in enumerate(cycles):
            await _keeps_what_is_promised(house, cycle.id, bills[each])
        balance = await house.balance()
    assert (balance.tokens_held, balance.active, balance.waiting) == (0, (), ())
    assert balance.tokens_used_today >= house.api.billed


async def _ended(cycle: Cycle) -> None:
    with suppress(WorkflowFailureError):
        await asyncio.wait_for(cycle.result(), 120)


async def _keeps_what_is_promised(house: ClaudeHouse, cycle_id: str, bills: list[Bill]) -> None:
    status = await house.status(house.client.get_workflow_handle(cycle_id))
    entries = [entry for entry in await house.entries() if entry.operation_id == cycle_id]
    turns = (await transcript_of(house.client, cycle_id)).turns

    assert unbooked(entries, bills) == []
    booked, billed = sum(entry.total_tokens for entry in entries), sum(bill.usage.total for bill in bills)
    assert status.tokens == booked >= billed
    if all(entry.state == "settled" for entry in entries):
        assert booked == billed

    begun = [(turn.phase == "assess", turn.turn) for turn in turns]
    assert begun == sorted(begun)
    recorded = [number for number, turn in enumerate(turns) if turn.messages]
    assert [number for number in recorded if begun[number] in begun[number + 1 :]] == []

    if status.outcome is not Outcome.COMPLETED:
        assert status.outcome is Outcome.FAILED
        assert status.failure
        code, message = status.failure.code, status.failure.message
        assert code in ENDS or (code is ErrorCode.INTERNAL_ERROR and message.startswith(NO_END))
