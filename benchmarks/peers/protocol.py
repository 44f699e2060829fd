"""Measures a peer: starts the processes that run its runs, and reads what they say. One protocol for all peers."""

import asyncio
import os
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from benchmarks.peers.figures import Killed, PeerFigures, Plan
from benchmarks.peers.peer import Peer, Served
from benchmarks.peers.roles import WARM_UP, Again, Ended, play
from benchmarks.peers.steps import STEPS, begun, charged

ROOT = Path(__file__).parents[2]

PATIENCE = 300.0
"""Seconds after which a process of a peer is taken for stuck."""


def command(peer: Peer) -> int:
    """The peer's command: `[PLAN]`, with a plan in JSON, prints its figures; otherwise one role of its processes."""
    words = sys.argv[1:]
    if len(words) > 1:
        role, home, count, rest = words
        asyncio.run(play(peer, role, Path(home), int(count), rest))
        return 0
    plan = Plan.model_validate_json(words[0]) if words else Plan()
    with tempfile.TemporaryDirectory() as scratch:
        found = asyncio.run(figures(peer, plan, Path(scratch)))
    sys.stdout.write(f"{found.model_dump_json()}\n")
    return 0


@dataclass(frozen=True)
class Phase:
    """Runs that were started together, or one after the other. seconds: until the last had ended, or patience had."""

    at_once: int
    asked: int
    ended: tuple[Ended, ...]
    seconds: float
    cpu: float
    bytes: int

    @property
    def well(self) -> tuple[Ended, ...]:
        return tuple(run for run in self.ended if not run.error)

    @property
    def whole(self) -> bool:
        return len(self.well) == self.asked

    @property
    def told(self) -> tuple[str, ...]:
        """What did not go well, in a sentence."""
        if self.whole:
            return ()
        errors = [run.error for run in self.ended if run.error]
        words = (
            f"At {self.at_once} at once {len(self.well)} of {self.asked} runs had ended well after {self.seconds:.0f} s"
        )
        return (f"{words}{f'; {len(errors)} had failed, with {errors[0]}' if errors else ''}.",)


async def figures(peer: Peer, plan: Plan, home: Path) -> PeerFigures:
    """All of it, in `home`, which is empty."""
    async with peer.served(home) as server:
        measured = Measured(peer, home, server, plan.patience)
        sequence = await measured.phase("sequence", plan.latency)
        crowds = [await measured.phase("crowd", at_once) for at_once in plan.at_once]
        phases = [sequence, *crowds]
        whole = [phase for phase in phases if phase.whole] or [sequence]
        runs = sum(len(phase.ended) for phase in whole)
        notes = peer.notes(home)
        killed = await measured.killed(plan.killed)
    if not sequence.well:
        raise RuntimeError(f"{peer.name}: not a single run has ended well; {sequence.told}")
    taken = tuple(run.took for run in sequence.well)
    return PeerFigures(
        name=peer.name,
        version=peer.version,
        latency_median=statistics.median(taken),
        latencies=taken,
        throughput={phase.at_once: len(phase.well) / phase.seconds for phase in crowds},
        ended={phase.at_once: len(phase.well) for phase in crowds},
        cpu_per_run=sum(phase.cpu for phase in whole) / runs,
        bytes_per_run=sum(phase.bytes for phase in whole) / runs,
        killed=killed,
        notes=(*notes, *(told for phase in phases for told in phase.told)),
    )


@dataclass
class Measured:
    """A peer whose server, if it needs one, is there.

    runs: how many have ended so far, warm-ups included. known: whether that is all there is to be written, as it no
    longer is once runs were cut off.
    """

    peer: Peer
    home: Path
    server: Served
    patience: float
    runs: int = 0
    known: bool = True

    async def phase(self, role: Literal["sequence", "crowd"], count: int) -> Phase:
        """So many runs, until all have ended or patience has."""
        async with self._child(role, self.home, count, str(self.patience)) as child, asyncio.timeout(PATIENCE):
            await _line(child)
            self.runs += WARM_UP
            await self._written()
            size, spent = self.peer.bytes_used(self.home), self._cpu()
            assert child.stdin
            assert child.stdout
            child.stdin.write(b"go\n")
            ended = [Ended.model_validate_json(line) async for line in child.stdout]
            if await child.wait():
                raise RuntimeError(f"{self.peer.name}: a process of runs failed")
        asked = len(ended) if role == "sequence" else count
        self.runs += len(ended)
        self.known = self.known and len(ended) == asked and not any(run.error for run in ended)
        await self._written()
        return Phase(
            at_once=1 if role == "sequence" else count,
            asked=asked,
            ended=tuple(ended),
            seconds=ended[-1].after if len(ended) == asked else self.patience,
            cpu=self._cpu() - spent + (ended[-1].cpu if ended else 0.0),
            bytes=self.peer.bytes_used(self.home) - size,
        )

    async def _written(self) -> None:
        if self.known:
            await self.peer.written(self.home, self.runs)

    async def killed(self, count: int) -> Killed:
        """What is left of so many runs whose process is killed in their second step, and then started again."""
        home, held = self.home / "killed", self.home / "held"
        home.mkdir()
        held.mkdir()
        async with self._child("hold", home, count, str(held)) as first, asyncio.timeout(PATIENCE):
            while sum(step == STEPS[1] for _, step in begun(held)) < count:
                if first.returncode is not None:
                    raise RuntimeError(f"{self.peer.name} ended before its runs stood in their second step")
                await asyncio.sleep(0.02)
        if any(step == STEPS[2] for _, step in begun(held)):
            raise RuntimeError(f"{self.peer.name}: a run did not wait in its second step")
        (held / "go").touch()
        async with self._child("again", home, count, str(held)) as second, asyncio.timeout(PATIENCE):
            again = Again.model_validate_json(await _line(second))
        ran, paid = begun(held), charged(held)
        if len(ran) != count * len(STEPS):
            raise RuntimeError(f"{self.peer.name}: after the restart only {len(ran)} steps had begun")
        return Killed(
            runs=count,
            finished=again.by_themselves,
            lost=again.by_hand,
            steps_run_twice=sum(times - 1 for times in ran.values()),
            budget_lost=sum(step not in paid for step in ran),
            budget_doubled=sum(times - 1 for times in paid.values()),
            note=self.peer.after_kill(self.home),
        )

    def _cpu(self) -> float:
        times = [psutil.Process(pid).cpu_times() for pid in self.server.pids]
        return sum(time.user + time.system for time in times)

    @asynccontextmanager
    async def _child(self, role: str, home: Path, count: int, rest: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """A process in one of the roles. At the block's end it is killed with -9, if it has not ended by then."""
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", f"benchmarks.peers.{self.peer.name}_peer", role, str(home), str(count), rest),
            cwd=ROOT,
            env={**os.environ, **self.server.environment},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            yield child
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()


async def _line(child: asyncio.subprocess.Process) -> str:
    """Its next line. RuntimeError: it has ended."""
    assert child.stdout
    line = await child.stdout.readline()
    if not line:
        raise RuntimeError("a process of the peer ended before its time")
    return line.decode()
