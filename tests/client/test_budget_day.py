"""The day's budget as people see it: one bar, who holds, who waits."""

import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from client.render_budget import MAX_CELLS, MIN_CELLS, render_budget, render_entries, shared_out
from domain.ledger import BudgetStatus, DayEntries, Holding, LimitsChange, Waiting

from .test_render import text_of

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
def in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A reader whose zone is not UTC."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def day(settled: int = 0, charged: int = 0, held: int = 0, limit: int = 1_000, **changes: object) -> BudgetStatus:
    """A day's status."""
    fields: dict[str, object] = {
        "daily_budget": limit,
        "tokens_used_today": settled + charged,
        "tokens_remaining": max(0, limit - settled - charged - held),
        "budget_available": True,
        "reset_date": NOON.date(),
        "invocations_today": 3,
        "tokens_settled": settled,
        "tokens_charged": charged,
        "tokens_held": held,
        "daily_usd_budget": None,
        "usd_settled": Decimal(0),
        "usd_charged": Decimal(0),
        "usd_held": Decimal(0),
        "usd_remaining": None,
        "unpriced_tokens": 0,
        "next_reset": datetime(2026, 11, 24, 0, 1, tzinfo=UTC),
        "max_active_cycles": 2,
        "active": (),
        "waiting": (),
        "configured": LimitsChange(),
    }
    return BudgetStatus.model_validate(fields | changes)


def bar(status: BudgetStatus, width: int = 120) -> str:
    """The bar's line."""
    return text_of(render_budget(status), width).splitlines()[1]


def test_the_bar_tells_settled_charged_held_and_free_apart_without_colour() -> None:
    cells = {"█": 18, "#": 6, "=": 12, "·": 24}

    assert bar(day(300, 100, 200)) == f"  [{''.join(mark * n for mark, n in cells.items())}] 40.0 % used"


@pytest.mark.parametrize("width", [30, 40, 60, 200])
def test_the_bar_has_the_room_that_the_terminal_has(width: int) -> None:
    line = bar(day(300, 100, 200), width)

    cells = sum(line.count(mark) for mark in "█#=·")
    assert MIN_CELLS <= cells <= MAX_CELLS
    assert len(line) <= max(width, len("  [] 40.0 % used") + MIN_CELLS)


@pytest.mark.parametrize(
    ("parts", "cells"),
    [
        ([1, 1, 1, 997], [1, 1, 1, 57]),
        ([0, 0, 0, 5], [0, 0, 0, 60]),
        ([0, 0, 0, 0], [0, 0, 0, 60]),
        ([5, 0, 0, 0], [60, 0, 0, 0]),
        ([334, 333, 333, 0], [20, 20, 20, 0]),
        ([995, 1, 1, 3], [57, 1, 1, 1]),
    ],
)
def test_a_part_that_is_not_nothing_has_a_cell_and_all_cells_are_shared_out(parts: list[int], cells: list[int]) -> None:
    assert shared_out(parts, 60) == cells


def test_the_legend_has_every_figure_and_dollars_where_they_are_limited() -> None:
    limited = day(
        300,
        100,
        200,
        daily_usd_budget=Decimal(5),
        usd_settled=Decimal("1.25"),
        usd_charged=Decimal("0.5"),
        usd_held=Decimal(1),
        usd_remaining=Decimal("2.25"),
    )

    lines = [" ".join(line.split()) for line in text_of(render_budget(limited), 60).splitlines()[2:7]]
    assert lines == [
        "█ settled 300 tokens $1.25",
        "# charged 100 tokens $0.50",
        "= held 200 tokens $1.00",
        "· free 400 tokens $2.25",
        "limit 1,000 tokens $5.00",
    ]


def test_without_a_limit_in_dollars_and_without_dollars_none_are_shown() -> None:
    assert "$" not in text_of(render_budget(day(300)))


def test_who_holds_and_who_waits_is_told_with_what_and_since_when(in_berlin: None) -> None:
    held = Holding(cycle_id="cycle-1", run_id="r", since=NOON, granted=900, settled=300, charged=100, held=500)
    first = Waiting(cycle_id="cycle-1", run_id="r", position=1, top_up=True, tokens=90, since=NOON)
    second = Waiting(cycle_id="cycle-2", run_id="s", position=2, top_up=False, tokens=800, since=NOON)

    lines = text_of(render_budget(day(300, 100, 500, active=(held,), waiting=(first, second)))).splitlines()

    assert "  next reset 2026-11-24 01:01:00 CET (2026-11-24 00:01:00 UTC)" in lines
    assert "  slots 1 of 2 taken" in lines
    since = "since 2026-11-23 13:00:00 CET"
    assert lines[-3:] == [
        f"  active   cycle-1  holds 500, used 400 of 900 tokens, {since}",
        f"  waiting  cycle-1  place 1, needs 90 more tokens, {since}",
        f"  waiting  cycle-2  place 2, needs 800 tokens, {since}",
    ]


def test_a_limit_that_was_lowered_below_what_is_held_is_told() -> None:
    text = text_of(render_budget(day(300, 100, 200, limit=500)))

    assert "] 80.0 % used" in text
    assert "100 tokens beyond the limit: nothing is granted until they fit again" in text


def test_an_id_in_the_status_can_not_command_the_terminal() -> None:
    hostile = Holding(cycle_id="\x1b[2J", run_id="r", since=NOON, granted=1, settled=0, charged=0, held=1)

    assert "\x1b" not in text_of(render_budget(day(active=(hostile,))))


@pytest.mark.parametrize(
    ("folded", "line"),
    [
        ({}, "no calls"),
        (
            {"folded_calls": 2, "folded_settled_tokens": 1_200, "folded_charged_tokens": 5},
            "and 2 earlier calls, kept in sum: 1,200 settled, 5 charged tokens",
        ),
        ({"folded_charged_tokens": 500}, "and 500 tokens charged without a call: the day counts as spent"),
    ],
)
def test_what_a_day_has_no_entries_of_is_told(folded: dict[str, int], line: str) -> None:
    entries = DayEntries(day=date(2026, 11, 23), entries=(), **folded)

    assert text_of(render_entries(entries)).splitlines() == ["Calls of 2026-11-23 (UTC)", line]
