"""`research doctor`: whether everything is there that cycles need."""

import typer

from client.exits import ExitCode
from client.invocation import invocation


def doctor(ctx: typer.Context) -> ExitCode:
    """Check everything that cycles need: server, workers, budget, store, bars, backend, Claude's key. Spends nothing.

    Ends with 0 where all is well, else with the code of the first thing to do: 4 configuration or credentials, 6 no
    server or worker, 1 anything else.
    """
    from client.cycles import talk
    from client.doctor import examined
    from client.render_doctor import render_looks

    call = invocation(ctx)
    looks = talk(examined(call.settings()))
    call.screen.show(looks, render_looks(looks))
    return ExitCode(next((look.exit_code for look in looks if look.exit_code), ExitCode.OK))
