"""The spans of a service's calls: what is asked and how it ended, and no word of the service: it may repeat a token."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from pydantic import SecretStr

from engine.service.answers import Away
from engine.service.client import Declined, Service

TOKEN = "a-token-of-the-service"


class Echo:
    """Answers each request with these bytes, and keeps what it was asked."""

    def __init__(self) -> None:
        self.says = b""
        self.asked = b""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked = await reader.readuntil(b"\r\n\r\n")
        writer.write(self.says)
        await writer.drain()
        writer.close()


@pytest.fixture
def written() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def traces(written: InMemorySpanExporter) -> TracerProvider:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(written))
    return provider


@pytest.fixture
async def echo() -> AsyncIterator[tuple[Echo, str]]:
    echo = Echo()
    async with await asyncio.start_server(echo.answer, "127.0.0.1") as server:
        host, port = server.sockets[0].getsockname()
        yield echo, f"http://{host}:{port}"


async def test_a_token_that_a_broken_answer_repeats_is_in_no_span(
    echo: tuple[Echo, str],
    traces: TracerProvider,
    written: InMemorySpanExporter,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_REQUEST", ".*")
    server, url = echo
    async with Service(url, SecretStr(TOKEN), traces=traces) as service:
        server.says = f"HTTP/1.1 200 OK\r\nnot a header {TOKEN}\r\n\r\n".encode()
        with pytest.raises(Away):
            await service.operation("op_1")
        server.says = f"HTTP/1.1 401 Unauthorized\r\nX-Said: {TOKEN}\r\n\r\n{TOKEN}".encode()
        with pytest.raises(Declined):
            await service.operation("op_1")
    assert TOKEN.encode() in server.asked
    broken, refused = written.get_finished_spans()
    assert TOKEN not in broken.to_json() + refused.to_json()
    assert (broken.attributes or {})["error.type"] == "Away"
    assert (refused.attributes or {})["http.response.status_code"] == 401
    assert {broken.status.status_code, refused.status.status_code} == {StatusCode.ERROR}


async def test_a_service_is_told_of_the_trace_where_one_is_written_and_else_of_none(
    echo: tuple[Echo, str], traces: TracerProvider, written: InMemorySpanExporter
) -> None:
    server, url = echo
    server.says = b"HTTP/1.1 404 Not Found\r\n\r\n"
    with traces.get_tracer("test").start_as_current_span("around"):
        async with Service(url) as service:
            await service.operation("op_1")
        assert b"traceparent" not in server.asked
        async with Service(url, traces=traces) as service:
            await service.operation("op_1")
    call, around = written.get_finished_spans()
    assert call.context
    assert f"-{call.context.trace_id:032x}-{call.context.span_id:016x}-".encode() in server.asked
    assert around.context
    assert call.parent == around.context
    host, port = url.removeprefix("http://").split(":")
    assert dict(call.attributes or {}) == {
        "http.request.method": "GET",
        "url.full": f"{url}/api/v1/operations/op_1",
        "server.address": host,
        "server.port": int(port),
        "http.response.status_code": 404,
        "error.type": "404",
    }
