"""A cycle's last message to the ledger, carried to the server by the worker that has the cycle's workflow task.

As a local activity it costs its sender no further workflow task, as a signal of the workflow itself does: that is
scheduled, sent, acknowledged, and wakes the sender to hear it. It may arrive twice, which changes nothing for the
ledger; where it can't be carried, the cycle sends it itself.
"""

import asyncio
from dataclasses import dataclass

from temporalio import activity
from temporalio.client import Client
from temporalio.service import RPCError

from domain.ledger import Close, budget_workflow_id

PATIENCE = 1.5
"""Seconds for the server to take a message; less than the cycle waits for its carrier."""


@dataclass(frozen=True)
class MessageActivities:
    """The carrier."""

    client: Client

    @activity.defn(name="deliver_close")
    async def deliver_close(self, scope: str | None, message: Close) -> bool:
        """To the scope's ledger, whichever run of it serves. Says whether the server has taken it."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self.client.get_workflow_handle(budget_workflow_id(scope)).signal("close", message)
        except (RPCError, TimeoutError):
            return False
        return True
