"""`make demo`: real research cycles on real bars, then a control that shows that the instrument can say yes and no.

Nothing is picked because it looks good: the seed is fixed, and the cycles are the first ones that it gives, up to
three, ending with the first that is assessed.
"""

import asyncio
import contextlib
import signal

from rich.console import Console, Group, RenderableType
from rich.rule import Rule
from rich.text import Text
from temporalio.client import Client
from temporalio.service import RPCError

from client.cycles import cancel_cycle, reach, start_cycle, talk
from client.dev import dev_stack
from client.endings import ended
from client.exits import CommandError, ExitCode, leave
from client.invocation import Invocation
from client.live import watch
from client.looks import look_at
from client.output import Screen
from client.places import places_of
from client.render_results import render_places, render_results, render_verdict
from domain.cycle import CycleRequest, CycleStatus, DesignerKind, Outcome
from domain.results import Verdict
from engine.bars import SAMPLES
from settings import Settings
from store.strategies import StrategyFiles

SEED = 1
TRIES = 3
PLANTED, SHUFFLED = "PLANTED", "PLANTED-SHUFFLED"
CONTROL_STRATEGY = SAMPLES / "planted_edge.yaml"

screen = Screen()


def main() -> int:
    """The demo. 0 where every cycle ended with an assessment or a gate's no and the control told its series apart.

    Else 1; 130 after Ctrl-C; 4 and 6 as every command.
    """
    return ended(screen, _run_demo)


def _run_demo() -> int:
    try:
        return talk(_demo(Invocation(screen).settings()))
    except (KeyboardInterrupt, asyncio.CancelledError):
        screen.note("Stopped. What had ended is kept; what the demo had started is stopped.")
        return ExitCode.INTERRUPTED


async def _demo(settings: Settings) -> int:
    if task := asyncio.current_task():
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    console = screen.console()
    _say(
        console,
        "Research cycles on real bars: EURUSD, one hour, 2017. The offline designer proposes a strategy, a network is",
        f"trained and tested for real. Seed {SEED}; up to {TRIES} cycles, to the first that passes both gates.",
        "",
    )
    async with dev_stack(settings, screen.note) as stack:
        client = await reach(stack.settings)
        cycles = await _research(console, client, stack.settings)
        control = await _control(console, client, stack.settings)
        _close(console, stack.settings, cycles[-1])
    broken = [cycle for cycle in (*cycles, *control) if cycle.outcome not in (Outcome.COMPLETED, Outcome.REJECTED)]
    for cycle in broken:
        outcome = cycle.outcome.value if cycle.outcome else "unfinished"
        screen.note(f"{cycle.cycle_id} ended as {outcome}: {cycle.reason}")
    return ExitCode.OK if not broken and tells_apart(*control) else ExitCode.FAILED


async def _research(console: Console, client: Client, settings: Settings) -> list[CycleStatus]:
    cycles: list[CycleStatus] = []
    while len(cycles) < TRIES and not (cycles and cycles[-1].outcome is Outcome.COMPLETED):
        request = CycleRequest(
            brief="demo: something that survives its costs on EURUSD",
            symbol="EURUSD",
            timeframe="1h",
            designer=DesignerKind.OFFLINE,
            thresholds=settings.thresholds,
            queue=True,
            seed=SEED,
        )
        console.print(Rule(f"Cycle {len(cycles) + 1} of up to {TRIES}", align="left"))
        cycles.append(await _run(console, client, settings, request))
    console.print(_verdict(cycles[-1], settings), crop=False)
    return cycles


async def _control(console: Console, client: Client, settings: Settings) -> tuple[CycleStatus, CycleStatus]:
    """The cycles on the planted series and on its shuffled twin."""
    console.print(Rule("Control: does the instrument work?", align="left"))
    _say(
        console,
        f"{PLANTED} is a synthetic series with an edge planted in it. {SHUFFLED} has the same bars in random order:",
        "the edge is gone. The same strategy file, the same training, gates and verdict judge both. On the twin the",
        "labels can still be guessed in part (they mark whole segments, whose past is seen), and luck may pass the",
        "gates: the verdict is what must not be fooled.",
        "",
    )
    text = CONTROL_STRATEGY.read_text()
    strategy = StrategyFiles(settings.strategies).save(CONTROL_STRATEGY.stem, text)

    async def judged(symbol: str) -> CycleStatus:
        request = CycleRequest(
            brief="demo: the control",
            symbol=symbol,
            timeframe="1h",
            designer=DesignerKind.OFFLINE,
            strategy=strategy,
            thresholds=settings.thresholds,
            queue=True,
            seed=SEED,
        )
        return await _run(console, client, settings, request)

    planted, shuffled = await judged(PLANTED), await judged(SHUFFLED)
    console.print(_control_line(planted, shuffled))
    return planted, shuffled


async def _run(console: Console, client: Client, settings: Settings, request: CycleRequest) -> CycleStatus:
    """One cycle with live progress and its gates, to its end."""
    started = await start_cycle(client, settings, request)
    try:
        view = await watch(look_at(client, settings, started.cycle_id), screen)
    except asyncio.CancelledError:
        # Left alone it would hold the only slot, and go on at the next start of a server.
        with contextlib.suppress(CommandError, RPCError):
            await cancel_cycle(client, started.cycle_id, "the demo was interrupted")
            screen.note(f"{started.cycle_id} is cancelled.")
        raise
    console.print()
    return view.cycle


def _verdict(cycle: CycleStatus, settings: Settings) -> RenderableType:
    # A live view has ended with the verdict already.
    told = () if screen.is_live else (render_verdict(cycle),)
    return Group(*told, render_results(cycle), render_places(places_of(cycle, settings)), Text(""))


def tells_apart(planted: CycleStatus, shuffled: CycleStatus) -> bool:
    """Whether the machinery calls the planted edge promising, and its shuffled twin not."""
    found = planted.assessment is not None and planted.assessment.verdict is Verdict.PROMISING
    fooled = shuffled.assessment is not None and shuffled.assessment.verdict is Verdict.PROMISING
    return found and not fooled


def _control_line(planted: CycleStatus, shuffled: CycleStatus) -> Text:
    works = tells_apart(planted, shuffled)
    line = f"{PLANTED}: {_word(planted)}. {SHUFFLED}: {_word(shuffled)}. "
    line += "The instrument tells them apart." if works else "The instrument does NOT tell them apart: do not trust it."
    return Text(line, "bold green" if works else "bold red")


def _word(cycle: CycleStatus) -> str:
    if cycle.assessment:
        return cycle.assessment.verdict.value
    return f"{cycle.outcome.value} ({cycle.reason})" if cycle.outcome else "unfinished"


def _close(console: Console, settings: Settings, last: CycleStatus) -> None:
    where = places_of(last, settings).web_ui
    _say(
        console,
        "",
        "All of it is kept. To look at it, start server, worker and Web UI again, until Ctrl-C:",
        "  .venv/bin/research dev",
        "and then, in another terminal or a browser:",
        "  .venv/bin/research list",
        f"  .venv/bin/research show {last.cycle_id}",
        *([f"  {where}"] if where else []),
    )


def _say(console: Console, *lines: str) -> None:
    for line in lines:
        console.print(line, soft_wrap=True)


if __name__ == "__main__":
    leave(main())
