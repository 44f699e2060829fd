"""The activity `train`: a strategy becomes a trained model."""

from temporalio import activity

from activities.engine_job import engine_job
from domain.errors import ErrorCode
from domain.results import TrainingResult
from engine.interface import Engine, TrainJob


class TrainActivity:
    """Trains through the engine that the worker was given."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @activity.defn(name="train")
    async def train(self, job: TrainJob) -> TrainingResult:
        """Train a model. A retry resumes or finds the finished model, and never begins a second training."""
        async with engine_job(ErrorCode.TRAINING_SERVICE_UNAVAILABLE) as report:
            return await self._engine.train(job, report)
