"""GET /agent/status: of the cycles that are active, the one that is told."""

from temporalio.client import Client

from client.budget import budget_status
from client.looks import look_at
from client.serve_bodies import AgentStatus
from client.visibility import conditions, newest_cycles
from domain.ledger import BudgetStatus
from settings import Settings

MOST_LISTED = 20


async def status(client: Client, settings: Settings) -> AgentStatus:
    """The status of the moment.

    Which cycles are active is asked of the ledger, which has just said so to whoever triggered one; the server's list
    may be a moment behind, and is for cycles that no ledger knows of.
    """
    budget = await budget_status(client)
    ids = _known(budget) if budget else []
    if not ids:
        ids = [cycle.cycle_id for cycle in await newest_cycles(client, conditions(active=True), MOST_LISTED)]
    for cycle_id in ids:
        view = await look_at(client, settings, cycle_id)()
        if view.cycle.outcome is None:
            return AgentStatus.of(view, budget)
    return AgentStatus.of(None, budget)


def _known(budget: BudgetStatus) -> list[str]:
    """Those that hold a place, the last one first, then those that wait for one, by their turn."""
    holding = sorted(budget.active, key=lambda one: one.since, reverse=True)
    return [one.cycle_id for one in holding] + [one.cycle_id for one in budget.waiting if not one.top_up]
