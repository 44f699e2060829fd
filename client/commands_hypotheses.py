"""`research hypotheses`: what assessments left to be tested, and what later cycles said of it."""

from typing import Annotated, Literal

import typer

from client.exits import ExitCode, usage
from client.invocation import invocation


def hypotheses(
    ctx: typer.Context,
    status: Annotated[
        Literal["untested", "validated", "refuted", "inconclusive"] | None,
        typer.Option(help="Only hypotheses of which so much is known."),
    ] = None,
    symbol: Annotated[str | None, typer.Option(help="Only hypotheses that cycles on this symbol raised.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 50,
) -> ExitCode:
    """Hypotheses, newest first: the cycle that raised each, and the cycle that tested it last."""
    from contextlib import closing

    from client.render_hypotheses import render_hypotheses
    from domain.results import HypothesisStatus
    from domain.symbols import is_symbol
    from store.cycles import Store

    call = invocation(ctx)
    if symbol is not None and not is_symbol(symbol):
        raise usage(f"{symbol[:64]!r} is not a symbol", "`research data list` shows the symbols")
    with closing(Store.open(call.settings().store_url)) as store:
        found = store.hypotheses(
            symbol.upper() if symbol else None, [HypothesisStatus(status)] if status else None, limit=limit
        )
    call.screen.show(found, render_hypotheses(found), wide=True)
    return ExitCode.OK
