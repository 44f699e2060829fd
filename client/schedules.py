"""Schedules of cycles, as the Temporal server keeps them: it starts the cycles itself, whether or not anybody is there.

What a schedule starts is a cycle like any other, with its input as it was when the schedule was made, and takes the
one gate of all: the ledger admits it or refuses it. Its id is the schedule's with the time of its run.
"""

from datetime import datetime

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionExecutionStartWorkflow,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleDescription,
    ScheduleHandle,
    ScheduleIntervalSpec,
    ScheduleListActionStartWorkflow,
    ScheduleListDescription,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
)
from temporalio.service import RPCError, RPCStatusCode

from client import description
from client.cycles import cycle_input
from client.exits import CommandError, ExitCode, usage
from client.timing import Timing
from client.views import ListedCycle
from client.visibility import conditions, newest_cycles
from domain.cycle import CYCLE_WORKFLOW, CycleRequest
from domain.results import Frozen
from settings import Settings
from workflows.cycle_input import CycleInput

NEXT_RUNS = 3
LATEST_RUNS = 5
TIMING, ASKED = "timing", "asked"
"""Of a schedule's memo: its times as they were typed, since the server gives cron back in a form of its own; and what
its cycles are asked for, in one line, for the list.
"""


class ScheduleView(Frozen):
    """A schedule. timing: None where another program than this one has made it, and the server alone knows.

    note: why it is paused. next_runs: as things are now; while it is paused they are not made. skipped: since the run
    before had not ended. missed: since the server was not there for longer than the catch-up window.
    """

    name: str
    timing: Timing | None
    overlap: str
    paused: bool
    note: str | None
    request: CycleRequest
    next_runs: tuple[datetime, ...]
    latest: tuple[ListedCycle, ...]
    started: int
    skipped: int
    missed: int


class ListedSchedule(Frozen):
    """One line of the list, which may be a moment behind."""

    name: str
    timing: Timing | None
    asked: str
    paused: bool
    note: str | None
    next_run: datetime | None
    last_cycle: str | None


class Deleted(Frozen):
    """A schedule that is no more. running: the cycles of it that go on."""

    name: str
    running: tuple[str, ...]


def id_of_runs(name: str) -> str:
    """How the ids of a schedule's cycles begin; the server adds the time, as in cycle-nightly-2026-03-01T18:00:00Z."""
    return f"cycle-{name}"


async def create(client: Client, settings: Settings, name: str, timing: Timing, request: CycleRequest) -> ScheduleView:
    """Make a schedule. Raises the usage error where there is one of that name, or where the server takes no such cron
    line.
    """
    start = cycle_input(settings, request)
    action = ScheduleActionStartWorkflow(
        CYCLE_WORKFLOW,
        start,
        id=id_of_runs(name),
        task_queue=settings.task_queue,
        execution_timeout=settings.policies.life,
        static_summary=description.summary(start.request),
        static_details=description.details(start.request),
        memo=description.memo(start.request),
    )
    schedule = Schedule(
        action=action,
        spec=ScheduleSpec(
            intervals=[ScheduleIntervalSpec(every=timing.every)] if timing.every else [],
            cron_expressions=[timing.cron] if timing.cron else [],
            time_zone_name=timing.timezone,
            jitter=timing.jitter,
            end_at=timing.until,
        ),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=timing.catch_up),
    )
    memo = {TIMING: timing.model_dump(mode="json"), ASKED: description.summary(start.request)}
    try:
        await client.create_schedule(name, schedule, memo=memo)
    except ScheduleAlreadyRunningError as error:
        raise usage(
            f"there is a schedule {name} already",
            f"`research schedule show {name}` shows it, `research schedule delete {name}` makes room",
        ) from error
    except RPCError as error:
        if error.status is not RPCStatusCode.INVALID_ARGUMENT:
            raise
        raise usage(
            f"the server takes no such schedule: {error.message}",
            'five fields, as in --cron "0 18 * * 1-5": minute, hour, day, month, day of the week',
        ) from error
    return await look_at(client, name)


async def look_at(client: Client, name: str) -> ScheduleView:
    """A schedule as it is now, with its latest cycles. Raises the error for a name that nobody knows."""
    found = await _describe(client, name)
    start = await _input_of(client, found)
    query = (*conditions(), f"TemporalScheduledById = '{name}'")
    info, state = found.info, found.schedule.state
    return ScheduleView(
        name=name,
        timing=await _timing(found),
        overlap=found.schedule.policy.overlap.name.lower(),
        paused=state.paused,
        note=state.note if state.paused else None,
        request=start.request,
        next_runs=tuple(info.next_action_times[:NEXT_RUNS]),
        latest=tuple(await newest_cycles(client, query, LATEST_RUNS)),
        started=info.num_actions,
        skipped=info.num_actions_skipped_overlap,
        missed=info.num_actions_missed_catchup_window,
    )


async def listed(client: Client) -> list[ListedSchedule]:
    """All schedules of cycles, by name."""
    rows = [await _row(each) async for each in await client.list_schedules() if _starts_cycles(each)]
    return sorted(rows, key=lambda row: row.name)


async def pause(client: Client, name: str, reason: str) -> ScheduleView:
    """Let it start nothing until it is resumed."""
    await (await _handle(client, name)).pause(note=reason)
    return await look_at(client, name)


async def resume(client: Client, name: str) -> ScheduleView:
    """Let it start cycles again."""
    await (await _handle(client, name)).unpause(note="research schedule resume")
    return await look_at(client, name)


async def delete(client: Client, name: str) -> Deleted:
    """End a schedule. A cycle that it has started goes on."""
    found = await _describe(client, name)
    running = [each for each in found.info.running_actions if isinstance(each, ScheduleActionExecutionStartWorkflow)]
    await client.get_schedule_handle(name).delete()
    return Deleted(name=name, running=tuple(each.workflow_id for each in running))


async def _handle(client: Client, name: str) -> ScheduleHandle:
    """Of a schedule that starts cycles: others in the namespace are not ours to touch."""
    await _describe(client, name)
    return client.get_schedule_handle(name)


async def _describe(client: Client, name: str) -> ScheduleDescription:
    try:
        found = await client.get_schedule_handle(name).describe()
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        raise await _unknown(client, name) from error
    action = found.schedule.action
    if not isinstance(action, ScheduleActionStartWorkflow) or action.workflow != CYCLE_WORKFLOW:
        raise await _unknown(client, name)
    return found


async def _unknown(client: Client, name: str) -> CommandError:
    from difflib import get_close_matches

    nearest = get_close_matches(name, [row.name for row in await listed(client)], n=1)
    hint = f"; did you mean {nearest[0]}?" if nearest else ""
    return CommandError(
        ExitCode.USAGE, "not_found", f"there is no schedule {name}{hint}", "`research schedule list` shows their names"
    )


async def _input_of(client: Client, found: ScheduleDescription) -> CycleInput:
    payloads = found.raw_description.schedule.action.start_workflow.input.payloads
    try:
        (start,) = await client.data_converter.decode(payloads, [CycleInput])
    except (ValueError, RuntimeError) as error:
        raise CommandError(
            ExitCode.FAILED, "schedule_unreadable", f"what the schedule starts is no cycle of this version: {error}"
        ) from error
    return CycleInput.model_validate(start)


async def _timing(found: ScheduleDescription | ScheduleListDescription) -> Timing | None:
    told = await found.memo_value(TIMING, None)
    try:
        return Timing.model_validate(told) if told else None
    except ValueError:
        return None


def _starts_cycles(each: ScheduleListDescription) -> bool:
    action = each.schedule.action if each.schedule else None
    return isinstance(action, ScheduleListActionStartWorkflow) and action.workflow == CYCLE_WORKFLOW


async def _row(each: ScheduleListDescription) -> ListedSchedule:
    state = each.schedule.state if each.schedule else None
    ahead = each.info.next_action_times if each.info else ()
    recent = [action.action for action in (each.info.recent_actions if each.info else ())]
    started = [action.workflow_id for action in recent if isinstance(action, ScheduleActionExecutionStartWorkflow)]
    return ListedSchedule(
        name=each.id,
        timing=await _timing(each),
        asked=str(await each.memo_value(ASKED, "")),
        paused=state.paused if state else False,
        note=state.note if state and state.paused else None,
        next_run=ahead[0] if ahead else None,
        last_cycle=started[-1] if started else None,
    )
