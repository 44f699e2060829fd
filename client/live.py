"""Staying with a cycle: one calm view on a terminal, a line for each change elsewhere."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack

from rich.console import Group, RenderableType
from rich.live import Live as LiveDisplay
from rich.text import Text
from temporalio.service import RPCError

from client.exits import CommandError, ExitCode
from client.output import Screen, print_line
from client.pace import Pace
from client.render_cycle import progress_line, render_cycle, retry_of
from client.render_values import clean
from client.views import CycleView
from domain.cycle import CycleStatus, Outcome

PERIOD = 0.5
"""Seconds between two looks."""

RECORD_PATIENCE = 30.0
"""Seconds that an ended cycle is given to be recorded and to leave its place in the ledger."""

Look = Callable[[], Awaitable[CycleView]]

OUTCOME_EXITS = {
    Outcome.COMPLETED: ExitCode.OK,
    Outcome.REJECTED: ExitCode.REJECTED_BY_GATE,
    Outcome.REFUSED: ExitCode.REFUSED_BY_BUDGET,
    Outcome.FAILED: ExitCode.FAILED,
    Outcome.CANCELLED: ExitCode.CANCELLED,
}
FAILURE_EXITS = {"budget_exhausted": ExitCode.REFUSED_BY_BUDGET, "anthropic_auth": ExitCode.CONFIGURATION}
ANOTHER_ACTIVE = "active_operation_exists"


def exit_of(status: CycleStatus) -> ExitCode:
    """The exit code of a command that waited for this cycle's end."""
    if status.outcome is None:
        return ExitCode.OK
    if status.outcome is Outcome.REFUSED and status.reason == ANOTHER_ACTIVE:
        return ExitCode.ANOTHER_CYCLE_ACTIVE
    if status.failure:
        return FAILURE_EXITS.get(status.failure.code.value, ExitCode.FAILED)
    return OUTCOME_EXITS[status.outcome]


def how_to_return(cycle_id: str, *, stack_ends: bool = False) -> str:
    """What to type after leaving the view. stack_ends: whether server and worker end with the command."""
    if stack_ends:
        return (
            "server and worker stop now, and nothing is lost: the cycle goes on with `research dev`. Then back to it: "
            f"`research status {cycle_id} --watch`"
        )
    return f"the cycle goes on. Back to it: `research status {cycle_id} --watch`; end it: `research cancel {cycle_id}`"


async def watch(
    look: Look,
    screen: Screen,
    *,
    quiet: bool = False,
    seconds: float | None = None,
    stack_ends: bool = False,
    period: float = PERIOD,
    record_patience: float = RECORD_PATIENCE,
) -> CycleView:
    """Look at a cycle until it has ended, and give its last view. Raises the error of exit code 7 after `seconds`.

    Ended is a cycle that is recorded, so that the next one finds its place free. Where that takes longer than
    `record_patience` seconds, the outcome is given without, and said to be so.

    stack_ends: whether server and worker end with the command, as whoever stops looking is told.

    A server or worker that does not answer for a while is told and waited for: the cycle itself is durable.
    """
    last: CycleView | None = None
    loop = asyncio.get_running_loop()
    recorded_by: float | None = None
    try:
        async with asyncio.timeout(seconds):
            with ExitStack() as stack:
                display = _display(screen, stack, quiet=quiet)
                while True:
                    trouble = ""
                    try:
                        last = await look()
                    except (RPCError, CommandError) as error:
                        if last is None or (isinstance(error, CommandError) and error.code != "no_worker"):
                            raise
                        trouble = f"no answer at the moment, trying again: {error}"
                    display(last, trouble)
                    if last.cycle.outcome is not None:
                        recorded_by = recorded_by or loop.time() + record_patience
                        if not last.recording or loop.time() >= recorded_by:
                            break
                    await asyncio.sleep(period)
    except TimeoutError as error:
        if last is None or last.cycle.outcome is None:
            name = last.cycle.cycle_id if last else "the cycle"
            raise CommandError(
                ExitCode.WAIT_TIMED_OUT,
                "wait_timed_out",
                f"{name} has not ended within {seconds:g} s",
                how_to_return(name, stack_ends=stack_ends) if last else None,
            ) from error
    if last.recording:
        screen.note(
            f"{last.cycle.cycle_id} has its outcome, but is still being recorded, and a new cycle may be refused "
            f"until it is: `research status {last.cycle.cycle_id}`"
        )
    return last


def _display(screen: Screen, stack: ExitStack, *, quiet: bool) -> Callable[[CycleView, str], None]:
    if quiet:
        return lambda _view, _trouble: None
    if screen.is_live:
        live = stack.enter_context(LiveDisplay(console=screen.console(), auto_refresh=False))
        pace = Pace()
        return lambda view, trouble: live.update(_frame(view, trouble, pace.left(view, time.monotonic())), refresh=True)
    return _Changes(screen).tell


def _frame(view: CycleView, trouble: str, left: float | None) -> RenderableType:
    shown = render_cycle(view, left=left)
    return Group(shown, Text(clean(trouble), "yellow")) if trouble else shown


class _Changes:
    """Tells what is new since it was last told: a phase, a gate, a retry, a wait, the next tenth of the way."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._told: tuple[object, ...] | None = None

    def tell(self, view: CycleView, trouble: str) -> None:
        cycle = view.cycle
        news = (
            cycle.phase,
            len(cycle.gates),
            cycle.waiting_for,
            cycle.outcome,
            int(view.progress * 10),
            view.live.activity if view.live else None,
            retry_of(view.live),
            view.recording,
            trouble,
        )
        if news == self._told:
            return
        gates_told = self._told[1] if self._told else 0
        self._told = news
        if self._screen.is_text:
            print_line(progress_line(view))
            for gate in cycle.gates[gates_told if isinstance(gates_told, int) else 0 :]:
                word = "passed" if gate.passed else "said no"
                print_line(f"      {gate.gate.value} gate {word}: " + "; ".join(str(check) for check in gate.checks))
            if trouble:
                print_line(clean(trouble))
        elif self._screen.format.value == "jsonl":
            self._screen.show(view, "")
