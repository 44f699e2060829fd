"""`research schedule` on a real server: what is typed, what the server keeps, and the cycles that it starts."""

import asyncio
import re
import shlex
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from temporalio.client import Client, ScheduleDescription

from client.exits import CommandError
from client.timing import Timing, timing_from, written
from domain.cycle import CYCLE_WORKFLOW, folder_name
from settings import PROJECT

from .test_with_server import OPEN

CREATE = ["schedule", "create"]
OFFLINE = ["--designer", "offline"]
HOURLY = [*OFFLINE, "--every", "1h"]
STRICT = ["--set", "training_min_skill=1"]
"""A gate that no model passes: the cycle ends with its training."""
BAD_LINES = {
    "neither an interval nor a cron line": ([], "name either --every or --cron"),
    "both": (["--every", "6h", "--cron", "0 * * * *"], "name either --every or --cron"),
    "an interval that is none": (["--every", "soon"], "--every 'soon': that is no length of time"),
    "an interval that is too short": (["--every", "30s"], "--every 30s: give 1m to 366d"),
    "an interval that is beyond all calendars": (["--every", "999999999w"], "give 1m to 366d"),
    "a zone that is misspelt": (["--cron", "@daily", "--timezone", "Europe/Berln"], "did you mean Europe/Berlin?"),
    "a zone for an interval": (["--every", "6h", "--timezone", "UTC"], "--timezone is for --cron"),
    "a jitter beyond the interval": (["--every", "1h", "--jitter", "1h"], "--jitter is not shorter than --every"),
    "a jitter without bound": (["--cron", "@daily", "--jitter", "2d"], "--jitter 2d: give 1s to 1d"),
    "a catch-up window that servers do not take": (["--every", "6h", "--catch-up", "1s"], "give 10s to 366d"),
    "an end that is over": (["--every", "6h", "--until", "2020-01-01"], "that day is over"),
    "an end that is no day": (["--every", "6h", "--until", "soon"], "'--until'"),
    "a cron line that is none": (["--cron", " "], "--cron is empty"),
    "a symbol without bars": (["--every", "6h", "--symbol", "EURUS"], "did you mean EURUSD?"),
    "a bound that there is not": (["--every", "6h", "--set", "x=1"], "there is no such bound"),
}


@pytest.mark.parametrize(("arguments", "words"), BAD_LINES.values(), ids=BAD_LINES)
def test_a_wrong_line_is_told_before_anything_is_contacted(command, arguments, words):
    ran = command(*CREATE, "x", *OFFLINE, *arguments, "--address", "127.0.0.1:1")

    assert (ran.code, ran.out) == (2, "")
    assert words in ran.err


@pytest.mark.parametrize("verb", ["create", "show", "pause", "resume", "delete"])
def test_a_name_that_cannot_stand_in_an_id_is_refused(command, verb):
    ran = command("schedule", verb, "x' OR 'y", "-o", "json")

    assert (ran.code, ran.json["error"]["code"]) == (2, "usage")
    assert "is no name of a schedule" in ran.json["error"]["message"]


def test_without_a_key_the_offline_designer_is_named_as_by_start(command):
    assert "--designer offline" in command(*CREATE, "x", "--every", "6h").err


def times(
    *, every: str | None = None, cron: str | None = None, timezone: str | None = None, until: date | None = None
) -> Timing:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    return timing_from(every=every, cron=cron, timezone=timezone, jitter=None, until=until, catch_up="1h", now=now)


def test_the_last_day_is_a_whole_day_in_the_zone_of_the_cron_line():
    until = date(2026, 7, 31)

    assert times(cron="@daily", timezone="Europe/Berlin", until=until).until == datetime(
        2026, 7, 31, 21, 59, 59, tzinfo=UTC
    )
    assert times(every="1d", until=until).until == datetime(2026, 7, 31, 23, 59, 59, tzinfo=UTC)
    with pytest.raises(CommandError, match="that day is over"):
        times(every="1d", until=date(2026, 2, 28))


@pytest.mark.parametrize("text", ["1m", "90s", "6h", "1d", "1h30m", "1w", "48h"])
def test_a_length_is_written_as_it_may_be_typed(text):
    every = times(every=text).every

    assert every is not None
    assert times(every=written(every)).every == every


@pytest.fixture
async def client(temporal_env) -> AsyncIterator[Client]:
    """The server's client, on which no schedule of a test is left."""
    yield temporal_env.client
    async for each in await temporal_env.client.list_schedules():
        await temporal_env.client.get_schedule_handle(each.id).delete()


@pytest.fixture
async def paused(reaching) -> AsyncIterator[None]:
    """A paused ledger: cycles wait in the queue, or are refused."""
    await asyncio.to_thread(reaching, "budget", "pause", "holidays")
    yield
    await asyncio.to_thread(reaching, "budget", "resume")


async def until(client: Client, name: str, is_so) -> ScheduleDescription:
    """The schedule's description once it is so."""
    async with asyncio.timeout(30):
        while not is_so(found := await client.get_schedule_handle(name).describe()):
            await asyncio.sleep(0.05)
    return found


async def cycle_of(client: Client, name: str) -> str:
    """The id of the cycle that the schedule starts when its time has come."""
    await client.get_schedule_handle(name).trigger()
    found = await until(client, name, lambda found: found.info.recent_actions)
    return found.info.recent_actions[-1].action.workflow_id


async def test_what_is_typed_is_what_the_server_keeps(reaching, client):
    line = [*CREATE, "nightly", "Do stretched prices turn back?", *OFFLINE, "--cron", "0 18 * * 1-5"]
    more = ["--timezone", "Europe/Berlin", "--jitter", "5m", "--until", "2099-12-31", "--seed", "7"]

    made = await asyncio.to_thread(reaching, *line, *more, "-o", "json")

    found = await client.get_schedule_handle("nightly").describe()
    spec, policy = found.schedule.spec, found.schedule.policy
    assert (made.code, made.json["overlap"], made.json["request"]["seed"]) == (0, "skip", 7)
    assert (spec.time_zone_name, spec.jitter) == ("Europe/Berlin", timedelta(minutes=5))
    assert spec.end_at == datetime(2099, 12, 31, 22, 59, 59, tzinfo=UTC)
    assert (policy.overlap.name, policy.catchup_window) == ("SKIP", timedelta(hours=1))
    runs = [datetime.fromisoformat(run) for run in made.json["next_runs"]]
    assert runs == found.info.next_action_times[:3]
    assert all(run.weekday() < 5 and run.utcoffset() == timedelta() for run in runs)


async def test_the_lines_of_the_documentation_work_as_they_are_written(reaching, client):
    lines = re.findall(r"^research (.*)$", (PROJECT / "docs" / "schedules.md").read_text(), re.MULTILINE)

    for line in lines:
        ran = await asyncio.to_thread(reaching, *shlex.split(line))
        assert (line, ran.code, ran.err.count("error")) == (line, 0, 0)
    assert len(lines) == 7


async def test_the_next_three_runs_are_shown_in_the_users_zone(reaching, client, monkeypatch):
    import time

    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    time.tzset()
    try:
        made = await asyncio.to_thread(reaching, *CREATE, "daily", *OFFLINE, "--cron", "0 12 * * *")
    finally:
        monkeypatch.undo()
        time.tzset()

    assert made.out.count(" 17:45:00 +0545\n") == 3
    assert "cron 0 12 * * * in UTC" in made.out
    assert "overlap: skip" in made.out
    assert "catch-up window: 1h" in made.out


async def test_a_second_one_of_a_name_and_a_cron_line_that_the_server_refuses_are_told(reaching, client):
    await asyncio.to_thread(reaching, *CREATE, "hourly", *HOURLY)

    again = await asyncio.to_thread(reaching, *CREATE, "hourly", *HOURLY)
    odd = await asyncio.to_thread(reaching, *CREATE, "odd", *OFFLINE, "--cron", "0 25 * * *")
    never = await asyncio.to_thread(reaching, *CREATE, "never", *OFFLINE, "--cron", "0 0 30 2 *")

    assert (again.code, "research schedule delete hourly" in again.err) == (2, True)
    assert (odd.code, "Hour is not in range" in odd.err) == (2, True)
    assert "it will never start a cycle" in never.err


async def test_schedules_are_listed_paused_resumed_and_deleted(reaching, client):
    await asyncio.to_thread(reaching, *CREATE, "hourly", *HOURLY)
    paused = await asyncio.to_thread(reaching, "schedule", "pause", "hourly", "--reason", "holidays", "-o", "json")
    shown = await asyncio.to_thread(reaching, "schedule", "show", "hourly")
    async with asyncio.timeout(30):
        while True:
            listed = await asyncio.to_thread(reaching, "schedule", "list", "-o", "json")
            if [(row["name"], row["paused"]) for row in listed.json] == [("hourly", True)]:
                break
    resumed = await asyncio.to_thread(reaching, "schedule", "resume", "hourly", "-o", "json")
    deleted = await asyncio.to_thread(reaching, "schedule", "delete", "hourly")
    gone = await asyncio.to_thread(reaching, "schedule", "show", "hourly")

    assert (paused.json["paused"], paused.json["note"]) == (True, "holidays")
    assert "paused: holidays" in shown.out
    assert listed.json[0]["timing"]["every"] == "PT1H"
    assert (resumed.json["paused"], resumed.json["note"]) == (False, None)
    assert deleted.out == "schedule hourly is deleted\n"
    assert (gone.code, "there is no schedule hourly" in gone.err) == (2, True)


async def test_the_schedules_of_other_workflows_are_not_ours_to_touch(reaching, client):
    from temporalio.client import Schedule, ScheduleActionStartWorkflow, ScheduleIntervalSpec, ScheduleSpec

    action = ScheduleActionStartWorkflow("Theirs", id="theirs", task_queue="theirs")
    spec = ScheduleSpec(intervals=[ScheduleIntervalSpec(every=timedelta(hours=1))])
    await client.create_schedule("theirs", Schedule(action=action, spec=spec))

    ran = await asyncio.to_thread(reaching, "schedule", "delete", "theirs")

    assert (ran.code, "there is no schedule theirs" in ran.err) == (2, True)
    assert (await client.get_schedule_handle("theirs").describe()).id == "theirs"


async def test_a_scheduled_cycle_is_queued_skipped_over_listed_and_cancelled_as_any(reaching, client, paused):
    await asyncio.to_thread(reaching, *CREATE, "hourly", "A brief", *HOURLY, "--queue")
    cycle = await cycle_of(client, "hourly")
    await client.get_schedule_handle("hourly").trigger()
    await until(client, "hourly", lambda found: found.info.num_actions_skipped_overlap == 1)

    assert cycle.startswith("cycle-hourly-20")
    status = await asyncio.to_thread(reaching, "status", cycle, "-o", "json")
    listed = await asyncio.to_thread(reaching, "list", "-o", "json")
    budget = await asyncio.to_thread(reaching, "budget", "-o", "json")
    described = await client.get_workflow_handle(cycle).describe()
    cancelled = await asyncio.to_thread(reaching, "cancel", cycle)
    shown = await asyncio.to_thread(reaching, "schedule", "show", "hourly", "-o", "json")

    assert status.json["cycles"][0]["cycle"]["phase"] == "queued"
    assert listed.json[0]["cycle_id"] == cycle
    assert [waiting["cycle_id"] for waiting in budget.json["waiting"]] == [cycle]
    assert (described.workflow_type, await described.static_summary()) == (
        CYCLE_WORKFLOW,
        "EURUSD 1h, offline designer, seed 0: A brief",
    )
    assert "> A brief" in (await described.static_details() or "")
    assert (await described.memo())["brief"] == "A brief"
    assert cancelled.out == f"{cycle} is cancelled in queued\n"
    assert (shown.json["skipped"], shown.json["latest"][0]["cycle_id"]) == (1, cycle)


async def test_the_ledger_refuses_a_scheduled_cycle_as_any(reaching, client, paused):
    await asyncio.to_thread(reaching, *CREATE, "hourly", *HOURLY)
    cycle = await cycle_of(client, "hourly")

    ended = await asyncio.to_thread(reaching, "status", cycle, "--watch", "-o", "json")

    assert (ended.json["cycle"]["outcome"], ended.json["cycle"]["reason"]) == ("refused", "budget_paused")


async def test_a_scheduled_cycle_finds_its_artifacts_and_leaves_its_place(reaching, client, place, small: Path):
    await asyncio.to_thread(reaching, *CREATE, "hourly", *HOURLY, "--strategy", str(small), *OPEN, *STRICT)
    cycle = await cycle_of(client, "hourly")
    await asyncio.to_thread(reaching, "status", cycle, "--watch")

    shown = await asyncio.to_thread(reaching, "show", cycle, "-o", "json")
    idle = await asyncio.to_thread(reaching, "status", "-o", "json")

    assert shown.json["cycle"]["outcome"] == "rejected"
    for name in ("model", "history"):
        path = Path(shown.json["places"][name])
        assert path.is_file()
        assert path.is_relative_to(place.settings.artifacts / folder_name(cycle))
    assert idle.json["status"] == "idle"
