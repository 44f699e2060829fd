"""The activity `withdraw`: what a cancelled cycle began at a service is ended where no attempt is there to do it."""

from temporalio import activity

from activities.engine_job import Remote, withdrawn
from activities.heartbeat import beating
from engine.interface import Operation


class WithdrawActivity:
    """Withdraws through the engine that the worker was given."""

    def __init__(self, engine: Remote) -> None:
        self._engine = engine

    @activity.defn(name="withdraw")
    async def withdraw(self, operation: Operation) -> None:
        """End an operation; one that has ended already, or is not known, is ended. Errors: left_running."""
        async with beating(f"ending operation {operation.id} at the service", operation):
            await withdrawn(self._engine, operation)
