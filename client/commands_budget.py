"""`research budget`: the day's budget, its limits, its calls."""

from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from client.exits import ExitCode, usage
from client.invocation import invocation, problems

if TYPE_CHECKING:
    from temporalio.client import Client

    from domain.ledger import BudgetStatus

Answer = TypeVar("Answer")

budget_app = typer.Typer(
    help="The day's budget: show, limit, pause.", rich_markup_mode=None, pretty_exceptions_enable=False
)


@budget_app.callback(invoke_without_command=True)
def budget(ctx: typer.Context) -> ExitCode:
    """The day's budget: show it, or limit, pause and resume it. Days are UTC days."""
    if ctx.invoked_subcommand is None:
        from client.budget import require_status

        _show(ctx, _with_client(ctx, require_status))
    return ExitCode.OK


@budget_app.command("set")
def set_limits(
    ctx: typer.Context,
    tokens: Annotated[int | None, typer.Option(min=0, help="Tokens a day.")] = None,
    usd: Annotated[str | None, typer.Option(help="Dollars a day, or `none` for no limit.", metavar="USD")] = None,
    max_active: Annotated[int | None, typer.Option(min=1, max=1000, help="Cycles at once.")] = None,
) -> ExitCode:
    """Change the limits of the running ledger. Those who wait and now fit are let in at once."""
    from pydantic import ValidationError

    from client import budget as ledger
    from domain.ledger import LimitsChange

    if tokens is None and usd is None and max_active is None:
        raise usage("nothing to set", "name --tokens, --usd or --max-active")
    lift = usd is not None and usd.lower() == "none"
    try:
        change = LimitsChange.model_validate(
            {
                "tokens_per_day": tokens,
                "usd_per_day": None if lift else usd,
                "lift_usd_limit": lift,
                "max_active_cycles": max_active,
            }
        )
    except ValidationError as error:
        raise usage(_as_options(problems(error))) from error
    _show(ctx, _with_client(ctx, lambda client: ledger.set_limits(client, change)))
    return ExitCode.OK


@budget_app.command("pause")
def pause(ctx: typer.Context, reason: Annotated[str, typer.Argument(help="Why; shown to everybody.")]) -> ExitCode:
    """Let no new cycle in. Those in flight go on with what they hold."""
    from client import budget as ledger

    _show(ctx, _with_client(ctx, lambda client: ledger.pause(client, reason)))
    return ExitCode.OK


@budget_app.command("resume")
def resume(ctx: typer.Context) -> ExitCode:
    """Let cycles in again."""
    from client import budget as ledger

    _show(ctx, _with_client(ctx, ledger.resume))
    return ExitCode.OK


@budget_app.command("restart")
def restart(ctx: typer.Context) -> ExitCode:
    """Start a ledger in place of one that was ended. This day and the one before it count as spent, and what running
    cycles still hold is taken over. Does nothing while a ledger runs.
    """
    from activities.budget import restart_budget
    from client import budget as ledger
    from client.render_budget import what_a_restart_did

    settings, screen = invocation(ctx).settings(), invocation(ctx).screen

    async def started(client: "Client") -> "BudgetStatus":
        adopted = await restart_budget(client, settings.task_queue, settings.limits)
        if adopted is None:
            screen.note("a ledger runs: nothing was done")
        else:
            screen.note(what_a_restart_did(await ledger.budget_history(client), adopted))
        return await ledger.require_status(client)

    _show(ctx, _with_client(ctx, started))
    return ExitCode.OK


@budget_app.command("entries")
def entries(
    ctx: typer.Context,
    day: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="A UTC day. [default: today]")] = None,
) -> ExitCode:
    """Every call of a day, by cycle and phase."""
    from client import budget as ledger
    from client.render_budget import render_entries

    chosen = day.date() if day else None
    found = _with_client(ctx, lambda client: ledger.budget_entries(client, chosen))
    invocation(ctx).screen.show(found, render_entries(found), wide=True)
    return ExitCode.OK


@budget_app.command("history")
def history(ctx: typer.Context) -> ExitCode:
    """The last 30 days."""
    from client import budget as ledger
    from client.render_budget import render_history

    found = _with_client(ctx, ledger.budget_history)
    invocation(ctx).screen.show(found, render_history(found), wide=True)
    return ExitCode.OK


@budget_app.command("verify")
def verify(
    ctx: typer.Context,
    day: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="A UTC day. [default: today]")] = None,
) -> ExitCode:
    """Recompute a day from its cycles' histories. Compares it with the ledger, call by call.

    Exit code 0 where they are equal as far as can be said, 1 where they differ.
    """
    from client.audit import audit
    from client.render_audit import render_audit

    today = datetime.now(UTC).date()
    chosen = day.date() if day else today
    if chosen > today:
        raise usage(f"{chosen} has not begun yet, in UTC", "name a day up to today with --day YYYY-MM-DD")
    found = _with_client(ctx, lambda client: audit(client, chosen))
    invocation(ctx).screen.show(found, render_audit(found), wide=True)
    return ExitCode.OK if found.equal else ExitCode.FAILED


def _as_options(text: str) -> str:
    for field, option in (
        ("tokens_per_day", "--tokens"),
        ("usd_per_day", "--usd"),
        ("max_active_cycles", "--max-active"),
    ):
        text = text.replace(field, option)
    return text


def _with_client(ctx: typer.Context, ask: "Callable[[Client], Coroutine[Any, Any, Answer]]") -> Answer:
    from client.cycles import reach, talk

    settings = invocation(ctx).settings()

    async def conversation() -> Answer:
        return await ask(await reach(settings))

    return talk(conversation())


def _show(ctx: typer.Context, status: "BudgetStatus") -> None:
    from client.render_budget import render_budget

    invocation(ctx).screen.show(status, render_budget(status))
