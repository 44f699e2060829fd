"""A metered conversation with a designer or assessor, turn by turn: fund, call, settle.

The workflow holds the money, so it takes each attempt's ceiling out of the envelope before the attempt, and funds a new
one when an answer was lost. What provably cost nothing Temporal tries again by itself, inside one funded attempt.
"""

from collections.abc import Callable
from typing import Protocol, TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError

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

_MAY_BE_BILLED = frozenset({ErrorCode.ANSWER_LOST, ErrorCode.ANTHROPIC_TIMEOUT})


class Answer(Protocol):
    """What every turn's answer tells: its usage, None where the turn cost nothing."""

    @property
    def usage(self) -> CallUsage | None:
        """Tokens by class."""
        ...


A = TypeVar("A", bound=Answer)


class Purse:
    """The cycle's envelope while it is spent, and the link by which the ledger hears of it."""

    def __init__(self, envelope: Envelope, link: LedgerLink) -> None:
        self.envelope = envelope
        self._link = link

    def take(self, phase: str, tokens: int) -> Ticket:
        """Take a ceiling out before an attempt."""
        self.envelope, ticket = self.envelope.take(phase, tokens, None, workflow.now())
        return ticket

    def settle(self, ticket: Ticket, usage: CallUsage | None) -> None:
        """Book what the answer used; a turn without usage never reached a model and cost nothing."""
        if usage is None:
            self.envelope = self.envelope.put_back(ticket)
            return
        self.envelope, record = self.envelope.settle(ticket, usage, None, workflow.now())
        self._link.record(record)

    def charge(self, ticket: Ticket, model: str) -> None:
        """Keep the ceiling of a lost answer charged."""
        self.envelope, record = self.envelope.charge(ticket, model, workflow.now())
        self._link.record(record)

    def put_back(self, ticket: Ticket) -> None:
        """Give a ceiling back whose attempt provably cost nothing."""
        self.envelope = self.envelope.put_back(ticket)


async def converse(
    activity: str,
    turn: Callable[[int], Frozen],
    finished: Callable[[A], bool],
    answer_type: type[A],
    purse: Purse,
    policy: ActivityPolicy,
    lost_answers: int,
    model: str,
    summary: str,
) -> A:
    """Go on turn by turn until an answer is final. Raises CycleFailed."""
    for number in range(1, MAX_TURNS + 1):
        answer = await _funded_turn(
            activity, turn(number), answer_type, purse, policy, lost_answers, model, f"{summary}, turn {number}"
        )
        if finished(answer):
            return answer
    code = ErrorCode.DESIGN_INVALID if activity == "design" else ErrorCode.INTERNAL_ERROR
    raise CycleFailed(code, f"{activity} came to no end in {MAX_TURNS} turns; start the cycle again with another brief")


async def _funded_turn(
    activity: str,
    turn: Frozen,
    answer_type: type[A],
    purse: Purse,
    policy: ActivityPolicy,
    lost_answers: int,
    model: str,
    summary: str,
) -> A:
    for attempt in range(lost_answers + 1):
        ticket = purse.take(activity, CEILING_OFFLINE)
        try:
            answer: A = await workflow.execute_activity(
                activity, turn, result_type=answer_type, summary=summary, **policy.options()
            )
        except ActivityError as error:
            failure = failure_of(error, activity)
            if failure.code not in _MAY_BE_BILLED:
                purse.put_back(ticket)
                raise failure from error
            purse.charge(ticket, model)
            if attempt == lost_answers:
                raise failure from error
        else:
            purse.settle(ticket, answer.usage)
            return answer
    raise AssertionError("unreachable: the last attempt returns or raises")
