"""A metered conversation with a designer or assessor, turn by turn: fund, call, settle.

The conversation is kept here, in the workflow: after any crash it goes on from the last turn that was answered.

The workflow holds the money, so it takes each attempt's ceiling out of the envelope before the attempt: Temporal never
makes a second one by itself, which nobody would have paid for. It funds a new one when an answer was lost, and after a
pause when the failure proves that nothing was billed. A turn that can't be billed is left to Temporal's policy.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

from domain.ceilings import MAX_TURNS
from domain.errors import COSTS_NOTHING, ErrorCode
from domain.results import Frozen
from domain.turns import Answer, FundedTurn, Message
from workflows.failures import CycleFailed, failure_of
from workflows.funds import Funds
from workflows.policies import ActivityPolicy

_LOST = frozenset({ErrorCode.ANSWER_LOST, ErrorCode.ANTHROPIC_TIMEOUT})
"""What a newly funded attempt may mend."""


A = TypeVar("A", bound=Answer)


async def converse(
    activity: str,
    turn: Callable[[FundedTurn], Frozen],
    finished: Callable[[A], bool],
    answer_type: type[A],
    funds: Funds,
    before_attempt: Callable[[], None],
    reopen: Callable[[], Awaitable[None]],
    pause: Callable[[CycleFailed, timedelta], Awaitable[None]],
    policy: ActivityPolicy,
    lost_answers: int,
    summary: str,
) -> A:
    """Go on turn by turn until an answer is final. Raises CycleFailed.

    before_attempt: may raise, before anything is taken for the attempt.
    reopen: opens an envelope for what is left, where the present one is no longer this run's to spend (the cycle was
    reset, or the ledger was). The conversation then goes on with the turn that it had come to.
    pause: waits so long, after this failure.
    """
    messages: tuple[Message, ...] = ()
    memory: str | None = None

    def going_on(funded: FundedTurn) -> Frozen:
        return turn(funded.model_copy(update={"messages": messages, "memory_snapshot": memory}))

    for number in range(1, MAX_TURNS + 1):
        lost = free = 0
        give_up = workflow.now() + policy.schedule_to_close
        while True:
            before_attempt()
            try:
                title = f"{summary}, turn {number}"
                answer = await _attempt(activity, number, going_on, answer_type, funds, policy, title)
                break
            except CycleFailed as failure:
                if failure.code is ErrorCode.ENVELOPE_STALE:
                    await reopen()
                    continue
                if failure.code in _LOST and lost < lost_answers:
                    lost += 1
                    continue
                free += 1
                delay = failure.retry_after or policy.pause(free)
                if not _may_be_tried_again(failure.code) or workflow.now() + delay > give_up:
                    raise
                await pause(failure, delay)
        if finished(answer):
            return answer
        if answer.ended:
            raise CycleFailed(answer.ended.code, answer.ended.message)
        messages += answer.messages
        memory = memory or answer.memory_snapshot
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
    attempt = workflow.start_activity(
        activity,
        turn(funded),
        result_type=answer_type,
        summary=summary,
        **(policy.one_attempt() if funded.ceiling_tokens else policy.options()),
    )
    cancelled: asyncio.CancelledError | None = None
    try:
        try:
            answer: A = await asyncio.shield(attempt)
        except asyncio.CancelledError as error:
            # The answer may come in the same moment as the cancel: then what it used is booked all the same.
            cancelled = error
            await asyncio.sleep(0)
            attempt.cancel()
            answer = await attempt
    except ActivityError as error:
        if is_cancelled_exception(error):
            funds.charge(ticket)
            raise
        failure = failure_of(error, activity)
        if failure.cost_nothing:
            funds.put_back(ticket)
        else:
            funds.charge(ticket)
        raise cancelled or failure from error
    except asyncio.CancelledError:
        funds.charge(ticket)
        raise
    funds.settle(ticket, answer)
    if cancelled:
        raise cancelled
    return answer


def _may_be_tried_again(code: ErrorCode) -> bool:
    return code in COSTS_NOTHING and code.retryable
