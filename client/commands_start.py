"""`research start`: what was typed becomes a checked request, and the request a cycle."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from client.exits import CommandError, ExitCode, usage
from client.invocation import Invocation, invocation

if TYPE_CHECKING:
    from client.views import CycleView, Started
    from domain.cycle import CycleRequest
    from settings import Settings

Timeframe = Literal["1m", "5m", "15m", "30m", "1h", "4h", "1d", "1w"]

# What a cycle is asked for, for every command that has one made.
BriefArgument = Annotated[str, typer.Argument(help="What to research, in your own words.")]
SymbolOption = Annotated[str | None, typer.Option(help="Bars to use; see `research data list`. [default: EURUSD]")]
TimeframeOption = Annotated[Timeframe | None, typer.Option(help="Length of a bar. [default: 1h]")]
DesignerOption = Annotated[
    Literal["claude", "offline"] | None,
    typer.Option(help="Who designs and assesses; `offline` needs no key. [default: claude, where a key is set]"),
]
ModelOption = Annotated[
    str | None,
    typer.Option(help="Claude's model: opus, sonnet, haiku, fable or a full id. [default: RESEARCH_MODEL]"),
]
StrategyOption = Annotated[
    Path | None, typer.Option(help="A finished strategy file: skips the design.", metavar="FILE")
]
SeedOption = Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Seed of every random choice.")]
QueueOption = Annotated[bool, typer.Option("--queue", help="Wait for a slot and funds instead of being refused.")]
OnBudgetExhaustedOption = Annotated[
    Literal["wait", "fail"],
    typer.Option(help="Where the day has no more for a cycle that runs: wait for more, or fail with what it has."),
]
MemoryOption = Annotated[
    str | None,
    typer.Option(help="Design from this earlier memory, as `research show CYCLE` names it.", metavar="SNAPSHOT"),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="A gate's bound, e.g. backtest_min_trades=20.", metavar="KEY=VALUE"),
]

# How long a command stays with the cycle that it starts.
FollowOption = Annotated[bool, typer.Option("--follow", "-f", help="Show the cycle until it ends.")]
WaitOption = Annotated[bool, typer.Option("--wait", "-w", help="Wait for the end, then show the result.")]
TimeoutOption = Annotated[
    float | None, typer.Option(min=0.1, help="Seconds to stay with it at most; the cycle itself goes on.")
]


def start(
    ctx: typer.Context,
    brief: BriefArgument = "",
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
    follow: FollowOption = False,
    wait: WaitOption = False,
    timeout: TimeoutOption = None,
    dev: Annotated[
        bool, typer.Option("--dev", help="Start server and worker for as long as needed; implies --wait.")
    ] = False,
) -> ExitCode:
    """Start a research cycle.

    Ends with 0 once it is admitted; with --follow or --wait with the outcome's code: 0 completed, 5 rejected by a
    gate, 1 failed, 9 cancelled, 7 wait timed out; 3 or 8 where it was refused.
    """
    from client.asked import choose_designer, choose_model, request_from, thresholds_with
    from client.strategy_files import read_strategy
    from domain.cycle import OnBudgetExhausted

    call = invocation(ctx)
    if timeout is not None and not (follow or wait or dev):
        raise usage("--timeout needs --follow, --wait or --dev", "add one of them")
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
    return start_request(call, settings, request, follow=follow, stay=follow or wait or dev, timeout=timeout, dev=dev)


def start_request(
    call: Invocation,
    settings: "Settings",
    request: "CycleRequest",
    *,
    follow: bool,
    stay: bool,
    timeout: float | None,
    dev: bool,
) -> ExitCode:
    """Start the request, and stay with the cycle where that is asked for."""
    from contextlib import AsyncExitStack

    from rich.console import Group

    from client.cycles import reach, require_worker, start_cycle, talk
    from client.dev import dev_stack
    from client.limits import tell_limits
    from client.live import exit_of, how_to_return, watch
    from client.looks import look_at
    from client.render_cycle import render_cycle
    from client.render_results import render_places, render_results

    started: Started | None = None
    stack_ends = False

    async def conversation() -> "CycleView | None":
        nonlocal started, stack_ends
        async with AsyncExitStack() as stack:
            reaching = settings
            if dev:
                local = await stack.enter_async_context(dev_stack(settings, call.screen.note))
                reaching, stack_ends = local.settings, local.started_here
            client = await reach(reaching)
            await require_worker(client, reaching.task_queue)
            if news := await tell_limits(client, reaching.named_limits):
                call.screen.note(f"note: {news}")
            started = await start_cycle(client, reaching, request)
            _tell_admission(call, started, stay=stay)
            if not stay:
                return None
            look = look_at(client, reaching, started.cycle_id)
            return await watch(look, call.screen, quiet=not follow, seconds=timeout, stack_ends=stack_ends)

    try:
        view = talk(conversation())
    except KeyboardInterrupt:
        if started:
            call.screen.note(f"{started.cycle_id}: {how_to_return(started.cycle_id, stack_ends=stack_ends)}")
        raise
    if view is None:
        return ExitCode.OK
    # The live view has already shown the cycle's end, but for the results.
    story = render_results(view.cycle) if follow and call.screen.is_live else render_cycle(view, verbose=True)
    call.screen.show(view, Group(story, render_places(view.places)))
    return exit_of(view.cycle)


def _tell_admission(call: Invocation, started: "Started", *, stay: bool) -> None:
    """Tell what the ledger said. A refusal is the error of exit code 3 or 8."""
    from client.live import ANOTHER_ACTIVE
    from client.refusal import refusal_mend, refusal_message
    from client.render_values import clean
    from domain.cycle import AdmissionState

    admission = started.admission
    if admission.state is AdmissionState.REFUSED:
        active = admission.reason == ANOTHER_ACTIVE
        raise CommandError(
            ExitCode.ANOTHER_CYCLE_ACTIVE if active else ExitCode.REFUSED_BY_BUDGET,
            admission.reason or "refused",
            refusal_message(started),
            refusal_mend(admission),
            {"started": started},
        )
    if stay:
        return
    from rich.text import Text

    place = f", place {admission.position}" if admission.position else ""
    word = {
        AdmissionState.QUEUED: f"is in the queue{place}: {admission.message}",
        AdmissionState.PENDING: f"is started, and waits for the budget ledger: {admission.message}",
    }.get(admission.state, "is started")
    call.screen.show(started, Text(clean(f"{started.cycle_id} {word}")))
    if call.screen.is_text:
        call.screen.note(f"follow it: `research status {started.cycle_id} --watch`")
