"""`research dev` and `research worker`: the processes that do the work."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from client.exits import CommandError, ExitCode
from client.invocation import Invocation, invocation


def dev(
    ctx: typer.Context,
    port: Annotated[
        int, typer.Option(min=1, max=64535, help="Temporal's port; the Web UI takes this and 1000.")
    ] = 7233,
) -> ExitCode:
    """Run everything on this machine: Temporal with its Web UI, and a worker. Ctrl-C stops all of it."""
    import asyncio

    from client.dev import DevError

    try:
        asyncio.run(_dev(invocation(ctx), port))
    except DevError as error:
        raise CommandError(ExitCode.NO_TEMPORAL_OR_WORKER, "dev_failed", str(error)) from error
    return ExitCode.OK


async def _dev(call: Invocation, port: int) -> None:
    import asyncio
    import signal

    from rich.text import Text

    from client.dev import dev_stack
    from client.views import DevAddresses

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    starting = asyncio.create_task(stop.wait())
    settings = call.settings()
    async with dev_stack(settings, call.screen.note, port) as stack:
        addresses = DevAddresses(
            address=stack.address, web_ui=stack.ui_url, home=settings.home, started_here=stack.started_here
        )
        if not stack.started_here:
            call.screen.show(addresses, Text(f"already running on {settings.home}: {stack.address}, {stack.ui_url}"))
            starting.cancel()
            return
        call.screen.show(addresses, Text(f"ready: {stack.address}, Web UI {stack.ui_url}; Ctrl-C stops it"))
        await starting
        call.screen.note("stopping; cycles go on at the next `research dev`")


def worker(
    ctx: typer.Context,
    role: Annotated[
        Literal["all", "orchestrator", "engine"], typer.Option(help="What it takes: everything, or one side.")
    ] = "all",
) -> ExitCode:
    """Run a worker process until SIGTERM or Ctrl-C. Killing it loses nothing."""
    settings = invocation(ctx).settings()
    # The project's folder must be importable for the engine's processes, which start from this one's command line.
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from worker import Role, main

    return ExitCode(main(settings, Role(role)))
