"""`research fork`: a new cycle that takes over what an earlier one has finished."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from client.commands_cycles import NamedCycle
from client.commands_start import (
    FollowOption,
    OnBudgetExhaustedOption,
    QueueOption,
    SetOption,
    TimeoutOption,
    WaitOption,
    start_request,
)
from client.exits import CommandError, ExitCode, usage
from client.invocation import invocation

if TYPE_CHECKING:
    from domain.cycle import CycleStatus
    from settings import Settings


def fork(
    ctx: typer.Context,
    cycle: NamedCycle,
    from_: Annotated[
        Literal["train", "backtest", "assess"],
        typer.Option("--from", help="The first phase that is done anew; what comes before it is taken over."),
    ],
    designer: Annotated[
        Literal["claude", "offline"] | None, typer.Option(help="Who assesses. [default: as in that cycle]")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Claude's model, by a short name or its id. [default: as in that cycle]")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, max=2**31 - 1, help="Of the training, with --from train. [default: as in that cycle]"),
    ] = None,
    queue: QueueOption = False,
    on_budget_exhausted: OnBudgetExhaustedOption = "wait",
    set_: SetOption = None,
    follow: FollowOption = False,
    wait: WaitOption = False,
    timeout: TimeoutOption = None,
) -> ExitCode:
    """Start a new cycle with the finished phases of an ended one: nothing of them is done or paid again.

    It is asked what the other was asked, but for what the options change. Ends as `research start` does.
    """
    from client.asked import choose_designer, choose_model, thresholds_with
    from client.cycles import talk
    from domain.cycle import CycleRequest, DesignerKind, Fork, OnBudgetExhausted, Phase
    from domain.forking import inherited_from, require_model

    call = invocation(ctx)
    if timeout is not None and not (follow or wait):
        raise usage("--timeout needs --follow or --wait", "add one of them")
    if seed is not None and from_ != "train":
        raise usage("--seed is of the training, which is taken over", "leave it out, or fork with --from train")
    settings = call.settings()
    source = talk(_ended(settings, cycle))
    asked = source.request
    phase = {"train": Phase.TRAINING, "backtest": Phase.BACKTESTING, "assess": Phase.ASSESSING}[from_]
    origin = Fork.model_validate({"cycle_id": source.cycle_id, "run_id": source.run_id, "phase": phase})
    # As the worker will: what the source lacks is told before anything is started. Where models lie only a worker may
    # see; then its first step tells.
    taken = inherited_from(source, origin)
    if settings.artifacts.is_dir():
        require_model(taken, origin, lambda path: (settings.artifacts / path).is_file())
    chosen = choose_designer(designer or asked.designer.value, key_is_set=settings.claude_key is not None)
    # A model's name is of use to Claude alone, and the source's is checked already.
    kept = asked.model if chosen is DesignerKind.CLAUDE else None
    changes = {
        "designer": chosen,
        "model": choose_model(model, chosen, call.screen.note) or kept,
        "strategy": source.strategy,
        "thresholds": thresholds_with(asked.thresholds, set_ or []),
        "on_budget_exhausted": OnBudgetExhausted(on_budget_exhausted),
        "queue": queue,
        "seed": asked.seed if seed is None else seed,
        "fork": origin,
    }
    request = CycleRequest.model_validate({**dict(asked), **changes})
    return start_request(call, settings, request, follow=follow, stay=follow or wait, timeout=timeout, dev=False)


async def _ended(settings: "Settings", cycle: str) -> "CycleStatus":
    """The record of the cycle that is to be forked."""
    from client import cycles
    from client.looks import LazyRecords

    found = await cycles.fetch(await cycles.reach(settings), LazyRecords(settings), cycle)
    if found.status.outcome is None or found.running:
        raise CommandError(
            ExitCode.USAGE,
            "not_ended",
            f"{cycle} has not ended, and only an ended cycle can be forked",
            f"wait for it with `research status {cycle} --watch`, or end it with `research cancel {cycle}`",
        )
    return found.status
