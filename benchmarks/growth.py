"""What people and workers meet with 10, 100, 1,000 and 10,000 cycles in the store and on the server.

Run from the project's root: `python -m benchmarks.growth [--quick] [--json FILE]`. One house: a development server with
its data in a file, as `research dev` starts it, and a worker process. A few cycles are really run; the others are
copies of one of them.
"""

import asyncio
import contextlib
import io
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psutil
from temporalio.client import Client

from benchmarks.figures import Group, Row, command
from benchmarks.growth_filler import Model, fill_server, fill_store
from benchmarks.processes import Server, child, server
from claude.design_desk import DesignDesk
from client.cycles import start_cycle
from client.main import run
from domain.cycle import AdmissionState, CycleRequest, DesignerKind
from settings import Settings
from store.cycles import Store
from store.strategies import StrategyFiles
from tests.domain.usual_results import OPEN_GATES

SIZES = (10, 100, 1_000, 10_000)
GOAL = 1.5
"""What anything at the last size may be of the first."""

WHY = (
    "A page has up to 20 rows, and of the first size there are fewer. Beyond the page nothing is read whole: the store "
    "ranks and counts by indexes, of which it reads two in full (about 3 ms of processor time with 10,000 cycles)."
)

PAGED = ("research list", "research leaderboard")
"""The commands that this is true of."""

REQUEST = CycleRequest(
    symbol="EURUSD", timeframe="1h", designer=DesignerKind.OFFLINE, thresholds=OPEN_GATES, queue=True
)


@dataclass(frozen=True)
class Plan:
    """sizes: cycles in store and server. real: how many are run before anything is copied. times: how often each figure
    is measured, and how many cycles are run at each size, which count towards it. warm: whether a call goes before."""

    sizes: tuple[int, ...]
    real: int
    times: int
    warm: bool = True


@dataclass
class House:
    """The house, and what was measured in it: a figure a size, by its name."""

    server: Server
    settings: Settings
    store: Store
    worker: psutil.Process
    found: dict[str, list[float]] = field(default_factory=dict)

    @property
    def client(self) -> Client:
        """Of the server."""
        return self.server.client

    def note(self, name: str, values: Sequence[float]) -> None:
        """The median of these is the figure at the present size."""
        self.found.setdefault(name, []).append(statistics.median(values))


async def _measured(plan: Plan) -> list[Group]:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        home.mkdir()
        async with (
            server(Path(folder)) as running,
            child("benchmarks.house_worker", running.address, str(home)) as worker,
        ):
            settings = Settings(
                home=home,
                temporal_address=running.address,
                temporal_namespace=running.client.namespace,
                temporal_profile=None,
            )
            with contextlib.closing(Store.open(settings.store_url)) as store:
                house = House(running, settings, store, psutil.Process(worker.pid))
                model = await _real_cycles(house, plan.real)
                present = plan.real
                for size in plan.sizes:
                    numbers = range(present, size - plan.times)
                    await asyncio.to_thread(fill_store, settings.store_url, model, numbers)
                    await fill_server(running.client, model, numbers)
                    await _at_this_size(house, plan, model.status.cycle_id)
                    present = size
                return _told(house, plan)


async def _real_cycles(house: House, count: int) -> Model:
    """So many, one after the other; the last of them is what is copied."""
    cycle_id = ""
    for seed in range(count):
        cycle_id = await _cycle(house, seed)
    status, design = house.store.get(cycle_id), house.store.design(cycle_id)
    if status is None or design is None:
        raise RuntimeError(f"{cycle_id} left no record to copy")
    return Model(status, design)


async def _cycle(house: House, seed: int, taken: dict[str, list[float]] | None = None) -> str:
    """One cycle from its start to its end, by its id; what it took goes into `taken`."""
    began = time.perf_counter()
    started = await start_cycle(house.client, house.settings, REQUEST.model_copy(update={"seed": seed}))
    admitted = time.perf_counter() - began
    if started.admission.state is not AdmissionState.GRANTED:
        raise RuntimeError(f"{started.cycle_id} was not admitted: {started.admission.message}")
    await house.client.get_workflow_handle(started.cycle_id).result()
    if taken is not None:
        taken.setdefault("start", []).append(admitted)
        taken.setdefault("cycle", []).append(time.perf_counter() - began)
    return started.cycle_id


async def _at_this_size(house: House, plan: Plan, cycle_id: str) -> None:
    taken: dict[str, list[float]] = {}
    for seed in range(plan.times):
        await _cycle(house, 1_000 * len(house.found) + seed, taken)
    house.note("start", taken["start"])
    house.note("cycle", taken["cycle"])
    house.note("memory", [house.worker.memory_info().rss])
    house.note("prompt", [await asyncio.to_thread(_prompt, house)])
    for name, words in _commands(cycle_id).items():
        typed = _typed(house.settings, words)
        house.note(name, await asyncio.to_thread(_timed, plan, partial(_whole, typed)))
        house.note(f"{name}, inside", await asyncio.to_thread(_timed, plan, partial(_inside, typed)))


def _commands(cycle_id: str) -> dict[str, tuple[str, ...]]:
    """What is typed, by its name."""
    return {
        "research status": ("status",),
        "research status ID": ("status", cycle_id),
        "research list": ("list",),
        "research leaderboard": ("leaderboard",),
    }


def _timed(plan: Plan, call: Callable[[], None]) -> list[float]:
    """Seconds of so many calls, after one that doesn't count where the plan has it so."""
    taken: list[float] = []
    for _ in range(plan.times + plan.warm):
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return taken[plan.warm :]


def _typed(settings: Settings, words: Sequence[str]) -> list[str]:
    return [
        *("--home", str(settings.home), "--address", str(settings.temporal_address)),
        *("--namespace", str(settings.temporal_namespace), *words),
    ]


def _whole(typed: Sequence[str]) -> None:
    research = Path(sys.executable).with_name("research")
    subprocess.run([str(research), *typed], check=True, stdout=subprocess.DEVNULL)


def _inside(typed: Sequence[str]) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        code = run(typed)
    if code:
        raise RuntimeError(f"research {' '.join(typed)} ended with {code}")


def _prompt(house: House) -> int:
    """Bytes of what a designer is told before it says anything."""
    request = REQUEST.model_copy(update={"designer": DesignerKind.CLAUDE})
    desk = DesignDesk(request, None, house.store, StrategyFiles(house.settings.strategies), house.settings.data)
    tools = "".join(tool.model_dump_json() for tool in desk.tools)
    return len((desk.system + tools + desk.opening).encode())


def _told(house: House, plan: Plan) -> list[Group]:
    found, sizes = house.found, plan.sizes
    commands = list(_commands(""))
    run = plan.real + plan.times * len(sizes)
    return [
        Group(
            title="A command, as a whole process",
            rows=tuple(_row(name, found[name], sizes, _seconds) for name in commands),
            notes=(f"Medians of {plan.times} calls each, after one that does not count. ID is a recorded cycle's.",),
        ),
        Group(
            title="The same without the start of a process",
            rows=tuple(_row(name, found[f"{name}, inside"], sizes, _milliseconds) for name in commands),
            notes=(
                "In one process that has imported everything, with a connection and a store opened anew each time: "
                "this shows growth that a second of imports would hide.",
            ),
        ),
        Group(
            title="A new cycle",
            rows=(
                _row("from start to admission", found["start"], sizes, _milliseconds),
                _row("bytes of the designer's prompt", found["prompt"], sizes, lambda size: f"{size:,.0f}"),
                _row("memory of the worker, resident", found["memory"], sizes, lambda size: f"{size / 2**20:.0f} MiB"),
                _row("a whole cycle with an instant engine", found["cycle"], sizes, _seconds, goal=None),
            ),
            notes=(
                f"{run} cycles were really run, {plan.times} of them at each size, which are the ones measured; "
                f"{sizes[-1] - run:,} are copies of one of them with other ids, times, strategies, outcomes and "
                "figures, all on the same bars: records written by the store itself, and on the server closed "
                "workflows of the cycles' type with their search attributes, memo and summary, whose histories are "
                "shorter than a cycle's.",
                "The worker is the same process from the first size to the last. The whole cycle has no goal: the "
                "offline designer learns from up to 2,000 earlier trials, and is meant to.",
            ),
        ),
    ]


def _row(
    what: str, values: Sequence[float], sizes: Sequence[int], text: Callable[[float], str], goal: float | None = GOAL
) -> Row:
    *earlier, last = values
    return Row(
        what=what,
        ours=f"{text(last)} with {sizes[-1]:,}",
        beside=f"with {', '.join(f'{size:,}' for size in sizes[:-1])}",
        theirs=", ".join(map(text, earlier)),
        ratio=last / earlier[0],
        goal=goal,
        why=WHY if what in PAGED else "",
    )


def _seconds(value: float) -> str:
    return f"{value:.2f} s"


def _milliseconds(value: float) -> str:
    return f"{1000 * value:.0f} ms"


def _measure(quick: bool) -> list[Group]:
    plan = Plan(sizes=(2, 4), real=1, times=1, warm=False) if quick else Plan(sizes=SIZES, real=5, times=5)
    return asyncio.run(_measured(plan))


main = command("growth", __doc__ or "", ("temporalio", "sqlalchemy"), _measure)

if __name__ == "__main__":
    raise SystemExit(main())
