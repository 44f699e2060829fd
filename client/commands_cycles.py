"""`research status`, `list`, `show`, `cancel`: looking at cycles and ending them."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from client.exits import ExitCode, usage
from client.invocation import Invocation, invocation

if TYPE_CHECKING:
    from client.transcript import Transcript
    from client.views import CycleView, StatusView
    from domain.cycle import CycleStatus
    from settings import Settings


def _named(cycle: str | None) -> str | None:
    """An id, where one is given: an empty one, as of a variable that is not set, must not stand for what is active."""
    if cycle is not None and not cycle.strip():
        raise usage("the cycle's id is empty", "name the cycle, or leave it out; `research list` shows the ids")
    return cycle


CycleArgument = Annotated[
    str | None, typer.Argument(help="A cycle's id. [default: what is active]", metavar="[CYCLE]", callback=_named)
]
NamedCycle = Annotated[str, typer.Argument(help="A cycle's id.", metavar="CYCLE", callback=_named)]
DEFAULT_REASON = "research cancel"


def status(
    ctx: typer.Context,
    cycle: CycleArgument = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Add training and backtest results.")] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Keep it live until the cycle ends.")] = False,
) -> ExitCode:
    """What happens now: the active cycles, or one by its id; the budget where nothing runs."""
    call = invocation(ctx)
    if watch:
        return _watch(call, cycle)
    from client.cycles import talk
    from client.render_cycle import render_status

    found = talk(_status(call.settings(), cycle))
    call.screen.show(found, render_status(found, verbose=verbose))
    return ExitCode.OK


def list_cycles(
    ctx: typer.Context,
    outcome: Annotated[
        Literal["completed", "rejected", "refused", "failed", "cancelled"] | None,
        typer.Option(help="Only cycles that ended so."),
    ] = None,
    verdict: Annotated[
        Literal["promising", "neutral", "poor"] | None, typer.Option(help="Only cycles that were assessed so.")
    ] = None,
    symbol: Annotated[str | None, typer.Option(help="Only cycles of this symbol.")] = None,
    sort: Annotated[
        Literal["started", "sharpe"], typer.Option(help="Newest first, or the highest Sharpe ratio first.")
    ] = "started",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 20,
) -> ExitCode:
    """Cycles, newest first, or the best first."""
    from client import cycles
    from client.render_cycle import render_list
    from client.render_values import count
    from client.visibility import Best, best_cycles, conditions, newest_cycles
    from domain.cycle import Outcome
    from domain.results import Verdict
    from domain.symbols import is_symbol

    call = invocation(ctx)
    if symbol is not None and not is_symbol(symbol):
        raise usage(f"{symbol[:64]!r} is not a symbol", "`research data list` shows the symbols")
    settings = call.settings()

    asked = conditions(
        outcome=Outcome(outcome) if outcome else None,
        verdict=Verdict(verdict) if verdict else None,
        symbol=symbol.upper() if symbol else None,
    )

    async def conversation() -> Best:
        client = await cycles.reach(settings)
        if sort == "sharpe":
            return await best_cycles(client, asked, limit)
        return Best(await newest_cycles(client, asked, limit), 0)

    found, left_out = cycles.talk(conversation())
    call.screen.show(found, render_list(found), wide=True)
    if left_out:
        call.screen.note(f"not sorted in: {count(left_out)} older cycles that have a Sharpe ratio")
    return ExitCode.OK


def show(
    ctx: typer.Context,
    cycle: NamedCycle,
    transcript: Annotated[
        bool, typer.Option("--transcript", help="What the cycle and its model said to each other, instead.")
    ] = False,
) -> ExitCode:
    """The whole story of one cycle: gates with every bound, results, verdict, tokens, and where all of it lies."""
    from client.cycles import talk
    from client.render_cycle import render_story

    call = invocation(ctx)
    if transcript:
        from client.render_transcript import render_transcript

        said = talk(_transcript(call.settings(), cycle))
        call.screen.show(said, render_transcript(said))
        return ExitCode.OK
    found = talk(_show(call.settings(), cycle))
    call.screen.show(found, render_story(found))
    return ExitCode.OK


def cancel(
    ctx: typer.Context,
    cycle: CycleArgument = None,
    reason: Annotated[str, typer.Option(help="Why; kept with the cycle.")] = DEFAULT_REASON,
) -> ExitCode:
    """End a cycle in the phase where it is; without an id, the only active one."""
    from rich.text import Text

    from client.cycles import came_to, talk

    call = invocation(ctx)
    cycle_id, found, ended = talk(_cancel(call.settings(), cycle, reason))
    answer = came_to(cycle_id, found, ended)
    waits = f"it waits for {found.waiting_for}" if found and found.waiting_for and not ended else ""
    if found is None and ended:
        told = f"{cycle_id} has ended, and no worker tells how; `research show {cycle_id}` tells what is recorded"
    elif found is None or found.outcome is None:
        told = f"{cycle_id} is being cancelled; `research status {cycle_id}` shows when it ends"
    else:
        phase = f" in {found.stopped_in.value}" if found.stopped_in else ""
        # An earlier cancel's reason stands; and a service may still be at work for it.
        why = f": {found.reason}" if found.reason != reason else ""
        told = f"{cycle_id} is cancelled{phase}{why}" + (f"; {waits}" if waits else "")
    call.screen.show(answer, Text(told))
    return ExitCode.OK


async def _status(settings: "Settings", cycle: str | None) -> "StatusView":
    import asyncio

    from client import cycles
    from client.budget import budget_status
    from client.looks import look_at
    from client.views import StatusView
    from client.visibility import conditions, newest_cycles

    client = await cycles.reach(settings)
    if cycle:
        found = [await look_at(client, settings, cycle)()]
    else:
        active = await newest_cycles(client, conditions(active=True), 1000)
        found = await asyncio.gather(*(look_at(client, settings, one.cycle_id)() for one in active))
    running = [one for one in found if one.cycle.outcome is None]
    shown = found if cycle else running
    word = "active" if running else "ended" if shown else "idle"
    return StatusView(status=word, cycles=tuple(shown), budget=await budget_status(client))


async def _show(settings: "Settings", cycle: str) -> "CycleView":
    from client.looks import find

    return (await find(settings, cycle)).view


async def _transcript(settings: "Settings", cycle: str) -> "Transcript":
    from client import cycles
    from client.transcript import transcript_of

    return await transcript_of(await cycles.reach(settings), cycle)


async def _cancel(settings: "Settings", cycle: str | None, reason: str) -> "tuple[str, CycleStatus | None, bool]":
    from client import cycles

    client = await cycles.reach(settings)
    cycle_id = cycle or await cycles.only_active(client)
    return cycle_id, *await cycles.cancel_cycle(client, cycle_id, reason)


def _watch(call: Invocation, cycle: str | None) -> ExitCode:
    from client import cycles
    from client.live import how_to_return, watch
    from client.looks import look_at

    watched: str | None = cycle
    settings = call.settings()

    async def conversation() -> "CycleView":
        nonlocal watched
        client = await cycles.reach(settings)
        watched = cycle or await cycles.only_active(client)
        return await watch(look_at(client, settings, watched), call.screen)

    try:
        last = cycles.talk(conversation())
    except KeyboardInterrupt:
        if watched:
            call.screen.note(f"{watched}: {how_to_return(watched)}")
        raise
    if call.screen.format.value == "json":
        call.screen.show(last, "")
    return ExitCode.OK
