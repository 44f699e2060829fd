"""What the processes do that run a peer's runs: `ROLE HOME ...`. Each says a line of JSON for each thing that is done.

runs HOME COUNT AT_ONCE   says `ready` when warm, waits for a line on its standard input, then a line a run
hold HOME COUNT HELD      starts runs that stand in their second step, until it is killed
again HOME COUNT HELD     what the restart brings: what goes on by itself, then the rest by hand; one line
"""

import asyncio
import os
import sys
import time
from pathlib import Path

from benchmarks.peers.peer import Peer, Runner
from benchmarks.peers.steps import STEPS, begun
from domain.results import Frozen

WARM_UP = 2
"""Runs that do not count, of each process that is measured."""


class Ended(Frozen):
    """A run that ended. took: seconds of it; after, cpu: seconds and processor seconds since the first began."""

    took: float
    after: float
    cpu: float
    error: str = ""


class Again(Frozen):
    """Runs that ended after a restart."""

    by_themselves: int
    by_hand: int


async def play(peer: Peer, role: str, home: Path, count: int, rest: str) -> None:
    """One role."""
    async with peer.opened(home) as runner:
        if role == "hold":
            await _hold(runner, count, Path(rest))
        elif role == "again":
            await _again(runner, count, rest)
        else:
            await _runs(runner, role, count, float(rest))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def _runs(runner: Runner, role: str, count: int, patience: float) -> None:
    for number in range(WARM_UP):
        await runner.run(f"warm-up-{role}-{count}-{number}", "")
    _say("ready")
    await asyncio.to_thread(sys.stdin.readline)
    began, spent = time.perf_counter(), time.process_time()

    async def one(run: str) -> None:
        started, error = time.perf_counter(), ""
        try:
            answer = await runner.run(run, "")
            error = "" if answer == {"step": STEPS[-1], "run": run} else f"it answered {answer}"
        except Exception as raised:
            error = f"{type(raised).__name__}: {raised}"
        now = time.perf_counter()
        ended = Ended(took=now - started, after=now - began, cpu=time.process_time() - spent, error=error[:200])
        _say(ended.model_dump_json())

    names = [f"{role}-{count}-{number}" for number in range(count)]
    if role == "sequence":
        for name in names:
            await one(name)
            if time.perf_counter() - began > patience:
                break
        return
    _, running = await asyncio.wait([asyncio.create_task(one(name)) for name in names], timeout=patience)
    if running:
        # Without another word, since a peer may take long to give up a run in good order.
        os._exit(0)


def _names(count: int) -> list[str]:
    return [f"held-{number}" for number in range(count)]


async def _hold(runner: Runner, count: int, held: Path) -> None:
    started = []
    for run in _names(count):
        started.append(asyncio.create_task(runner.run(run, str(held))))
        # One after the other, since how quickly many start is measured elsewhere.
        while (run, STEPS[1]) not in begun(held):
            if started[-1].done():
                await started[-1]
            await asyncio.sleep(0.02)
    await asyncio.gather(*started)


async def _again(runner: Runner, count: int, held: str) -> None:
    resumed = set(await runner.resumed())
    left = [run for run in _names(count) if run not in resumed]
    for run in left:
        await runner.run(run, held)
    _say(Again(by_themselves=len(resumed), by_hand=len(left)).model_dump_json())
