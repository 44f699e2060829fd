"""`research dev` and `research worker`: the processes that do the work."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from client.exits import ExitCode
from client.invocation import Invocation, invocation


def dev(
    ctx: typer.Context,
    port: Annotated[
        int, typer.Option(min=1, max=64535, help="Temporal's port; the Web UI takes this and 1000.")
    ] = 7233,
) -> ExitCode:
    """Run everything on this machine: Temporal with its Web UI, and a worker. Ctrl-C stops all of it."""
    from client.cycles import talk

    talk(_dev(invocation(ctx), port))
    return ExitCode.OK


async def _dev(call: Invocation, port: int) -> None:
    """Hold the stack until Ctrl-C or SIGTERM, which count from the first moment; asking again changes nothing."""
    import asyncio
    import contextlib
    import signal

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    stopping = asyncio.create_task(stop.wait())
    holding = asyncio.create_task(_hold(call, port))
    await asyncio.wait((holding, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not holding.done():
        call.screen.note("stopping; cycles go on at the next `research dev`")
        holding.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await holding


async def _hold(call: Invocation, port: int) -> None:
    """Start the stack, tell where it is, and keep it until cancelled; at once done where it runs already."""
    import asyncio

    from rich.text import Text

    from client.dev import dev_stack
    from client.views import DevAddresses

    settings = call.settings()
    async with dev_stack(settings, call.screen.note, port) as stack:
        addresses = DevAddresses(
            address=stack.address, web_ui=stack.ui_url, home=settings.home, started_here=stack.started_here
        )
        where = f"{stack.address}, Web UI {stack.ui_url}" if stack.ui_url else stack.address
        if not stack.started_here:
            call.screen.show(addresses, Text(f"already running on {settings.home}: {where}"))
            return
        call.screen.show(addresses, Text(f"ready: {where}; Ctrl-C stops it"))
        await asyncio.Event().wait()


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
