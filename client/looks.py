"""Looking at cycles: the workflow, its pending work, the store and the places, joined into one view."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from temporalio.client import Client

from client.budget import ask
from client.cycles import fetch, reach
from client.exits import CommandError
from client.places import places_of
from client.views import CycleView, view
from domain.cycle import CycleStatus
from domain.errors import ResearchError
from domain.ledger import Waiting
from settings import Settings

if TYPE_CHECKING:
    from store.cycles import Store


@dataclass(frozen=True)
class LazyRecords:
    """The store of the settings, opened when the first ended cycle is asked for."""

    settings: Settings

    def get(self, cycle_id: str) -> CycleStatus | None:
        """As Store.get."""
        return self._store.get(cycle_id)

    @cached_property
    def _store(self) -> "Store":
        from store.cycles import Store  # with a database's libraries, half of a command's start

        return Store.open(self.settings.store_url)


class Looked(NamedTuple):
    """A cycle's view, and the client of the server that told of it; None where it is from the store alone."""

    view: CycleView
    client: Client | None


async def find(settings: Settings, cycle_id: str) -> Looked:
    """A cycle from the server, or where it cannot be reached from the store."""
    try:
        client = await reach(settings)
    except CommandError as away:
        try:
            recorded = await asyncio.to_thread(LazyRecords(settings).get, cycle_id)
        except ResearchError as error:
            message = f"{away.message}, and the store does not tell of it either: {error.message}"
            raise CommandError(away.exit_code, away.code, message, away.next_step) from error
        if recorded is None:
            raise
        return Looked(view(recorded, None, places_of(recorded, settings)), None)
    return Looked(await look_at(client, settings, cycle_id)(), client)


def look_at(client: Client, settings: Settings, cycle_id: str) -> Callable[[], Awaitable[CycleView]]:
    """A function that gives the cycle's view of the moment."""
    records = LazyRecords(settings)

    async def look() -> CycleView:
        found = await fetch(client, records, cycle_id)
        status = await _in_its_place(client, found.status)
        return view(status, found.live, places_of(status, settings), running=found.running)

    return look


async def _in_its_place(client: Client, status: CycleStatus) -> CycleStatus:
    """The status with the cycle's place in the ledger's queue as it is now; without one where the ledger doesn't tell.

    The cycle itself knows the place that it had when it last asked, which may be half an hour ago.
    """
    told = status.top_up or status.admission
    if status.outcome or told.position is None:
        return status
    try:
        queue = await ask(client, "waiting", list[Waiting], scope=status.request.budget_scope)
    except CommandError:
        queue = []
    this = status.cycle_id, status.top_up is not None
    place = next((one.position for one in queue if (one.cycle_id, one.top_up) == this), None)
    waiting_for = status.waiting_for and status.waiting_for.replace(
        f" (place {told.position} in its queue)", f" (place {place} in its queue)" if place else ""
    )
    placed = told.model_copy(update={"position": place})
    return status.model_copy(
        update={"top_up" if status.top_up else "admission": placed, "waiting_for": waiting_for},
    )
