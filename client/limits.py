"""How the limits that the settings name reach a ledger that runs already."""

from decimal import Decimal

from temporalio.client import Client
from temporalio.exceptions import TemporalError

from client.budget import budget_status, tell
from client.exits import CommandError
from domain.ledger import BudgetStatus, LimitsChange

NOTHING = LimitsChange()


async def tell_limits(client: Client, named: LimitsChange) -> str | None:
    """Tell the running ledger of limits that the settings have not named before, and give the news for a person.

    None where it knew them, or where no ledger runs: the first one starts with the settings' limits. A limit that a
    person set stands until the settings name another than they did last (domain.ledger, Ledger.configure). A ledger
    that does not answer is news, and no error.
    """
    if named == NOTHING:
        return None
    try:
        before = await budget_status(client)
        if before is None or named.unlike(before.configured) == NOTHING:
            return None
        after = await tell(client, "configure", named)
    except (CommandError, TemporalError) as error:
        return f"the settings' limits have not reached the budget ledger: {error}"
    return difference(before, after)


def difference(before: BudgetStatus, after: BudgetStatus) -> str | None:
    """Which of the ledger's limits the settings have changed, and what to type to have the old ones back."""
    rows = (
        ("--tokens", "tokens a day", before.daily_budget, after.daily_budget),
        ("--usd", "dollars a day", before.daily_usd_budget, after.daily_usd_budget),
        ("--max-active", "cycles at once", before.max_active_cycles, after.max_active_cycles),
    )
    changed = [row for row in rows if row[2] != row[3]]
    if not changed:
        return None
    told = ", ".join(f"{_limit(new)} {what} (it was {_limit(old)})" for _, what, old, new in changed)
    options = " ".join(f"{option} {_limit(old)}" for option, _, old, _ in changed)
    return (
        f"the budget ledger now has the settings' limits: {told}. To have the former: `research budget set {options}`"
    )


def _limit(value: int | Decimal | None) -> str:
    """As the command takes it."""
    return "none" if value is None else str(value)
