"""What a cycle asks of the Temporal server about itself."""

from dataclasses import dataclass

from temporalio import activity
from temporalio.client import Client

from domain.ledger import RunRef


@dataclass(frozen=True)
class ControlActivities:
    """Requests that only a client can make."""

    client: Client

    @activity.defn(name="request_cancel")
    async def request_cancel(self, run: RunRef) -> None:
        """Ask the server to cancel this run; asking for a cancelled run again changes nothing."""
        await self.client.get_workflow_handle(run.cycle_id, run_id=run.run_id).cancel()
