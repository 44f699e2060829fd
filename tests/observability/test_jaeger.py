"""A real Jaeger, where one is on PATH: a cycle's trace is found by service and operation."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import yaml
from temporalio.testing import WorkflowEnvironment

from client.processes import free_port
from observability import names

from .conftest import watched_house
from .otlp_receiver import Receiver

pytestmark = pytest.mark.skipif(shutil.which("jaeger") is None, reason="no Jaeger (version 2) is on PATH")


def configuration(otlp: int, query: int) -> dict[str, object]:
    """A Jaeger in memory with these ports."""
    return {
        "service": {
            "extensions": ["jaeger_storage", "jaeger_query"],
            "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["jaeger_storage_exporter"]}},
        },
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{otlp}"}}}},
        "extensions": {
            "jaeger_storage": {"backends": {"memory": {"memory": {"max_traces": 1000}}}},
            "jaeger_query": {
                "storage": {"traces": "memory"},
                "http": {"endpoint": f"127.0.0.1:{query}"},
                "grpc": {"endpoint": "127.0.0.1:0"},
            },
        },
        "exporters": {"jaeger_storage_exporter": {"trace_storage": "memory"}},
    }


@pytest.fixture
async def jaeger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx.AsyncClient]:
    """Its query API, once it answers; the variables name its receiver."""
    otlp, query = free_port(24318), free_port(26686)
    (tmp_path / "jaeger.yaml").write_text(yaml.safe_dump(configuration(otlp, query)))
    with (tmp_path / "jaeger.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            "jaeger", "--config", str(tmp_path / "jaeger.yaml"), stdout=log, stderr=log
        )
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{otlp}")
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{query}", trust_env=False) as http:
            async with asyncio.timeout(60):
                while not await _answers(http):
                    assert process.returncode is None, (tmp_path / "jaeger.log").read_text()[-2000:]
                    await asyncio.sleep(0.1)
            yield http
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _answers(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/api/services")).is_success
    except httpx.TransportError:
        return False


async def test_a_cycles_trace_is_found_by_service_and_operation(
    temporal_env: WorkflowEnvironment, tmp_path: Path, jaeger: httpx.AsyncClient
) -> None:
    async with watched_house(temporal_env, tmp_path, Receiver("")) as watched:
        async with watched.house.working(observer=watched.observer):
            status = await watched.ended(await watched.house.start())
        assert watched.observer.tracing
        await asyncio.to_thread(watched.observer.tracing.provider.force_flush)
        asked = {"service": names.SERVICE, "operation": names.CYCLE_SPAN}
        async with asyncio.timeout(30):
            while not (found := (await jaeger.get("/api/traces", params=asked)).json()["data"]):
                await asyncio.sleep(0.1)
    assert status.trace
    assert [trace["traceID"] for trace in found] == [status.trace.trace_id]
    operations = {span["operationName"] for span in found[0]["spans"]}
    assert {names.CYCLE_SPAN, *names.PHASE_SPANS.values()} <= operations
