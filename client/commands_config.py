"""`research config`: what holds, and where it came from."""

from typing import Annotated

import typer

from client.exits import ExitCode
from client.invocation import invocation


def config(
    ctx: typer.Context,
    all_: Annotated[
        bool, typer.Option("--all", "-a", help="Also the policies (timeouts and retries) that nobody has changed.")
    ] = False,
) -> ExitCode:
    """Every setting with its variable, its value, and where that came from; secrets masked. Asks no server.

    JSON always has them all. What decides, the first that names a setting: flags, the environment, .env,
    research.toml.
    """
    from client.config import held
    from client.render_config import render_config

    call = invocation(ctx)
    found = held(call.settings(), call.flags)
    call.screen.show(found, render_config(found, everything=all_), wide=True)
    return ExitCode.OK
