"""The activity `train`: a strategy becomes a trained model."""

from temporalio import activity

from activities.engine_job import earlier_progress, engine_job
from domain.results import TrainingResult
from engine.handover import TrainWork
from engine.interface import Engine


class TrainActivity:
    """Trains through the engine that the worker was given."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @activity.defn(name="train")
    async def train(self, work: TrainWork) -> TrainingResult:
        """Train a model. A retry resumes or finds the finished model, and never begins a second training."""
        earlier = earlier_progress(work)
        async with engine_job(self._engine, earlier) as report:
            return await self._engine.train(work.job, report, earlier)
