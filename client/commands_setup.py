"""`research setup`: what a namespace of one's own server needs, once."""

import typer

from client.exits import ExitCode
from client.invocation import invocation


def setup(ctx: typer.Context) -> ExitCode:
    """Prepare a namespace of your own server: create the search attributes that it lacks. Again changes nothing.

    Workers do the same when they start, where they may. Where you may not either, exit code 4 with what an operator has
    to type. `research dev` needs none of this.
    """
    from rich.text import Text

    from client.cycles import reach, talk
    from client.namespace import set_up
    from client.views import SetUp

    call = invocation(ctx)
    settings = call.settings()

    async def conversation() -> SetUp:
        return await set_up(await reach(settings))

    done = talk(conversation())
    what = (
        f"created the search attributes {', '.join(done.created)}"
        if done.created
        else "all search attributes are there"
    )
    call.screen.show(done, Text(f"namespace {done.namespace}: {what}"))
    return ExitCode.OK
