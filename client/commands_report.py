"""`research report` and `research leaderboard`: what cycles found, as pages with plots and as a ranking."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import typer

from client.commands_cycles import NamedCycle
from client.commands_start import Timeframe
from client.exits import ExitCode, usage
from client.invocation import invocation


def report(
    ctx: typer.Context,
    cycle: NamedCycle,
    out: Annotated[
        Path | None, typer.Option(help="Where the page goes. [default: reports/ in RESEARCH_HOME]", metavar="FILE")
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
) -> ExitCode:
    """One cycle as a page with plots, whole in one file: equity, trades, learning curves, gates, cost, strategy."""
    from rich.text import Text

    from client.cycles import talk
    from client.places import report_of
    from client.report import report as page_of
    from client.report_data import WrittenReport, gather
    from client.report_page import write

    call = invocation(ctx)
    settings = call.settings()
    material = talk(gather(settings, cycle))
    path = (out.expanduser().absolute()) if out else report_of(material.cycle.cycle_id, settings)
    written = write(path, page_of(material))
    answer = WrittenReport(cycle_id=material.cycle.cycle_id, path=path, bytes=written)
    call.screen.show(answer, Text(str(path), no_wrap=True, overflow="ignore"))
    if open_:
        _open(path, call.screen.note)
    return ExitCode.OK


def leaderboard(
    ctx: typer.Context,
    symbol: Annotated[str | None, typer.Option(help="Only backtests of this symbol.")] = None,
    timeframe: Annotated[Timeframe | None, typer.Option(help="Only backtests of bars of this length.")] = None,
    verdict: Annotated[
        Literal["promising", "neutral", "poor"] | None, typer.Option(help="Only cycles that were assessed so.")
    ] = None,
    designer: Annotated[
        Literal["claude", "offline"] | None, typer.Option(help="Only cycles whose designer this was.")
    ] = None,
    min_trades: Annotated[int, typer.Option(min=0, help="Only backtests with so many trades.")] = 0,
    sort: Annotated[
        Literal["sharpe", "deflated", "return", "drawdown"],
        typer.Option(help="What ranks; deflated: the excess Sharpe's lower bound less the luck of all trials."),
    ] = "deflated",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 20,
    html: Annotated[Path | None, typer.Option(help="Write them as a page with plots, too.", metavar="FILE")] = None,
) -> ExitCode:
    """All cycles with a backtest, the best first, and how many trials the best was chosen from."""
    from client.leaderboard import Asked, ranked
    from client.render_leaderboard import render_leaderboard
    from domain.cycle import DesignerKind
    from domain.results import Verdict
    from domain.symbols import is_symbol

    call = invocation(ctx)
    if symbol is not None and not is_symbol(symbol):
        raise usage(f"{symbol[:64]!r} is not a symbol", "`research data list` shows the symbols")
    asked = Asked(
        symbol=symbol.upper() if symbol else None,
        timeframe=timeframe,
        verdict=Verdict(verdict) if verdict else None,
        designer=DesignerKind(designer) if designer else None,
        min_trades=min_trades,
        sort=sort,
        limit=limit,
    )
    settings = call.settings()
    board = ranked(settings, asked)
    call.screen.show(board.rows, render_leaderboard(board), wide=True)
    if not board.made:
        call.screen.note(
            "there is no store yet; the first cycle makes it: `research dev`, then `research start --designer offline`"
        )
    if html:
        from client.leaderboard_page import leaderboard_page
        from client.report_page import write

        path = html.expanduser().absolute()
        size = write(path, leaderboard_page(board, path.parent))
        call.screen.note(f"written to {path}, {size:,} bytes")
    return ExitCode.OK


def _open(path: Path, tell: Callable[[str], None]) -> None:
    import webbrowser

    if not webbrowser.open(path.as_uri()):
        tell(f"no browser could be started; open {path} in one")
