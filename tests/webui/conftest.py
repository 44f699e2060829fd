"""A server with its Web UI, cycles on it, and a browser."""

import shutil
import socket
import sys
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
import pytest_asyncio
from google.protobuf.duration_pb2 import Duration
from playwright.async_api import Page, Route, expect
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from client.connection import connect
from client.dev import server_options
from client.namespace import add_search_attributes
from settings import PROJECT, Settings
from tests.programs import chromium
from tests.webui.ended_cycles import ended_cycles
from workflows import search_attributes

PATIENCE = 60_000
"""Milliseconds that a page may take to show what is looked for."""

WIDTH, HEIGHT = 1560, 1320
OWN_HOST = "127.0.0.1"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((OWN_HOST, 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class WebUi:
    """The addresses of its pages."""

    url: str

    def cycles(self, namespace: str, query: str) -> str:
        return f"{self.url}/namespaces/{namespace}/workflows?query={quote(query)}"

    def cycle(self, namespace: str, cycle_id: str, run_id: str, tab: str) -> str:
        return f"{self.url}/namespaces/{namespace}/workflows/{cycle_id}/{run_id}/{tab}"


@pytest.fixture(scope="session")
def web_ui() -> WebUi:
    """Where the server of these tests has its Web UI."""
    return WebUi(f"http://{OWN_HOST}:{free_port()}")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def temporal_env(web_ui: WebUi) -> AsyncIterator[WorkflowEnvironment]:
    """A server with its Web UI."""
    beside_python = Path(sys.executable).parent / "temporal"
    async with await WorkflowEnvironment.start_local(
        data_converter=pydantic_data_converter,
        dev_server_existing_path=str(beside_python) if beside_python.exists() else shutil.which("temporal"),
        dev_server_extra_args=server_options(),
        search_attributes=search_attributes.ALL,
        dev_server_log_level="error",
        ui=True,
        ui_port=urlsplit(web_ui.url).port,
    ) as env:
        yield env


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def ended(temporal_env: WorkflowEnvironment, tmp_path_factory) -> AsyncIterator[Client]:
    """A namespace of its own, in which cycles have ended in every way."""
    name = f"ended-{uuid.uuid4().hex[:8]}"
    await temporal_env.client.workflow_service.register_namespace(
        RegisterNamespaceRequest(namespace=name, workflow_execution_retention_period=Duration(seconds=86_400))
    )
    address = temporal_env.client.service_client.config.target_host
    home = tmp_path_factory.mktemp("ended")
    client = await connect(Settings(home=home, temporal_address=address, temporal_namespace=name))
    await add_search_attributes(client)
    await ended_cycles(client)
    yield client
    await client.get_workflow_handle("running").terminate()


@dataclass
class Browser:
    """A page, and the other hosts that it asked for: none is reached."""

    page: Page
    keep: Path
    elsewhere: set[str] = field(default_factory=set)

    async def screenshot(self, name: str, height: int = HEIGHT) -> None:
        """What the page shows now, from its top."""
        path = self.keep / f"{name}.png"
        await self.page.screenshot(path=path, clip={"x": 0, "y": 0, "width": WIDTH, "height": height})


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    """A real browser without a window. Its pictures go into docs/ where --keep-screenshots asks for it."""
    keep = PROJECT / "docs" if request.config.getoption("keep_screenshots") else tmp_path_factory.mktemp("pictures")
    async with chromium(OWN_HOST, viewport={"width": WIDTH, "height": HEIGHT}) as context:
        page = await context.new_page()
        page.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        opened = Browser(page, keep)

        async def own_host_alone(route: Route) -> None:
            host = urlsplit(route.request.url).hostname
            if host == OWN_HOST:
                await route.continue_()
            else:
                opened.elsewhere.add(str(host))
                await route.abort()

        await context.route("**/*", own_host_alone)
        yield opened
