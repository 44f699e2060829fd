"""The face on a real socket, before a real ledger. No engine works here: a cycle with a strategy stays in training."""

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from google.protobuf.duration_pb2 import Duration
from pydantic import SecretStr
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from client.connection import connect
from client.serve import serving
from settings import Settings
from worker import Role, working

STRATEGY = (Path(__file__).parent.parent / "workflows" / "small_strategy.yaml").read_text()
TOKEN = SecretStr("a-token-that-nobody-guesses")


@dataclass(frozen=True)
class House:
    """What the face stands before."""

    settings: Settings
    client: Client


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def house(temporal_env: WorkflowEnvironment, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """A namespace of its own, with a ledger that allows one cycle at a time."""
    name = f"face-{uuid.uuid4().hex[:8]}"
    await temporal_env.client.workflow_service.register_namespace(
        RegisterNamespaceRequest(namespace=name, workflow_execution_retention_period=Duration(seconds=86_400))
    )
    settings = Settings(
        home=tmp_path_factory.mktemp("home"),
        temporal_address=temporal_env.client.service_client.config.target_host,
        temporal_namespace=name,
        anthropic_api_key=SecretStr("no-key-and-never-sent"),
    )
    client = await connect(settings)
    async with working(client, settings, Role.ORCHESTRATOR):
        yield House(settings, client)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def face(house: House) -> AsyncIterator[httpx.AsyncClient]:
    """The face on loopback, without a token."""
    async with serving(house.settings, "127.0.0.1", 0) as at, asking(at.address) as ask:
        yield ask


def asking(address: str) -> httpx.AsyncClient:
    """A client of a face, which no proxy of the environment stands before."""
    return httpx.AsyncClient(base_url=address, timeout=60, trust_env=False)


@pytest.fixture
async def cancelled(face: httpx.AsyncClient) -> AsyncIterator[None]:
    """Whatever cycle is active at the end of the test is ended."""
    yield
    while operation := (await face.get("/agent/status")).json()["operation"]:
        await face.delete(f"/agent/cancel/{operation['id']}")
