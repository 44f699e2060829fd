"""The command on a real server with real workers. It runs in a thread: it has an event loop of its own."""

import asyncio
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from client.cycles import fetch
from client.looks import LazyRecords
from domain.cycle import CycleStatus, Outcome, Phase

OPEN_GATES = (
    "training_min_skill=0",
    "training_max_loss_ratio=100",
    "training_min_loss_decrease=-1",
    "backtest_min_win_rate=0",
    "backtest_max_drawdown=1",
    "backtest_min_sharpe=-1000",
    "backtest_min_trades=0",
)
OPEN = [word for bound in OPEN_GATES for word in ("--set", bound)]
OFFLINE = ["start", "--designer", "offline"]


PRICE = "The price, with where trades began and ended"
ID = re.compile(r"cycle-\d{8}-\d{6}-[0-9a-f]{4}")


@pytest.fixture
async def paused(reaching) -> AsyncIterator[None]:
    """A paused ledger: cycles wait in the queue, and no engine is needed."""
    await asyncio.to_thread(reaching, "budget", "pause", "holidays")
    yield
    await asyncio.to_thread(reaching, "budget", "resume")


async def until_phase(place, client, cycle_id: str, phase: Phase) -> CycleStatus:
    """The cycle's status once it is in that phase."""
    async with asyncio.timeout(60):
        while True:
            status = (await fetch(client, LazyRecords(place.settings), cycle_id)).status
            if status.phase is phase:
                return status
            await asyncio.sleep(0.05)


async def test_a_followed_cycle_ends_with_its_story_and_the_store_tells_the_same(reaching, small: Path):
    ran = await asyncio.to_thread(reaching, *OFFLINE, "--strategy", str(small), *OPEN, "--follow", "-o", "jsonl")

    views = [line for line in ran.out.splitlines() if line]
    last = CycleStatus.model_validate_json(re.sub(r'^\{"cycle":(.*),"progress":.*$', r"\1", views[-1]))
    assert (ran.code, last.outcome) == (0, Outcome.COMPLETED)
    assert len(views) > 2

    shown = await asyncio.to_thread(reaching, "show", last.cycle_id, "-o", "json")
    assert CycleStatus.model_validate(shown.json["cycle"]) == last
    for name in ("strategy", "model", "history", "equity", "trades"):
        assert Path(shown.json["places"][name]).is_file()

    listed = await asyncio.to_thread(reaching, "list", "--outcome", "completed", "--symbol", "eurusd", "-o", "json")
    assert last.backtest is not None
    figures = {cycle["cycle_id"]: cycle["sharpe_ratio"] for cycle in listed.json}
    assert last.backtest.sharpe_ratio is not None
    assert figures[last.cycle_id] == round(last.backtest.sharpe_ratio, 4)

    reported = await asyncio.to_thread(reaching, "report", last.cycle_id, "-o", "json")
    page = Path(reported.json["path"]).read_text()
    assert (reported.code, reported.json["cycle_id"]) == (0, last.cycle_id)
    assert f'aria-label="{PRICE}"' in page
    assert "No tokens were used." in page


async def test_a_cycle_that_a_gate_stops_is_exit_code_5_and_names_the_bound(reaching, small: Path):
    bounds = [*OPEN, "--set", "training_min_skill=1"]

    ran = await asyncio.to_thread(reaching, *OFFLINE, "--strategy", str(small), *bounds, "--wait")

    assert ran.code == 5
    assert "Outcome rejected in training: training gate: balanced accuracy" in ran.out
    assert "at least 150.00 %" in ran.out or "at least 133.33 %" in ran.out


async def test_a_second_cycle_is_refused_with_the_id_of_the_active_one(reaching, place, temporal_env, long: Path):
    first = await asyncio.to_thread(reaching, *OFFLINE, "--strategy", str(long), "-o", "json")
    active = first.json["cycle_id"]
    try:
        second = await asyncio.to_thread(reaching, *OFFLINE, "-o", "json")
        assert second.code == 8
        assert second.json["error"]["code"] == "active_operation_exists"
        assert active in second.json["error"]["message"]
        assert f"research cancel {active}" in second.json["error"]["next"]

        status = await asyncio.to_thread(reaching, "status", "-o", "json")
        assert [cycle["cycle"]["cycle_id"] for cycle in status.json["cycles"]] == [active]
        assert status.json["status"] == "active"

        await until_phase(place, temporal_env.client, active, Phase.TRAINING)
        waited = await asyncio.to_thread(reaching, "status", active)
        assert "Phase: training" in waited.out
    finally:
        cancelled = await asyncio.to_thread(reaching, "cancel", "--reason", "enough")

    assert (cancelled.code, cancelled.out) == (0, f"{active} is cancelled in training\n")
    shown = await asyncio.to_thread(reaching, "show", active)
    assert "Outcome cancelled in training: enough" in shown.out
    again = await asyncio.to_thread(reaching, "cancel", active)
    assert again.code == 1
    assert f"{active} has already ended as cancelled" in again.err


async def test_a_wait_that_times_out_is_exit_code_7_and_leaves_the_cycle(reaching, place, temporal_env, paused):
    ran = await asyncio.to_thread(reaching, *OFFLINE, "--queue", "--wait", "--timeout", "0.5")
    found = ID.search(ran.err)
    assert found is not None
    cycle_id = found.group()

    assert ran.code == 7
    status = (await fetch(temporal_env.client, LazyRecords(place.settings), cycle_id)).status
    assert status.outcome is None
    assert (await asyncio.to_thread(reaching, "cancel", cycle_id)).out == f"{cycle_id} is cancelled in queued\n"


async def test_the_place_in_the_queue_is_told_as_it_is_now(reaching, paused):
    first, second = [
        (await asyncio.to_thread(reaching, *OFFLINE, "--queue", "-o", "json")).json["cycle_id"] for _ in range(2)
    ]

    async def told() -> tuple[int, str]:
        """The second cycle's place, and what it waits for."""
        found = await asyncio.to_thread(reaching, "status", second, "-o", "json")
        cycle = found.json["cycles"][0]["cycle"]
        return cycle["admission"]["position"], cycle["waiting_for"]

    place, waiting_for = await told()
    assert f"(place {place} in its queue)" in waiting_for
    await asyncio.to_thread(reaching, "cancel", first)
    assert await told() == (place - 1, waiting_for.replace(f"(place {place} in", f"(place {place - 1} in"))
    await asyncio.to_thread(reaching, "cancel", second)


async def test_a_terminated_cycle_is_told_as_ended_and_not_watched_for_ever(reaching, temporal_env, paused):
    started = await asyncio.to_thread(reaching, *OFFLINE, "--queue", "-o", "json")
    cycle_id = started.json["cycle_id"]
    await temporal_env.client.get_workflow_handle(cycle_id).terminate()

    watched = await asyncio.to_thread(reaching, "status", cycle_id, "--watch", "-o", "json")

    assert watched.code == 0
    assert (watched.json["cycle"]["outcome"], watched.json["cycle"]["stopped_in"]) == ("cancelled", "queued")
    assert "terminated from outside" in watched.json["cycle"]["reason"]
    listed = await asyncio.to_thread(reaching, "list", "--outcome", "cancelled", "-o", "json")
    assert cycle_id in [cycle["cycle_id"] for cycle in listed.json if cycle["outcome"] == "cancelled"]


async def test_ctrl_c_leaves_the_view_and_not_the_cycle(reaching, place, temporal_env, paused):
    started = await asyncio.to_thread(reaching, *OFFLINE, "--queue", "-o", "json")
    cycle_id = started.json["cycle_id"]
    script = "from client.main import main; main()"
    watcher = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script, "status", cycle_id, "--watch", *place.flags),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert watcher.stdout is not None
    async with asyncio.timeout(60):
        first = await watcher.stdout.readline()
        watcher.send_signal(signal.SIGINT)
        _, told = await watcher.communicate()

    assert watcher.returncode == 130
    assert "holidays" in first.decode()
    assert f"research status {cycle_id} --watch" in told.decode()
    assert f"research cancel {cycle_id}" in told.decode()
    assert b"Traceback" not in told
    status = (await fetch(temporal_env.client, LazyRecords(place.settings), cycle_id)).status
    assert status.outcome is None
    assert (await asyncio.to_thread(reaching, "cancel", cycle_id)).code == 0


async def test_an_id_that_nobody_knows_names_the_nearest(reaching, paused):
    refused = await asyncio.to_thread(reaching, *OFFLINE, "-o", "json")
    known = refused.json["error"]["started"]["cycle_id"]

    ran = await asyncio.to_thread(reaching, "show", f"{known}x")

    assert ran.code == 2
    assert f"did you mean {known}?" in ran.err


@pytest.mark.parametrize("verb", ["show", "cancel", "status"])
async def test_an_id_that_is_no_id_is_exit_code_2(reaching, verb):
    ran = await asyncio.to_thread(reaching, verb, "../\x1b[2J" + "x" * 2000)

    assert ran.code == 2
    assert "\x1b" not in ran.err
    assert "Traceback" not in ran.err


async def test_a_paused_budget_refuses_with_exit_code_3_until_it_resumes(reaching, paused):
    refused = await asyncio.to_thread(reaching, *OFFLINE)
    budget = await asyncio.to_thread(reaching, "budget")
    resumed = await asyncio.to_thread(reaching, "budget", "resume", "-o", "json")

    assert refused.code == 3
    assert "holidays" in refused.err
    assert "research budget resume" in refused.err
    assert "paused: holidays" in budget.out
    assert (resumed.code, resumed.json["paused"]) == (0, None)


async def test_limits_are_set_and_shown(reaching):
    changed = await asyncio.to_thread(reaching, "budget", "set", "--tokens", "400000", "--usd", "2.50", "-o", "json")
    lifted = await asyncio.to_thread(reaching, "budget", "set", "--tokens", "500000", "--usd", "none", "-o", "json")

    assert (changed.json["daily_budget"], changed.json["daily_usd_budget"]) == (400_000, "2.50")
    assert (lifted.json["daily_budget"], lifted.json["daily_usd_budget"]) == (500_000, None)


async def test_entries_and_history_are_of_the_ledgers_day(reaching):
    entries = await asyncio.to_thread(reaching, "budget", "entries", "-o", "json")
    history = await asyncio.to_thread(reaching, "budget", "history", "-o", "json")

    assert entries.code == history.code == 0
    assert entries.json["day"] in [day["day"] for day in history.json]


async def test_an_idle_house_shows_the_budget(reaching):
    ran = await asyncio.to_thread(reaching, "status")

    assert ran.out.startswith("No active research cycle\nBudget Status\n  Used today: ")


async def test_without_a_worker_nothing_is_started(reaching, monkeypatch):
    monkeypatch.setenv("RESEARCH_TASK_QUEUE", "nobody-home")
    monkeypatch.setattr("client.cycles.WORKER_PATIENCE", 0.3)

    ran = await asyncio.to_thread(reaching, *OFFLINE)

    assert ran.code == 6
    assert "no worker polls the task queue 'nobody-home'; nothing was started" in ran.err
    assert "research worker" in ran.err
