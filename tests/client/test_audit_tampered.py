"""What a ledger has wrong is found: a real cycle, and in the place of its ledger one that answers otherwise."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from client.audit import audit
from client.audit_report import Audit
from domain.cycle import Outcome
from tests.metered.house import MeteredHouse, metered_house
from tests.metered.provider import Call, Deed
from workflows.budget import BudgetWorkflow

from .another_ledger import AnotherLedger, Answers, consistent, instead


@dataclass(frozen=True)
class Lab:
    """A cycle of twelve calls that has ended, and what its ledger truly had."""

    house: MeteredHouse
    day: date
    truth: Answers

    async def audited(self, answers: Answers, day: date | None = None) -> Audit:
        """The audit of the cycle's day, or another, with a ledger that answers so."""
        await instead(self.house.client, self.house.ledger.id, f"{self.house.scope}-another", answers)
        return await audit(self.house.client, day or self.day, self.house.scope)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def lab(quiet_env: WorkflowEnvironment, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lab]:
    """The third call's answer is lost, so it is charged."""

    async def deed(call: Call, nth: int) -> Deed:
        return Deed.DROP if (call.phase, call.turn, nth) == ("design", 3, 1) else Deed.ANSWER

    async with metered_house(quiet_env.client, tmp_path_factory.mktemp("lab")) as house:
        house.provider.deed = deed
        cycle, _ = await house.start()
        assert (await asyncio.wait_for(cycle.result(), 60)).outcome is Outcome.COMPLETED
        entries = await house.entries()
        history = await house.ledger.query(BudgetWorkflow.history)
        truth = Answers(entries=entries, history=history, status=await house.balance())
        async with Worker(quiet_env.client, task_queue=f"{house.scope}-another", workflows=[AnotherLedger]):
            yield Lab(house, entries.day, truth)


def changed(truth: Answers, seq: int, **changes: object) -> Answers:
    """With other figures of one call."""
    return consistent(
        truth, [one.model_copy(update=changes if one.seq == seq else {}) for one in truth.entries.entries]
    )


async def test_the_truth_is_equal(lab: Lab) -> None:
    found = await lab.audited(lab.truth)

    assert (found.equal, found.complete, found.calls) == (True, True, 11)


OTHER_FIGURES: dict[str, Callable[[Any], object]] = {
    "operation_id": lambda value: f"{value}-b",
    "phase": lambda value: "assess",
    "model": lambda value: "claude-haiku-5-5",
    "state": lambda value: "charged" if value == "settled" else "settled",
    "input_tokens": lambda value: value + 1,
    "cache_write_tokens": lambda value: value + 1,
    "cache_read_tokens": lambda value: value + 1,
    "output_tokens": lambda value: value + 1,
    "total_tokens": lambda value: value - 1,
    "ceiling": lambda value: value - 1,
    "cost": lambda value: None,
    "days": lambda value: (*value, value[-1] + timedelta(days=1)),
}


@pytest.mark.parametrize(
    ("seq", "figure"), [*((2, figure) for figure in OTHER_FIGURES), *((3, figure) for figure in ("state", "ceiling"))]
)
async def test_a_call_with_one_figure_changed_is_found_and_the_figure_named(lab: Lab, seq: int, figure: str) -> None:
    true = next(entry for entry in lab.truth.entries.entries if entry.seq == seq)
    other = OTHER_FIGURES[figure](getattr(true, figure))

    found = await lab.audited(changed(lab.truth, seq, **{figure: other}))

    [difference] = found.differences
    assert (difference.kind, difference.seq, difference.figures) == ("changed", seq, (figure,))
    assert (found.equal, found.sums) == (False, ())


async def test_a_call_that_stands_on_another_day_is_found_though_its_cycle_had_no_part_in_that_day(lab: Lab) -> None:
    later = lab.day + timedelta(days=2)
    [summary] = lab.truth.history
    answers = lab.truth.model_copy(
        update={
            "entries": lab.truth.entries.model_copy(update={"day": later}),
            "history": (summary.model_copy(update={"day": later}),),
            "status": lab.truth.status.model_copy(update={"reset_date": later}),
        }
    )

    found = await lab.audited(answers, later)

    assert {(one.kind, one.figures) for one in found.differences} == {("changed", ("days",))}
    assert (len(found.differences), found.sums, found.unsaid) == (11, (), ())


@pytest.mark.parametrize("seq", [1, 3, 11])
async def test_a_call_that_is_missing_is_found_though_the_sums_agree(lab: Lab, seq: int) -> None:
    found = await lab.audited(consistent(lab.truth, [one for one in lab.truth.entries.entries if one.seq != seq]))

    [difference] = found.differences
    assert (difference.kind, difference.seq, difference.because) == ("missing", seq, "the ledger was told of it")
    assert (found.equal, found.sums) == (False, ())


INVENTED: dict[str, dict[str, object]] = {
    "beyond the last": {"seq": 12},
    "twice": {},
    "of no run": {"run_id": "11111111-2222-3333-4444-555555555555"},
    "of what is no run": {"run_id": "../x"},
    "of no cycle": {"operation_id": "cycle-nobody", "run_id": "no"},
    "forfeited": {"state": "forfeited", "seq": 0},
}


@pytest.mark.parametrize("changes", INVENTED.values(), ids=INVENTED)
async def test_a_call_that_is_invented_is_found_though_the_sums_agree(lab: Lab, changes: dict[str, object]) -> None:
    entries = lab.truth.entries.entries

    found = await lab.audited(consistent(lab.truth, [*entries, entries[0].model_copy(update=changes)]))

    [difference] = found.differences
    assert (difference.kind, difference.seq) == ("invented", changes.get("seq", 1))
    assert (found.equal, found.sums, found.unsaid) == (False, (), ())


@pytest.mark.parametrize("name", ["settled_tokens", "charged_tokens", "calls", "settled_usd", "charged_usd"])
async def test_a_sum_in_the_history_that_its_entries_do_not_come_to_is_found(lab: Lab, name: str) -> None:
    [day] = lab.truth.history
    other = day.model_copy(update={name: getattr(day, name) + 1})

    found = await lab.audited(lab.truth.model_copy(update={"history": (other,)}))

    [wrong] = found.sums
    assert (wrong.ledger - wrong.expected, found.differences, found.equal) == (Decimal(1), (), False)


@pytest.mark.parametrize("name", ["tokens_settled", "tokens_charged", "invocations_today"])
async def test_a_sum_in_the_status_that_its_entries_do_not_come_to_is_found(lab: Lab, name: str) -> None:
    status = lab.truth.status.model_copy(update={name: getattr(lab.truth.status, name) - 1})

    found = await lab.audited(lab.truth.model_copy(update={"status": status}))

    [wrong] = found.sums
    assert (wrong.ledger - wrong.expected, found.differences, found.equal) == (Decimal(-1), (), False)


def folded(truth: Answers, calls: int, more_settled: int = 0) -> Answers:
    """With the oldest calls in sum only. more_settled: by so much the sum is wrong."""
    old, kept = truth.entries.entries[:calls], list(truth.entries.entries[calls:])
    return consistent(
        truth,
        kept,
        folded_calls=calls,
        folded_settled_tokens=sum(one.total_tokens for one in old if one.state == "settled") + more_settled,
        folded_charged_tokens=sum(one.total_tokens for one in old if one.state != "settled"),
    )


async def test_calls_that_the_ledger_keeps_in_sum_are_compared_in_sum_and_that_is_said(lab: Lab) -> None:
    found = await lab.audited(folded(lab.truth, 5))

    assert (found.equal, found.complete) == (True, False)
    assert [(one.reason, one.calls) for one in found.unsaid] == [("folded", 5)]


@pytest.mark.parametrize("more", [-1, 1])
async def test_a_sum_of_older_calls_that_is_wrong_is_found(lab: Lab, more: int) -> None:
    found = await lab.audited(folded(lab.truth, 5, more))

    assert [(one.name, one.ledger - one.expected) for one in found.sums] == [
        ("settled tokens kept in sum", Decimal(more))
    ]
    assert not found.equal
