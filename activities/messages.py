"""Messages between cycles and the ledger, carried to the server by the worker that has the sender's workflow task.

As a local activity a message costs its sender no further workflow task, as a signal of the workflow itself does: that
is scheduled, sent, acknowledged, and wakes the sender to hear it. One may arrive twice, which changes nothing for whom
it is meant; where it can't be carried, the sender's workflow sends it itself.
"""

from dataclasses import dataclass
from typing import Any

from temporalio import activity
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError

from domain.ledger import Close, Reply, budget_workflow_id
from domain.results import Frozen


@dataclass(frozen=True)
class MessageActivities:
    """The carriers. Each says whether the server has taken the message."""

    client: Client

    @activity.defn(name="deliver_close")
    async def deliver_close(self, scope: str | None, message: Close) -> bool:
        """To the scope's ledger, whichever run of it serves."""
        return await _taken(self.client.get_workflow_handle(budget_workflow_id(scope)), "close", message)

    @activity.defn(name="deliver_reply")
    async def deliver_reply(self, reply: Reply) -> bool:
        """To the run that asked, and no other."""
        return await _taken(self.client.get_workflow_handle(reply.cycle_id, run_id=reply.run_id), reply.kind, reply)


async def _taken(to: WorkflowHandle[Any, Any], signal: str, message: Frozen) -> bool:
    try:
        await to.signal(signal, message)
    except RPCError:
        return False
    return True
