"""What the tests of processes that die share."""

from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment

from engine.pool import JobPool

from .scenarios import Bench


@pytest.fixture(scope="session")
def bench(temporal_env: WorkflowEnvironment, pool: JobPool, compiled: Path) -> Bench:
    """A server, engine processes, and the twins that were made so far."""
    return Bench(temporal_env.client, pool, compiled)
