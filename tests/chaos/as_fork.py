"""The story of a fork whose worker dies as it takes over what another cycle has finished."""

import asyncio

from domain.cycle import Fork, Outcome, Phase

from .armed_worker import Kind
from .house import figures, house_in
from .scenarios import PATIENCE, Doom, begun_and_ended, finished, nothing_left


async def forked(doom: Doom) -> None:
    """A cycle is assessed again; the worker of all but the engine dies."""
    async with house_in(doom.root, doom.bench.client) as house:
        async with house.orchestrator(), house.engine(doom.bench.pool):
            source = await begun_and_ended(house, finished(house))
        origin = Fork(cycle_id=source.cycle_id, run_id=source.run_id, phase=Phase.ASSESSING)
        request = finished(house).model_copy(update={"fork": origin})
        async with doom.worker(Kind.ORCHESTRATOR, house.settings.task_queue) as worker:
            going = await doom.met(worker, begun_and_ended(house, request))
            async with house.orchestrator():
                status = await asyncio.wait_for(going, PATIENCE)
        assert status.outcome is Outcome.COMPLETED
        assert figures(status) == figures(source)
        async with house.orchestrator():  # which answers for the ledger
            await nothing_left(house, status, trainings=0)
