"""The command `research`. Nothing heavy is imported until a command needs it: the first screen comes at once."""

import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import Abort, TyperException

from client.commands_budget import budget_app
from client.commands_cycles import cancel, list_cycles, show, status
from client.commands_data import data_app
from client.commands_run import dev, worker
from client.commands_start import start
from client.commands_strategy import strategy_app
from client.exits import CommandError, ExitCode, leave
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
    ctx.obj = Invocation(Screen(output), home, address, namespace, profile)
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


app.command("dev")(dev)
app.command("start")(start)
app.command("status")(status)
app.command("list")(list_cycles)
app.command("show")(show)
app.command("cancel")(cancel)
app.add_typer(budget_app, name="budget")
app.add_typer(strategy_app, name="strategy")
app.add_typer(data_app, name="data")
app.command("worker")(worker)


def run(argv: Sequence[str]) -> int:
    """Run the command and give its exit code. What a person can cause never ends in a traceback."""
    arguments = list(argv)
    screen = Screen(format_asked(arguments))
    try:
        return int(app(hoist(arguments), prog_name="research", standalone_mode=False) or ExitCode.OK)
    except CommandError as error:
        screen.error(error)
        return error.exit_code
    except TyperException as error:
        message = error.format_message().replace("Value error, ", "")
        screen.error(CommandError(ExitCode.USAGE, "usage", message, "see `research --help`"))
        return ExitCode.USAGE
    except (Abort, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # The reader has gone (`research list | head`). What is still buffered must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FAILED
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        screen.error(CommandError(ExitCode.FAILED, "file_error", f"cannot use{where}: {error.strerror or error}"))
        return ExitCode.FAILED
    except Exception as error:
        return _unforeseen(screen, error)


def _unforeseen(screen: Screen, error: Exception) -> int:
    from domain.errors import ErrorCode, ResearchError

    if isinstance(error, ResearchError):
        found = CommandError(_exit_code(error.code), error.code.value, error.message)
    else:
        traceback.print_exc()
        found = CommandError(
            ExitCode.FAILED,
            ErrorCode.INTERNAL_ERROR.value,
            f"a defect of this program, not of yours: {type(error).__name__}: {error}",
            "report it with the lines above",
        )
    screen.error(found)
    return found.exit_code


def _exit_code(code: str) -> ExitCode:
    return {
        "data_unavailable": ExitCode.USAGE,
        "invalid_strategy": ExitCode.USAGE,
        "budget_exhausted": ExitCode.REFUSED_BY_BUDGET,
        "anthropic_auth": ExitCode.CONFIGURATION,
    }.get(code, ExitCode.FAILED)


def main() -> None:
    """The entry point."""
    leave(run(sys.argv[1:]))
