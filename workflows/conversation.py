"""A metered conversation with a designer or assessor, turn by turn: fund, call, settle.

The workflow holds the money, so it takes each attempt's ceiling out of the envelope before the attempt, and funds a new
one when an answer was lost. What provably cost nothing Temporal tries again by itself, inside one funded attempt.
"""

from collections.abc import Callable
from typing import Protocol, TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from domain.cycle import CallUsage
    from domain.envelope import Envelope, Ticket
    from domain.errors import ErrorCode
    from domain.results import Frozen
    from workflows.admission import LedgerLink
    from workflows.failures import CycleFailed, failure_of
    from workflows.policies import ActivityPolicy

MAX_TURNS = 8

CEILING_OFFLINE = 0
"""Tokens that a turn of the offline designer or assessor can be billed for: they call no model."""

_LOST = frozenset({ErrorCode.ANSWER_LOST, ErrorCode.ANTHROPIC_TIMEOUT})
"""What a newly funded attempt may mend."""

_COST_NOTHING = frozenset(
    {
        ErrorCode.ANTHROPIC_ERROR,
        ErrorCode.ANTHROPIC_RATE_LIMITED,
        ErrorCode.ANTHROPIC_SPEND_LIMIT,
        ErrorCode.ANTHROPIC_AUTH,
        ErrorCode.ANTHROPIC_REQUEST,
        ErrorCode.ENVELOPE_STALE,
        ErrorCode.DATA_UNAVAILABLE,
        ErrorCode.STORE_UNAVAILABLE,
    }
)
"""Failures that prove that no model was billed. After any other one the ceiling stays charged."""


class Answer(Protocol):
    """What every turn's answer tells: its usage, None where the turn cost nothing."""

    @property
    def usage(self) -> CallUsage | None:
        """Tokens by class."""
        ...


A = TypeVar("A", bound=Answer)


class Spending:
    """The cycle's envelope while it is spent, and the link by which the ledger hears of it."""

    def __init__(self, envelope: Envelope, link: LedgerLink, model: str) -> None:
        self.envelope = envelope
        self._link = link
        self._model = model

    def take(self, phase: str, tokens: int) -> Ticket:
        """Take a ceiling out before an attempt."""
        self.envelope, ticket = self.envelope.take(phase, tokens, None, workflow.now())
        return ticket

    def settle(self, ticket: Ticket, usage: CallUsage | None) -> None:
        """Book what the answer used; a turn without usage never reached a model and cost nothing."""
        if usage is None:
            self.put_back(ticket)
            return
        self.envelope, record = self.envelope.settle(ticket, usage, None, workflow.now())
        self._link.record(record)

    def charge(self, ticket: Ticket) -> None:
        """Keep the ceiling of an answer that may have been billed; a ceiling of nothing can't have been."""
        if ticket.tokens == 0:
            self.put_back(ticket)
            return
        self.envelope, record = self.envelope.charge(ticket, self._model, workflow.now())
        self._link.record(record)

    def put_back(self, ticket: Ticket) -> None:
        """Give a ceiling back whose attempt provably cost nothing."""
        self.envelope = self.envelope.put_back(ticket)


async def converse(
    activity: str,
    turn: Callable[[int], Frozen],
    finished: Callable[[A], bool],
    answer_type: type[A],
    spending: Spending,
    policy: ActivityPolicy,
    lost_answers: int,
    summary: str,
) -> A:
    """Go on turn by turn until an answer is final. Raises CycleFailed."""
    for number in range(1, MAX_TURNS + 1):
        lost = 0
        while True:
            try:
                answer = await _attempt(
                    activity, turn(number), answer_type, spending, policy, f"{summary}, turn {number}"
                )
                break
            except CycleFailed as failure:
                lost += 1
                if failure.code not in _LOST or lost > lost_answers:
                    raise
        if finished(answer):
            return answer
    code = ErrorCode.DESIGN_INVALID if activity == "design" else ErrorCode.INTERNAL_ERROR
    raise CycleFailed(code, f"{activity} came to no end in {MAX_TURNS} turns; start the cycle again with another brief")


async def _attempt(
    activity: str, turn: Frozen, answer_type: type[A], spending: Spending, policy: ActivityPolicy, summary: str
) -> A:
    """One funded attempt of one turn: whatever becomes of it, its ceiling is settled, charged or put back."""
    ticket = spending.take(activity, CEILING_OFFLINE)
    try:
        answer: A = await workflow.execute_activity(
            activity, turn, result_type=answer_type, summary=summary, **policy.options()
        )
    except ActivityError as error:
        if is_cancelled_exception(error):
            spending.charge(ticket)
            raise
        failure = failure_of(error, activity)
        if failure.code in _COST_NOTHING:
            spending.put_back(ticket)
        else:
            spending.charge(ticket)
        raise failure from error
    spending.settle(ticket, answer.usage)
    return answer
