"""What the activities' tests share: small jobs in real processes, behind the real activities, on a real server."""

import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from engine.pool import JobPool

HERE = Path(__file__).parent
# Jobs and hosts are called by name in other processes, which look where this process looks.
sys.path += [str(HERE), str(HERE.parent / "engine")]

if TYPE_CHECKING:
    from job_house import House


@pytest.fixture
async def house(temporal_env: WorkflowEnvironment, tmp_path: Path) -> "AsyncIterator[House]":
    """Files of its own, a pool with one process, and a worker for the workflows around a job."""
    from job_house import House
    from one_job import OneBacktest, OneTraining

    queue = f"jobs-{uuid.uuid4().hex[:8]}"
    workflows = Worker(
        temporal_env.client,
        task_queue=queue,
        workflows=[OneTraining, OneBacktest],
        workflow_runner=SandboxedWorkflowRunner(
            restrictions=SandboxRestrictions.default.with_passthrough_modules(
                "domain", "engine", "pydantic", "workflows"
            )
        ),
    )
    with JobPool(1, tmp_path / "cache", warm=()) as pool:
        async with workflows:
            address = temporal_env.client.service_client.config.target_host
            yield House(temporal_env.client, address, queue, tmp_path, pool)
