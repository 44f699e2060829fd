"""A metered conversation with a designer or assessor, turn by turn: fund, call, settle.

The workflow holds the money, so it takes each attempt's ceiling out of the envelope before the attempt, and funds a new
one when an answer was lost. What provably cost nothing Temporal tries again by itself, inside one funded attempt.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from domain.ceilings import MAX_TURNS
    from domain.cycle import CallUsage
    from domain.errors import COSTS_NOTHING, ErrorCode
    from domain.results import Frozen
    from domain.turns import FundedTurn
    from workflows.failures import CycleFailed, failure_of
    from workflows.funds import Funds
    from workflows.policies import ActivityPolicy

_LOST = frozenset({ErrorCode.ANSWER_LOST, ErrorCode.ANTHROPIC_TIMEOUT})
"""What a newly funded attempt may mend."""


class Answer(Protocol):
    """What every turn's answer tells: its usage, None where the turn cost nothing."""

    @property
    def usage(self) -> CallUsage | None:
        """Tokens by class."""
        ...


A = TypeVar("A", bound=Answer)


async def converse(
    activity: str,
    turn: Callable[[FundedTurn], Frozen],
    finished: Callable[[A], bool],
    answer_type: type[A],
    funds: Funds,
    before_attempt: Callable[[], None],
    reopen: Callable[[], Awaitable[None]],
    policy: ActivityPolicy,
    lost_answers: int,
    summary: str,
) -> A:
    """Go on turn by turn until an answer is final. Raises CycleFailed.

    before_attempt: may raise, before anything is taken for the attempt.
    reopen: opens an envelope for what is left, where the present one is no longer this run's to spend (the cycle was
    reset, or the ledger was). The conversation then goes on with the turn that it had come to.
    """
    for number in range(1, MAX_TURNS + 1):
        lost = 0
        while True:
            before_attempt()
            try:
                answer = await _attempt(activity, number, turn, answer_type, funds, policy, f"{summary}, turn {number}")
                break
            except CycleFailed as failure:
                if failure.code is ErrorCode.ENVELOPE_STALE:
                    await reopen()
                    continue
                lost += 1
                if failure.code not in _LOST or lost > lost_answers:
                    raise
        if finished(answer):
            return answer
    code = ErrorCode.DESIGN_INVALID if activity == "design" else ErrorCode.INTERNAL_ERROR
    raise CycleFailed(code, f"{activity} came to no end in {MAX_TURNS} turns; start the cycle again with another brief")


async def _attempt(
    activity: str,
    number: int,
    turn: Callable[[FundedTurn], Frozen],
    answer_type: type[A],
    funds: Funds,
    policy: ActivityPolicy,
    summary: str,
) -> A:
    """One funded attempt of one turn: whatever becomes of it, its ceiling is settled, charged or put back."""
    ticket, funded = await funds.take(activity, number)
    try:
        answer: A = await workflow.execute_activity(
            activity, turn(funded), result_type=answer_type, summary=summary, **policy.options()
        )
    except ActivityError as error:
        if is_cancelled_exception(error):
            funds.charge(ticket)
            raise
        failure = failure_of(error, activity)
        if failure.code in COSTS_NOTHING:
            funds.put_back(ticket)
        else:
            funds.charge(ticket)
        raise failure from error
    funds.settle(ticket, answer.usage)
    return answer
