"""The floor: four activities that do nothing, on Temporal, with nothing around them."""

from datetime import timedelta

from temporalio import workflow

STEPS = ("design", "train", "backtest", "assess")

PATIENCE = timedelta(seconds=10)
"""After which an activity is taken for dead: a cycle's heartbeat timeout."""


@workflow.defn
class BareWorkflow:
    """One step after the other."""

    @workflow.run
    async def run(self, name: str) -> str:
        """The last one's answer."""
        for step in STEPS:
            name = await workflow.execute_activity(
                step, name, result_type=str, start_to_close_timeout=PATIENCE, schedule_to_close_timeout=6 * PATIENCE
            )
        return name
