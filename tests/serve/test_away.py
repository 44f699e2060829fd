"""A face whose server is gone, silent, or without a worker: each request ends, in words, and with when to ask again."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from client.cycles import cycle_input
from client.serve import serving
from client.serve_bodies import Trigger
from client.serve_trigger import BODY_IN_MEMO, id_of, sha256_of
from domain.cycle import CYCLE_WORKFLOW, CycleRequest, DesignerKind

from .conftest import House, asking


class Relay:
    """In front of the server: it may be taken away, and put back at the same address; or pass nothing on."""

    def __init__(self, target: str) -> None:
        self._host, _, self._port = target.rpartition(":")
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self.silent = False
        self.port = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def put(self) -> None:
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def take_away(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._open:
            writer.transport.abort()
        self._open.clear()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, onward = await asyncio.open_connection(self._host, int(self._port))
        self._open |= {writer, onward}
        await asyncio.gather(self._copy(reader, onward), self._copy(there, writer), return_exceptions=True)

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            if not self.silent:
                writer.write(data)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def behind(house: House, looking: float = 20.0) -> AsyncIterator[tuple[Relay, httpx.AsyncClient]]:
    """A face that reaches the server through a relay."""
    assert house.settings.temporal_address is not None
    relay = Relay(house.settings.temporal_address)
    await relay.put()
    settings = house.settings.model_copy(update={"temporal_address": relay.address})
    async with serving(settings, "127.0.0.1", 0, looking=looking) as at, asking(at.address) as ask:
        yield relay, ask
    await relay.take_away()


async def test_a_server_that_stops_is_503_for_as_long_as_it_is_away(house: House) -> None:
    async with behind(house) as (relay, ask):
        before = await ask.get("/agent/status")
        await relay.take_away()
        away = [
            await ask.get("/agent/status"),
            await ask.get("/agent/budget"),
            await ask.post("/agent/trigger", json={"designer": "offline"}),
            await ask.delete("/agent/cancel/cycle-x"),
        ]
        metrics = await ask.get("/metrics")
        await relay.put()
        after = await ask.get("/agent/status")

    assert (before.status_code, after.status_code) == (200, 200)
    for answer in away:
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert set(answer.json()) == {"success", "error"}
        assert answer.json()["error"]["code"] == "temporal_unreachable"
        assert relay.address in answer.json()["error"]["message"]
    assert metrics.status_code == 200
    assert 'ktrdr_agent_scrape_success{source="ledger"} 0.0' in metrics.text
    assert 'ktrdr_agent_http_requests_total{method="GET",route="/agent/status",status="503"} 1.0' in metrics.text


async def test_a_server_that_says_nothing_is_503_after_a_while(house: House) -> None:
    async with behind(house, looking=0.5) as (relay, ask):
        await ask.get("/agent/status")
        relay.silent = True
        answer = await ask.get("/agent/status")

    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "timed_out")
    assert int(answer.headers["retry-after"]) > 0


async def test_without_a_worker_nothing_is_started(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.cycles.WORKER_PATIENCE", 0.3)
    settings = house.settings.model_copy(update={"task_queue": "nobody-home"})
    async with serving(settings, "127.0.0.1", 0) as at, asking(at.address) as ask:
        answer = await ask.post("/agent/trigger", json={"designer": "offline"})

    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "no_worker")
    assert "nothing was started" in answer.json()["error"]["message"]
    assert "research worker" in answer.json()["error"]["next"]


async def test_a_start_that_no_worker_hears_ends_and_its_key_still_names_it(house: House) -> None:
    body, key = Trigger(designer="offline"), uuid.uuid4().hex
    request = CycleRequest(symbol="EURUSD", timeframe="1h", designer=DesignerKind.OFFLINE)
    started = await house.client.start_workflow(
        CYCLE_WORKFLOW,
        cycle_input(house.settings, request),
        id=id_of(key),
        task_queue="nobody-home",
        memo={BODY_IN_MEMO: sha256_of(body)},
    )
    async with serving(house.settings, "127.0.0.1", 0, looking=0.2) as at, asking(at.address) as ask:
        answer = await ask.post("/agent/trigger", json={"designer": "offline"}, headers={"Idempotency-Key": key})
    await started.terminate()

    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "timed_out")
    assert "Idempotency-Key" in answer.json()["error"]["next"]
