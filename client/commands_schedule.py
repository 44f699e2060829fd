"""`research schedule`: cycles that the server starts by itself, again and again."""

import re
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from client.commands_start import (
    BriefArgument,
    DesignerOption,
    MemoryOption,
    ModelOption,
    OnBudgetExhaustedOption,
    QueueOption,
    SeedOption,
    SetOption,
    StrategyOption,
    SymbolOption,
    TimeframeOption,
)
from client.exits import ExitCode, usage
from client.invocation import invocation

if TYPE_CHECKING:
    from temporalio.client import Client

    from client.schedules import ScheduleView

Answer = TypeVar("Answer")

schedule_app = typer.Typer(
    help="Cycles at recurring times: create, list, show, pause, resume, delete.",
    rich_markup_mode=None,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _fits(name: str) -> str:
    """A name that can stand in a cycle's id, in a file's name and in a query."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}", name):
        raise usage(
            f"{name[:64]!r} is no name of a schedule",
            "up to 40 letters, digits, hyphens and underscores, as in `nightly`; "
            "`research schedule list` shows those that there are",
        )
    return name


NameArgument = Annotated[str, typer.Argument(help="The schedule's name.", metavar="NAME", callback=_fits)]


@schedule_app.command("create", short_help="Have cycles started at recurring times.")
def create(
    ctx: typer.Context,
    name: NameArgument,
    brief: BriefArgument = "",
    every: Annotated[
        str | None, typer.Option(help="At this interval; 6h is 0, 6, 12 and 18 o'clock UTC.", metavar="LENGTH")
    ] = None,
    cron: Annotated[
        str | None, typer.Option(help='Or at these times, e.g. "0 18 * * 1-5": at 18:00, Monday to Friday.')
    ] = None,
    timezone: Annotated[
        str | None, typer.Option(help="Zone of --cron, e.g. Europe/Berlin. [default: UTC]", metavar="ZONE")
    ] = None,
    jitter: Annotated[
        str | None, typer.Option(help="Each run later by up to so much, drawn anew; at most 1d.", metavar="LENGTH")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The last day, in the zone of --cron.")
    ] = None,
    catch_up: Annotated[
        str,
        typer.Option(help="How late a run may begin where the server was not there on time.", metavar="LENGTH"),
    ] = "1h",
    symbol: SymbolOption = None,
    timeframe: TimeframeOption = None,
    designer: DesignerOption = None,
    model: ModelOption = None,
    strategy: StrategyOption = None,
    seed: SeedOption = 0,
    queue: QueueOption = False,
    on_budget_exhausted: OnBudgetExhaustedOption = "wait",
    memory: MemoryOption = None,
    set_: SetOption = None,
) -> ExitCode:
    """Have the server start a cycle at recurring times, until the schedule is deleted.

    Each run is a cycle as `research start` would start it, with the settings of now, and is admitted or refused by the
    budget as any other. While one still goes on, the next is skipped.
    """
    from client import schedules
    from client.asked import choose_designer, choose_model, request_from, thresholds_with
    from client.namespace import is_polled
    from client.strategy_files import read_strategy
    from client.timing import timing_from
    from domain.cycle import OnBudgetExhausted

    call = invocation(ctx)
    timing = timing_from(
        every=every,
        cron=cron,
        timezone=timezone,
        jitter=jitter,
        until=until.date() if until else None,
        catch_up=catch_up,
        now=datetime.now(UTC),
    )
    settings = call.settings()
    request = request_from(
        settings,
        brief=brief,
        symbol=symbol,
        timeframe=timeframe,
        designer=(chosen := choose_designer(designer, key_is_set=settings.claude_key is not None)),
        model=choose_model(model, chosen, call.screen.note),
        strategy=read_strategy(strategy) if strategy else None,
        seed=seed,
        queue=queue,
        on_budget_exhausted=OnBudgetExhausted(on_budget_exhausted),
        memory=memory,
        thresholds=thresholds_with(settings.thresholds, set_ or []),
        tell=call.screen.note,
    )

    async def made(client: "Client") -> "ScheduleView":
        view = await schedules.create(client, settings, name, timing, request)
        if not await is_polled(client, settings.task_queue):
            call.screen.note(
                f"note: no worker polls the task queue {settings.task_queue!r}; its cycles wait until one does"
            )
        return view

    view = _with_client(ctx, made)
    _show(ctx, view)
    if not view.next_runs:
        call.screen.note("note: no time to come fits: it will never start a cycle")
    call.screen.note(f"look at it: `research schedule show {name}`; end it: `research schedule delete {name}`")
    return ExitCode.OK


@schedule_app.command("list", short_help="All schedules, with their next run.")
def list_schedules(ctx: typer.Context) -> ExitCode:
    """All schedules of cycles: when, what, the next run and the last cycle. May be a moment behind."""
    from client import schedules
    from client.render_schedule import render_schedules

    found = _with_client(ctx, schedules.listed)
    invocation(ctx).screen.show(found, render_schedules(found), wide=True)
    return ExitCode.OK


@schedule_app.command("show", short_help="One schedule: its times, and its latest cycles.")
def show(ctx: typer.Context, name: NameArgument) -> ExitCode:
    """One schedule: its times, its next three runs, and its latest cycles with their outcomes."""
    from client import schedules

    _show(ctx, _with_client(ctx, lambda client: schedules.look_at(client, name)))
    return ExitCode.OK


@schedule_app.command("pause")
def pause(
    ctx: typer.Context,
    name: NameArgument,
    reason: Annotated[str, typer.Option(help="Why; shown with the schedule.")] = "no reason given",
) -> ExitCode:
    """Start no cycle until it is resumed. One that runs goes on."""
    from client import schedules

    _show(ctx, _with_client(ctx, lambda client: schedules.pause(client, name, reason)))
    return ExitCode.OK


@schedule_app.command("resume")
def resume(ctx: typer.Context, name: NameArgument) -> ExitCode:
    """Start cycles again. What fell into the pause is not made up for."""
    from client import schedules

    _show(ctx, _with_client(ctx, lambda client: schedules.resume(client, name)))
    return ExitCode.OK


@schedule_app.command("delete")
def delete(ctx: typer.Context, name: NameArgument) -> ExitCode:
    """End a schedule. A cycle that it has started goes on; what it has found stays."""
    from rich.text import Text

    from client import schedules

    gone = _with_client(ctx, lambda client: schedules.delete(client, name))
    goes_on = f"; {gone.running[0]} goes on: `research cancel {gone.running[0]}` ends it" if gone.running else ""
    invocation(ctx).screen.show(gone, Text(f"schedule {name} is deleted{goes_on}"))
    return ExitCode.OK


def _with_client(ctx: typer.Context, ask: "Callable[[Client], Coroutine[Any, Any, Answer]]") -> Answer:
    from client.cycles import reach, talk

    settings = invocation(ctx).settings()

    async def conversation() -> Answer:
        return await ask(await reach(settings))

    return talk(conversation())


def _show(ctx: typer.Context, view: "ScheduleView") -> None:
    from client.render_schedule import render_schedule

    invocation(ctx).screen.show(view, render_schedule(view))
