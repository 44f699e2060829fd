"""What all tests share: one real Temporal server for the session, quick, in memory, with our search attributes; and
processes for jobs of the engine.
"""

import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from client.dev import server_options
from engine.pool import JobPool
from workflows import search_attributes


def pytest_addoption(parser: pytest.Parser) -> None:
    """The long forms of the suite."""
    parser.addoption("--chaos", action="store_true", help="run the long forms of the sampled tests")
    parser.addoption("--keep-histories", action="store_true", help="write the histories that the replay tests keep")
    parser.addoption("--keep-screens", action="store_true", help="write the screens that tests/client keeps")
    parser.addoption("--keep-screenshots", action="store_true", help="write the pictures of the pages into docs/")


LONGEST = (
    "tests/test_dev_stack.py",
    "tests/workflows/test_storm.py",
    "tests/test_docs.py",
    "tests/workflows/budget/test_benchmark.py",
    "tests/chaos/",
    "tests/claude/test_cycle_claude.py",
    "tests/engine/test_every_strategy.py",
)
"""Where the longest tests stand; what takes longest or waits most comes first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest tests go first, so that no process is left alone with one of them at the end."""

    def place(item: pytest.Item) -> int:
        return next((n for n, start in enumerate(LONGEST) if item.nodeid.startswith(start)), len(LONGEST))

    items.sort(key=place)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def temporal_env() -> AsyncIterator[WorkflowEnvironment]:
    """A running server; its client speaks pydantic. Tests take task queues and workflow ids of their own."""
    beside_python = Path(sys.executable).parent / "temporal"
    server = str(beside_python) if beside_python.exists() else shutil.which("temporal")
    async with await WorkflowEnvironment.start_local(
        data_converter=pydantic_data_converter,
        dev_server_existing_path=server,
        dev_server_extra_args=server_options(),
        search_attributes=search_attributes.ALL,
        dev_server_log_level="error",
    ) as env:
        yield env


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where engine processes keep their compiled programs."""
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture(scope="session")
def pool(compiled: Path) -> Iterator[JobPool]:
    """Engine processes are shared by the tests: starting them is the slow part."""
    with JobPool(1, compiled) as pool:
        yield pool
