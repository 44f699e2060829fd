"""The rows of the error table, and those that a model's calls bring about."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from claude.call import PATIENCE
from domain.cycle import CallUsage, OnBudgetExhausted, Outcome, Phase
from domain.errors import ErrorCode
from tests.claude.fake_api import Fault, Refuses, Says
from tests.metered.provider import MODEL, Call, Deed, Provider

from .error_stage import (
    BrokenTurns,
    EndlessTurns,
    Played,
    Stage,
    by_claude,
    metered,
    plain,
    policies,
    strategies_are_a_file,
)

E = ErrorCode


@dataclass(frozen=True)
class Row:
    """One way to a code. attempts: of the activity, over all its turns. says: what was tried, what came back, what a
    person does next. charged: calls whose answer may have been billed. history: the name under which it is kept.
    """

    name: str
    code: ErrorCode
    play: Callable[[Stage], AbstractAsyncContextManager[Played]]
    activity: str
    attempts: int
    says: tuple[str, ...]
    stopped_in: Phase | None
    charged: int = 0
    outcome: Outcome = Outcome.FAILED
    recorded: bool = True
    history: str | None = None


def second(phase: str, *answers: Says | Refuses, patience: float = PATIENCE) -> partial[Any]:
    """A play by Claude in which the API answers the second turn of a phase so."""
    return partial(by_claude, phase=phase, answers=answers, patience=patience)


def rate_limit(milliseconds: str) -> Refuses:
    return Refuses(429, "rate_limit_error", "too many requests", headers=(("retry-after-ms", milliseconds),))


def drops(phase: str, turn: int) -> Callable[[Provider], None]:
    """Every answer to this turn is lost, after it was billed."""

    async def deed(call: Call, nth: int) -> Deed:
        return Deed.DROP if (call.phase, call.turn) == (phase, turn) else Deed.ANSWER

    def set_up(provider: Provider) -> None:
        provider.deed = deed
        provider.usage = lambda call, nth: CallUsage(model=MODEL, input=nth, output=5_000 - nth)

    return set_up


def all_used(provider: Provider) -> None:
    """Every turn uses its whole ceiling."""
    provider.usage = lambda call, nth: CallUsage(model=MODEL, input=call.ceiling_tokens)


def one_turn(provider: Provider) -> None:
    """Every conversation ends with its first turn."""
    provider.turns = {"design": 1, "assess": 1}


DESIGNING, TRAINING, BACKTESTING, ASSESSING = Phase.DESIGNING, Phase.TRAINING, Phase.BACKTESTING, Phase.ASSESSING

MODEL_ROWS = [
    Row(
        "",
        E.ANTHROPIC_TIMEOUT,
        second("design", Says(fault=Fault.HANG), patience=0.5),
        "design",
        1 + 4,
        ("No answer from Claude", "within 0.5 s", "may have been billed", "status.claude.com"),
        DESIGNING,
        charged=4,
    ),
    Row(
        "",
        E.ANTHROPIC_ERROR,
        second("design", Refuses(529, "overloaded_error", "Overloaded")),
        "design",
        1 + 2,
        ("The API answered 529: Overloaded", "status.claude.com"),
        DESIGNING,
    ),
    Row(
        "",
        E.ANTHROPIC_RATE_LIMITED,
        second("design", rate_limit("250"), rate_limit("86400000")),
        "design",
        1 + 2,
        ("The API limits the rate: too many requests", "fewer cycles at once help"),
        DESIGNING,
    ),
    Row(
        "",
        E.ANTHROPIC_SPEND_LIMIT,
        second("design", Refuses(429, "rate_limit_error", "reached", code="enforced_spend_limit_reached")),
        "design",
        1 + 1,
        ("The account's spend limit is reached", "Raise it in the Claude Console", "start the cycle again"),
        DESIGNING,
    ),
    Row(
        "",
        E.ANTHROPIC_AUTH,
        second("design", Refuses(401, "authentication_error", "invalid x-api-key")),
        "design",
        1 + 1,
        ("does not accept the key", "invalid x-api-key", "Check ANTHROPIC_API_KEY", "start the cycle again"),
        DESIGNING,
    ),
    Row(
        "",
        E.ANTHROPIC_REQUEST,
        second("assess", Refuses(404, "not_found_error", "model: x")),
        "assess",
        1 + 1,
        ("refuses the request (404): model: x", "Check the model's name", "start the cycle again"),
        ASSESSING,
    ),
    Row(
        "",
        E.DESIGN_REFUSED,
        second("design", Says(stop_reason="refusal")),
        "design",
        1 + 1,
        ("Claude refused to design", "start the cycle again with another brief"),
        DESIGNING,
    ),
    Row(
        "",
        E.ASSESS_REFUSED,
        second("assess", Says(stop_reason="refusal")),
        "assess",
        1 + 1,
        ("Claude refused to assess", "start the cycle again with another brief"),
        ASSESSING,
    ),
    Row(
        "before_the_request",
        E.INTERNAL_ERROR,
        partial(metered, turns=BrokenTurns),
        "design",
        1 + 1,
        ("A defect of the program", "KeyError: 'a field that is missing'", "Report it", "worker's log"),
        DESIGNING,
    ),
    Row(
        "connection_dropped",
        E.ANSWER_LOST,
        partial(metered, provider=drops("design", 2)),
        "design",
        1 + 4,
        ("the answer to turn 2 was lost",),
        DESIGNING,
        charged=4,
    ),
    Row(
        "billed_and_then_failed",
        E.ANSWER_LOST,
        partial(metered, provider=one_turn, before=strategies_are_a_file),
        "design",
        4,
        ("the turn was billed, and then failed", "strategies", "Check the path", "start the cycle again"),
        DESIGNING,
        charged=4,
    ),
    Row(
        "never_heard_of_again",
        E.ANSWER_LOST,
        partial(plain, hold=ASSESSING, given=policies(assess={"start_to_close": timedelta(seconds=0.5)})),
        "assess",
        2,
        ("assess", "took longer than its policy allows", "`research worker`", "start the cycle again"),
        ASSESSING,
        history="assessor_silent",
    ),
    Row(
        "",
        E.BUDGET_EXHAUSTED,
        partial(metered, provider=drops("assess", 2), on_budget_exhausted=OnBudgetExhausted.FAIL),
        "assess",
        1 + 3,
        ("15,000", "tokens", "`research budget set --tokens"),
        ASSESSING,
        charged=3,
    ),
    Row(
        "turns_used_up",
        E.DESIGN_INVALID,
        partial(metered, turns=EndlessTurns),
        "design",
        8,
        ("design came to no end in 8 turns", "start the cycle again with another brief"),
        DESIGNING,
    ),
    Row(
        "cap_used_up",
        E.DESIGN_INVALID,
        partial(metered, turns=EndlessTurns, provider=all_used),
        "design",
        7,
        ("design has used 60,000 of its 60,000 tokens", "start the cycle again with another brief or a higher cap"),
        DESIGNING,
    ),
]
