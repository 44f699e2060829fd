"""The command `research`. Nothing heavy is imported until a command needs it: the first screen comes at once."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import Abort, TyperException

from client.commands_budget import budget_app
from client.commands_config import config
from client.commands_cycles import cancel, list_cycles, show, status
from client.commands_data import data_app
from client.commands_doctor import doctor
from client.commands_fork import fork
from client.commands_hypotheses import hypotheses
from client.commands_replay import replay
from client.commands_report import leaderboard, report
from client.commands_run import dev, worker
from client.commands_schedule import schedule_app
from client.commands_serve import serve
from client.commands_setup import setup
from client.commands_start import start
from client.commands_strategy import strategy_app
from client.endings import ended
from client.exits import CommandError, ExitCode, leave, usage
from client.invocation import Invocation, format_asked, hoist
from client.output import OutputFormat, Screen

FIRST_STEPS = (
    "First steps: `research dev` in one terminal, then `research start --designer offline --follow` in another."
)

app = typer.Typer(
    name="research",
    help="Durable, metered, honest research cycles for trading strategies, on Temporal.",
    epilog=f"{FIRST_STEPS} Global options may also stand after the command.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def research(
    ctx: typer.Context,
    output: Annotated[OutputFormat, typer.Option("--output", "-o", help="What stdout holds.")] = OutputFormat.TEXT,
    home: Annotated[Path | None, typer.Option(help="Where data, models and results lie (RESEARCH_HOME).")] = None,
    address: Annotated[str | None, typer.Option(help="Temporal server, host:port (TEMPORAL_ADDRESS).")] = None,
    namespace: Annotated[str | None, typer.Option(help="Temporal namespace (TEMPORAL_NAMESPACE).")] = None,
    profile: Annotated[str | None, typer.Option(help="Profile of Temporal's configuration (TEMPORAL_PROFILE).")] = None,
) -> None:
    """Durable, metered, honest research cycles for trading strategies, on Temporal."""
    ctx.obj = replace(
        ctx.ensure_object(Invocation),
        screen=Screen(output),
        home=home,
        address=address,
        namespace=namespace,
        profile=profile,
    )
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


app.command("dev", short_help="Run everything on this machine, until Ctrl-C.")(dev)
app.command("start", short_help="Start a research cycle.")(start)
app.command("status", short_help="What happens now: the active cycles, or one by its id.")(status)
app.command("list", short_help="Cycles, newest first, or the best first.")(list_cycles)
app.command("show", short_help="The whole story of one cycle.")(show)
app.command("report", short_help="One cycle as a page with plots.")(report)
app.command("leaderboard", short_help="All backtests, the best first, with their trials.")(leaderboard)
app.command("cancel", short_help="End a cycle in the phase where it is.")(cancel)
app.command("hypotheses", short_help="What cycles have raised, and what became of it.")(hypotheses)
app.add_typer(budget_app, name="budget")
app.add_typer(strategy_app, name="strategy")
app.add_typer(data_app, name="data")
app.add_typer(schedule_app, name="schedule", short_help="Cycles at recurring times.")
app.command("worker", short_help="Run a worker process until Ctrl-C.")(worker)
app.command("serve", short_help="Cycles over HTTP, for other programs.")(serve)
app.command("setup", short_help="Prepare a namespace of your own server.")(setup)
app.command("doctor", short_help="Check everything that cycles need.")(doctor)
app.command("config", short_help="Every setting, and where it came from.")(config)
app.command("fork", short_help="Start a cycle with the finished phases of another.")(fork)
app.command("replay", short_help="A cycle's history through the code of today.")(replay)


def run(argv: Sequence[str]) -> int:
    """Run the command and give its exit code. What a person can cause never ends in a traceback."""
    arguments = list(argv)
    screen = Screen(format_asked(arguments))

    def command() -> int:
        try:
            _require_text(arguments)
            said = app(hoist(arguments), prog_name="research", standalone_mode=False, obj=Invocation())
            return int(said or ExitCode.OK)
        except TyperException as error:
            message = error.format_message().replace("Value error, ", "")
            raise CommandError(ExitCode.USAGE, "usage", message, _help_for(arguments)) from error
        except CommandError as error:
            if error.exit_code is ExitCode.USAGE:
                error.next_step = error.next_step or _help_for(arguments)
            raise
        except Abort:
            return ExitCode.INTERRUPTED

    return ended(screen, command)


def _help_for(arguments: Sequence[str]) -> str:
    """What shows the help of the command that was typed, as far as there is one of that name."""
    command, path = typer.main.get_command(app), ["research"]
    for word in arguments:
        below = getattr(command, "commands", {})
        if word in below:
            command = below[word]
            path.append(word)
    return f"see `{' '.join(path)} --help`"


def _require_text(arguments: Sequence[str]) -> None:
    """Refuse bytes that are no text: what they name could be neither shown, nor sent, nor kept."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise usage(f"an argument is not text: {argument[:80]!a}", "write it in UTF-8") from None


def main() -> None:
    """The entry point."""
    leave(run(sys.argv[1:]))
