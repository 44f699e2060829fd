"""Looking at cycles: the workflow, its pending work, the store and the places, joined into one view."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cached_property

from temporalio.client import Client

from client.cycles import fetch
from client.places import places_of
from client.views import CycleView, view
from domain.cycle import CycleStatus
from settings import Settings
from store.cycles import Store


@dataclass(frozen=True)
class LazyRecords:
    """The store of the settings, opened when the first ended cycle is asked for."""

    settings: Settings

    def get(self, cycle_id: str) -> CycleStatus | None:
        """As Store.get."""
        return self._store.get(cycle_id)

    @cached_property
    def _store(self) -> Store:
        return Store.open(self.settings.store_url)


def look_at(client: Client, settings: Settings, cycle_id: str) -> Callable[[], Awaitable[CycleView]]:
    """A function that gives the cycle's view of the moment."""
    records = LazyRecords(settings)

    async def look() -> CycleView:
        found = await fetch(client, records, cycle_id)
        return view(found.status, found.live, places_of(found.status, settings), running=found.running)

    return look
