"""`research strategy`: check a file, list what is kept, show one."""

from pathlib import Path
from typing import Annotated

import typer

from client.exits import ExitCode
from client.invocation import invocation

strategy_app = typer.Typer(
    help="Check, list and show strategies.", rich_markup_mode=None, no_args_is_help=True, pretty_exceptions_enable=False
)


@strategy_app.command("validate", short_help="Check a strategy file.")
def validate(
    ctx: typer.Context, file: Annotated[Path, typer.Argument(help="A strategy file, YAML of grammar v3.")]
) -> ExitCode:
    """Check a strategy file: every problem with its line and field, and what this version cannot train."""
    from rich.text import Text

    from client.render_values import clean
    from client.strategy_files import read_strategy, report_on

    report = report_on(read_strategy(file))
    lines = [f"{file} is a valid strategy: {report.name}, {report.features} features"]
    lines += [f"  trainable: {'yes' if report.trainable else 'no'}"]
    lines += [f"  ignored: {path}" for path in report.ignored]
    lines += [f"  note: {note}" for note in report.notes]
    lines += [f"  this version cannot train it: {lack}" for lack in report.lacks]
    invocation(ctx).screen.show(report, Text(clean("\n".join(lines))))
    return ExitCode.OK


@strategy_app.command("list")
def list_strategies(ctx: typer.Context) -> ExitCode:
    """The strategies that cycles have made or used."""
    from rich.text import Text

    from store.strategies import StrategyFiles

    call = invocation(ctx)
    settings = call.settings()
    found = StrategyFiles(settings.strategies).list()
    wide = max((len(reference.name) for reference in found), default=0)
    lines = [f"{reference.name:{wide}}  {settings.strategies / reference.path}" for reference in found]
    call.screen.show(found, Text("\n".join(lines) or f"no strategies in {settings.strategies} yet"))
    return ExitCode.OK


@strategy_app.command("show")
def show_strategy(
    ctx: typer.Context, name: Annotated[str, typer.Argument(help="The strategy's name, as listed.")]
) -> ExitCode:
    """A kept strategy's text."""
    from rich.text import Text

    from client.render_values import clean
    from client.strategy_files import kept_strategy

    call = invocation(ctx)
    kept = kept_strategy(call.settings(), name)
    call.screen.show(kept, Text(clean(kept.text.rstrip("\n"))))
    return ExitCode.OK
