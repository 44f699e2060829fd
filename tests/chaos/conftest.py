"""What the tests of processes that die share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment

from engine.pool import JobPool

from .scenarios import Bench


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where engine processes keep their compiled programs."""
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture(scope="session")
def pool(compiled: Path) -> Iterator[JobPool]:
    """Engine processes are shared by the tests: starting them is the slow part."""
    with JobPool(1, compiled) as pool:
        yield pool


@pytest.fixture(scope="session")
def bench(temporal_env: WorkflowEnvironment, pool: JobPool, compiled: Path) -> Bench:
    """A server, engine processes, and the twins that were made so far."""
    return Bench(temporal_env.client, pool, compiled)
