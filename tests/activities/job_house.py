"""A house with a place for everything that an engine job needs, whose engine workers a test starts and breaks."""

import subprocess
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from one_job import OneTraining, engine_queue_worker
from process_jobs import engine_in, journal, places_in, train_job
from process_watch import start_host, until
from temporalio.client import Client, WorkflowHandle
from temporalio.worker import Worker

from domain.results import TrainingResult
from engine.embedded import EmbeddedEngine
from engine.interface import Places, TrainJob
from engine.pool import JobPool

Handle = WorkflowHandle[OneTraining, TrainingResult]


@dataclass(frozen=True)
class House:
    """A worker for the workflow; the engine's workers are for the tests to start and to break."""

    client: Client
    address: str
    queue: str
    root: Path
    pool: JobPool

    @property
    def engine_queue(self) -> str:
        return f"{self.queue}-engine"

    @property
    def places(self) -> Places:
        return places_in(self.root)

    def worker(self, training: str = "process_jobs:train") -> Worker:
        """The engine's worker of this house, in this process."""
        return engine_queue_worker(self.client, self.engine_queue, self.engine(training))

    def engine(self, training: str = "process_jobs:train") -> EmbeddedEngine:
        """An engine on this house's files."""
        return engine_in(self.root, self.pool, training)

    def worker_process(self, training: str = "process_jobs:train") -> AbstractContextManager[subprocess.Popen[str]]:
        """The engine's worker of this house, in a process of its own that can be killed."""
        return start_host("host_worker", self.address, self.engine_queue, str(self.root), training, module="one_job")

    async def start(self, job: TrainJob | None = None) -> Handle:
        """Start the workflow of a training."""
        return await self.client.start_workflow(
            OneTraining.run, job or train_job(), id=f"{self.queue}-job", task_queue=self.queue
        )

    async def until_epoch(self, epoch: int) -> int:
        """Wait until a process has begun this epoch; its process id."""
        await until(lambda: epoch in self.epochs())
        return journal(self.places)[-1][0]

    def epochs(self) -> list[int]:
        return [epoch for _, epoch in journal(self.places)]

    def tree(self) -> dict[str, bytes]:
        """All files that a reader of the cycle can see."""
        folder = self.places.artifacts / "cycle-1"
        files = [path for path in folder.rglob("*") if path.is_file() and ".attempts" not in path.parts]
        return {str(path.relative_to(folder)): path.read_bytes() for path in files}
