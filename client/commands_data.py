"""`research data`: the bars that can be used, and a user's own."""

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from client.commands_start import Timeframe
from client.exits import CommandError, ExitCode, usage
from client.invocation import Invocation, invocation

if TYPE_CHECKING:
    from engine.bars_report import BarsReport
    from engine.bars_times import TimeZoneNeeded

AssetClassName = Literal["fx", "equity", "index"]
ZoneOption = Annotated[
    str | None, typer.Option(help="Zone of times without offset, e.g. Europe/Berlin.", metavar="ZONE")
]
ColumnsOption = Annotated[
    str | None,
    typer.Option(
        help="Columns whose names are not the usual ones: timestamp=Day+Clock,open=O,high=H.", metavar="NAMES"
    ),
]

data_app = typer.Typer(
    help="List and check the bars that can be used, import your own.",
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
    file: Annotated[Path, typer.Argument(help="CSV or Parquet: timestamp, open, high, low, close, perhaps volume.")],
    symbol: Annotated[str, typer.Option(help="The symbol to keep it under.")],
    timeframe: Annotated[Timeframe, typer.Option()],
    asset_class: Annotated[AssetClassName, typer.Option(help="Decides costs and trading hours.")],
    timezone: ZoneOption = None,
    columns: ColumnsOption = None,
    replace: Annotated[bool, typer.Option("--replace", help="Put it in place of a set of the same name.")] = False,
) -> ExitCode:
    """Import a CSV or Parquet of bars. It is checked whole; a refusal names the lines."""
    from client.render_data import render_bars
    from domain.errors import ErrorCode, ResearchError
    from engine.bars_columns import parse_columns
    from engine.bars_import import import_bars
    from engine.bars_times import TimeZoneNeeded

    call = invocation(ctx)
    folder = call.settings().data
    try:
        named = parse_columns(columns) if columns is not None else {}
        try:
            info = import_bars(file, folder, symbol, timeframe, asset_class, timezone, replace, named)
        except TimeZoneNeeded as needed:
            timezone = _asked_zone(call, needed)
            info = import_bars(file, folder, symbol, timeframe, asset_class, timezone, replace, named)
    except ResearchError as error:
        if error.code is not ErrorCode.DATA_UNAVAILABLE:
            raise
        said = {"--asset-class": asset_class, "--timezone": timezone, "--columns": columns}
        mend = _mend(file, timeframe, said, zone_needed=isinstance(error, TimeZoneNeeded))
        raise CommandError(ExitCode.USAGE, error.code.value, error.message, mend) from error
    call.screen.show(info, render_bars([info]), wide=True)
    for remark in info.remarks:
        call.screen.note(f"note: {remark}")
    return ExitCode.OK


@data_app.command("check", short_help="Say what is in a set of bars, or in a file before its import.")
def check_data(
    ctx: typer.Context,
    what: Annotated[str, typer.Argument(help="A symbol, or the path of a CSV or Parquet.", metavar="SYMBOL|FILE")],
    timeframe: Annotated[Timeframe | None, typer.Argument(help="Of a file: found by its times if left out.")] = None,
    asset_class: Annotated[
        AssetClassName | None, typer.Option(help="Of a file: decides what is a weekend and not a hole.")
    ] = None,
    timezone: ZoneOption = None,
    columns: ColumnsOption = None,
) -> ExitCode:
    """Say what is in a set of bars, or in a file before its import: holes, duplicates, impossible prices, spikes.

    Ends with 0 where it can be used, with 2 where an import would refuse it.
    """
    from client.render_data import render_report

    call = invocation(ctx)
    report = _report(call, what, timeframe, asset_class, timezone, columns)
    call.screen.show(report, render_report(report), wide=True)
    return ExitCode.OK if report.usable else ExitCode.USAGE


def _report(
    call: Invocation,
    what: str,
    timeframe: Timeframe | None,
    asset_class: AssetClassName | None,
    timezone: str | None,
    columns: str | None,
) -> "BarsReport":
    from domain.symbols import is_symbol
    from engine.bars import load_bars
    from engine.bars_columns import parse_columns
    from engine.bars_report import report_on_file, report_on_set
    from engine.bars_times import TimeZoneNeeded

    # What is both a symbol and a file is the symbol where a set's timeframe alone stands beside it.
    if is_symbol(what) and asset_class is None and timezone is None and columns is None:
        if timeframe is None:
            raise usage(
                f"a set of bars has a timeframe too, and none of {what.upper()} was given",
                f"`research data check {what.upper()} 1h`; for a file add --asset-class fx, equity or index",
            )
        return report_on_set(load_bars(what.upper(), timeframe, call.settings().data))
    if asset_class is None:
        raise usage(
            f"of a file it has to be known whose weekends it has, and of {what[:80]!r} it is not",
            "add --asset-class fx, equity or index",
        )
    named = parse_columns(columns) if columns is not None else {}
    try:
        return report_on_file(Path(what), timeframe, asset_class, timezone, named)
    except TimeZoneNeeded as needed:
        return report_on_file(Path(what), timeframe, asset_class, _asked_zone(call, needed), named)


def _mend(file: Path, timeframe: str, said: Mapping[str, str | None], *, zone_needed: bool) -> str:
    """What to type after a refused import. said: the options that `check` takes too."""
    if zone_needed:
        return "the same once more with --timezone UTC, or with the zone that the times are of"
    if not file.is_file():
        return "name a CSV or Parquet file that is there; docs/your-data.md says what has to be in it"
    options = [word for name, value in said.items() if value is not None for word in (name, value)]
    check = shlex.join(["research", "data", "check", str(file), timeframe, *options])
    return f"correct the file or the options, then import it again; `{check}` tells all that is in the file"


def _asked_zone(call: Invocation, needed: "TimeZoneNeeded") -> str:
    """The zone that a person at a terminal says; without one there the error stands."""
    if not (call.screen.is_text and sys.stdin.isatty() and sys.stderr.isatty()):
        raise needed
    call.screen.note("The times in this file carry no UTC offset. What zone are they in? (UTC, Europe/Berlin)")
    return str(typer.prompt("time zone", err=True)).strip()
