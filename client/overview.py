"""The whole status screen: what runs at this moment, and the day's budget."""

import asyncio

from temporalio.client import Client

from client.budget import budget_status
from client.looks import look_at
from client.views import StatusView
from client.visibility import conditions, newest_cycles
from settings import Settings


async def overview(client: Client, settings: Settings, cycle: str | None = None) -> StatusView:
    """Every active cycle, newest first, or one by its id, and the budget."""
    if cycle:
        found = [await look_at(client, settings, cycle)()]
    else:
        active = await newest_cycles(client, conditions(active=True), 1000)
        found = await asyncio.gather(*(look_at(client, settings, one.cycle_id)() for one in active))
    running = [one for one in found if one.cycle.outcome is None]
    shown = found if cycle else running
    word = "active" if running else "ended" if shown else "idle"
    return StatusView(status=word, cycles=tuple(shown), budget=await budget_status(client))
