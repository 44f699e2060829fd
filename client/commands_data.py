"""`research data`: the bars that can be used, and a user's own."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from client.commands_start import Timeframe
from client.exits import ExitCode
from client.invocation import invocation

data_app = typer.Typer(
    help="List the bars that can be used, import your own.",
    rich_markup_mode=None,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@data_app.command("list")
def list_data(ctx: typer.Context) -> ExitCode:
    """The bars that cycles can use."""
    from client.render_data import render_bars
    from engine.bars import list_bars, unreadable_bars

    call = invocation(ctx)
    folder = call.settings().data
    found = list_bars(folder)
    call.screen.show(found, render_bars(found), wide=True)
    for path in unreadable_bars(folder):
        call.screen.note(f"not listed: {path} is no set of bars that can be read; delete it, or import its bars again")
    return ExitCode.OK


@data_app.command("import")
def import_data(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="A CSV with timestamp, open, high, low, close and perhaps volume.")],
    symbol: Annotated[str, typer.Option(help="The symbol to keep it under.")],
    timeframe: Annotated[Timeframe, typer.Option()],
    asset_class: Annotated[Literal["fx", "equity", "index"], typer.Option(help="Decides costs and trading hours.")],
    timezone: Annotated[
        str | None, typer.Option(help="Zone of times without offset, e.g. Europe/Berlin.", metavar="ZONE")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Put it in place of a set of the same name.")] = False,
) -> ExitCode:
    """Import a CSV of bars. It is checked whole; a refusal names the lines."""
    from client.render_data import render_bars
    from engine.bars_import import import_csv

    call = invocation(ctx)
    info = import_csv(file, call.settings().data, symbol.upper(), timeframe, asset_class, timezone, replace)
    call.screen.show(info, render_bars([info]), wide=True)
    for remark in info.remarks:
        call.screen.note(f"note: {remark}")
    return ExitCode.OK
