"""`research replay`: whether a cycle's history still fits today's code."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from client.exits import CommandError, ExitCode, usage
from client.invocation import invocation

if TYPE_CHECKING:
    from client.replay import Replayed


def replay(
    ctx: typer.Context,
    cycle: Annotated[str | None, typer.Argument(help="A cycle's id.", metavar="[CYCLE]")] = None,
    file: Annotated[
        Path | None, typer.Option(help="A history as JSON, instead of the server's.", metavar="FILE")
    ] = None,
) -> ExitCode:
    """Run a cycle's history through the code of today. No token is used, nothing is written.

    Ends with 0 where today's code decides all that was decided then, with 1 where it does not: a worker of this version
    could not go on with such a cycle.
    """
    if (file is None) == (not (cycle or "").strip()):
        raise usage("name either a cycle or --file", "`research list` shows the ids")
    from rich.text import Text

    from client.cycles import reach, talk
    from client.render_values import clean
    from client.replay import history_in, history_of
    from client.replay import replay as replay_of

    call = invocation(ctx)
    settings = call.settings()

    async def conversation() -> "Replayed":
        return await replay_of(history_in(file) if file else await history_of(await reach(settings), cycle or ""))

    found = talk(conversation())
    if found.why is not None:
        raise CommandError(
            ExitCode.FAILED,
            "does_not_replay",
            f"{found.cycle_id} does not replay: {found.why}",
            "if it still runs, let workers of the version that began it end it, or cancel it",
            {"replayed": found},
        )
    said = f"{found.cycle_id} replays: {found.events} events, no token used, nothing written"
    call.screen.show(found, Text(clean(said)))
    return ExitCode.OK
