"""A ledger that answers what a test tells it to, in the place of the real one."""

from datetime import date
from decimal import Decimal

from pydantic import BaseModel
from temporalio import workflow
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from domain.ledger import BudgetStatus, DayEntries, DaySummary, Entry


class Answers(BaseModel):
    """All that a ledger answers."""

    entries: DayEntries
    history: tuple[DaySummary, ...]
    status: BudgetStatus


@workflow.defn(name="AnotherLedger", sandboxed=False)
class AnotherLedger:
    """Answers what it is told to."""

    @workflow.init
    def __init__(self, answers: Answers) -> None:
        self.answers = answers

    @workflow.run
    async def run(self, answers: Answers) -> None:
        await workflow.wait_condition(lambda: False)

    @workflow.query
    def entries(self, day: date | None = None) -> DayEntries:
        return self.answers.entries

    @workflow.query
    def history(self) -> tuple[DaySummary, ...]:
        return self.answers.history

    @workflow.query
    def status(self) -> BudgetStatus:
        return self.answers.status


async def instead(client: Client, identity: str, task_queue: str, answers: Answers) -> None:
    """Put a ledger that answers so in the place of whatever has this id."""
    await client.start_workflow(
        AnotherLedger.run,
        answers,
        id=identity,
        task_queue=task_queue,
        id_conflict_policy=WorkflowIDConflictPolicy.TERMINATE_EXISTING,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
    )


def consistent(truth: Answers, entries: list[Entry], **folded: int) -> Answers:
    """Answers with these entries, and with sums that agree with them."""
    day = truth.entries.model_copy(update={"entries": tuple(entries), **folded})
    settled = [entry for entry in entries if entry.state == "settled"]
    charged = [entry for entry in entries if entry.state != "settled"]
    tokens = {
        "settled": sum(entry.total_tokens for entry in settled) + day.folded_settled_tokens,
        "charged": sum(entry.total_tokens for entry in charged) + day.folded_charged_tokens,
    }
    calls = len([entry for entry in entries if entry.state != "forfeited"]) + day.folded_calls
    [summary] = truth.history
    summary = summary.model_copy(
        update={
            "settled_tokens": tokens["settled"],
            "charged_tokens": tokens["charged"],
            "settled_usd": sum((entry.cost or Decimal(0) for entry in settled), Decimal(0)),
            "charged_usd": sum((entry.cost or Decimal(0) for entry in charged), Decimal(0)),
            "calls": calls,
        }
    )
    status = truth.status.model_copy(
        update={
            "tokens_settled": tokens["settled"],
            "tokens_charged": tokens["charged"],
            "invocations_today": calls,
        }
    )
    return Answers(entries=day, history=(summary,), status=status)
