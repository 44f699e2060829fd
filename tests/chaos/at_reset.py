"""The story of a cycle that is reset while its backtest runs at a service, and the worker dies that waits for it."""

import asyncio
from contextlib import AsyncExitStack

from domain.cycle import CycleStatus, Outcome
from tests.service.cycles import Stage
from tests.service.fake_ktrdr import fake_ktrdr

from .armed_worker import Kind
from .house import house_in
from .scenarios import PATIENCE, Doom, finished, until


async def service_reset(doom: Doom) -> None:
    """The next run begins a backtest of its own, and the attempt of the one before hears that nobody needs its own."""
    async with (
        house_in(doom.root, doom.bench.client) as house,
        house.orchestrator(),
        fake_ktrdr(holds="backtest") as ktrdr,
        AsyncExitStack() as living,
        doom.worker(Kind.SERVICE, house.settings.task_queue, ktrdr.url) as worker,
    ):
        cycle, _ = await house.start(finished(house))
        await until(lambda: any(op.polls for op in ktrdr.of("backtest")))
        stage = Stage(house, ktrdr)
        now = await stage.reset(cycle, "backtest")

        async def completed() -> CycleStatus:
            await until(lambda: len(ktrdr.of("backtest")) > 1 or doom.marker.exists())
            await until(lambda: ktrdr.of("backtest")[0].status == "cancelled" or doom.marker.exists())
            ktrdr.release()
            return await stage.end_of_run(now)

        going = await doom.met(worker, completed())
        await living.enter_async_context(house.at_service(ktrdr.url))
        status = await asyncio.wait_for(going, PATIENCE)
        assert status.outcome is Outcome.COMPLETED
        assert status.backtest
        assert status.backtest.service
        mine = status.backtest.service.operation_id
        assert mine != ktrdr.of("backtest")[0].id
        assert ktrdr.ops[mine].status == "completed"
        assert [ktrdr.starts[op.id] for op in ktrdr.of("training")] == [1]
