"""`research doctor`: whether everything is there that cycles need."""

import typer

from client.exits import CommandError, ExitCode
from client.invocation import invocation


def doctor(ctx: typer.Context) -> ExitCode:
    """Check everything that cycles need: server, workers, budget, store, bars, backend, Claude's key. Spends nothing.

    Ends with 0 where all is well, else with the code of the first thing to do: 4 configuration or credentials, 6 no
    server or worker, 1 anything else.
    """
    from client.cycles import talk
    from client.doctor import examine
    from client.render_doctor import render_looks

    call = invocation(ctx)
    examined = talk(examine(call.settings()))
    to_do = examined.to_do
    if call.screen.is_text or not to_do:
        call.screen.show(examined, render_looks(examined.looks))
    if to_do:
        names = ", ".join(look.name for look in to_do)
        raise CommandError(
            ExitCode(to_do[0].exit_code), "to_do", f"to do: {names}", to_do[0].mend, {"examined": examined}
        )
    return ExitCode.OK
