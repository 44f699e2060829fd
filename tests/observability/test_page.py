"""A worker's page of metrics: where it is served, and what it says when something can't be read."""

import asyncio
import logging
import socket
import threading
import urllib.request
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from wsgiref.simple_server import make_server

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from pydantic import ValidationError
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from client.dev import _environment as worker_variables
from client.processes import free_port
from observability import exposition
from observability.metrics import Metrics
from observability.readings import Readings
from settings import Settings


def read(address: str) -> dict[str, float]:
    """Each sample without labels, and with them as they stand."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=20) as answer:
        text = answer.read().decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {sample.name + str(sorted(sample.labels.items())): sample.value for sample in samples}


def test_a_second_worker_of_a_machine_takes_a_free_port_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with (
        exposition.served(Metrics().registry, "127.0.0.1:0") as first,
        exposition.served(Metrics().registry, first) as second,
    ):
        assert second != first
        assert read(second)["ktrdr_agent_cycles_total[('outcome', 'failed')]"] == 0
    assert f"{first} is taken" in caplog.text
    assert "RESEARCH_METRICS_ADDRESS" in caplog.text


def test_an_address_of_another_machine_is_refused_in_words() -> None:
    with (
        pytest.raises(ValueError, match=r"cannot be served on 192\.0\.2\.1:9464"),
        exposition.served(CollectorRegistry(), "192.0.2.1:9464"),
    ):
        pass


@pytest.mark.parametrize("address", ["9464", "127.0.0.1", "127.0.0.1:port", "127.0.0.1:70000", ":9464"])
def test_an_address_that_is_none_is_refused_by_its_setting(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESEARCH_METRICS_ADDRESS", address)
    with pytest.raises(ValidationError, match="write host:port, as in 127"):
        Settings()


def test_a_worker_may_serve_no_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESEARCH_METRICS_ADDRESS", "off")
    assert Settings().metrics_address is None


async def test_what_cannot_be_read_is_absent_and_said_to_be(
    temporal_env: WorkflowEnvironment, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    registry = CollectorRegistry()
    registry.register(Readings(temporal_env.client, asyncio.get_running_loop(), "a-scope-without-a-ledger"))
    with exposition.served(registry, "127.0.0.1:0") as address:
        page = await asyncio.to_thread(read, address)
    assert page["ktrdr_agent_scrape_success[('source', 'ledger')]"] == 0
    assert page["ktrdr_agent_scrape_success[('source', 'cycles')]"] == 1
    assert not [name for name in page if "budget" in name]
    assert page["ktrdr_agent_active_cycles[('phase', 'training')]"] >= 0
    assert "the ledger could not be read for the metrics" in caplog.text


async def test_a_server_that_does_not_answer_costs_a_scrape_its_patience_and_no_more(
    temporal_env: WorkflowEnvironment,
) -> None:
    silent = await asyncio.start_server(lambda _reader, _writer: asyncio.sleep(3600), "127.0.0.1")
    host, port = silent.sockets[0].getsockname()
    client = await Client.connect(f"{host}:{port}", lazy=True)
    registry = CollectorRegistry()
    registry.register(Readings(client, asyncio.get_running_loop(), patience=0.2))
    with exposition.served(registry, "127.0.0.1:0") as address:
        page = await asyncio.to_thread(read, address)
    silent.close()
    assert page == {
        "ktrdr_agent_scrape_success[('source', 'cycles')]": 0,
        "ktrdr_agent_scrape_success[('source', 'ledger')]": 0,
    }


async def test_the_sdks_metrics_are_missed_and_the_page_is_served_all_the_same(
    caplog: pytest.LogCaptureFixture,
) -> None:
    registry = CollectorRegistry()
    registry.register(exposition.SdkMetrics("127.0.0.1:9"))
    with exposition.served(registry, "127.0.0.1:0") as address:
        assert await asyncio.to_thread(read, address) == {}
    assert "the SDK's metrics could not be read" in caplog.text


def test_a_port_that_another_program_takes_first_is_followed_by_another_try() -> None:
    with socket.create_server(("127.0.0.1", 0)) as faster:
        taken = faster.getsockname()[1]
        ports = iter([taken, taken])
        _, address = exposition.runtime_with_metrics(lambda: next(ports, 0) or free_port(0))
    assert next(ports, None) is None
    assert not address.endswith(f":{taken}")


def test_the_sdks_metrics_are_read_from_this_machine_whatever_proxy_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    with exposition.served(Metrics().registry, "127.0.0.1:0") as address:
        assert any(exposition.SdkMetrics(address).collect())


def test_what_is_no_page_of_metrics_spoils_no_other(caplog: pytest.LogCaptureFixture) -> None:
    def nonsense(_: dict[str, Any], start_response: Callable[..., object]) -> list[bytes]:
        start_response("200 OK", [])
        return [b'temporal_tasks{queue="']

    with make_server("127.0.0.1", 0, nonsense) as server:
        answering = threading.Thread(target=server.handle_request)
        answering.start()
        assert [*exposition.SdkMetrics(f"127.0.0.1:{server.server_port}").collect()] == []
        answering.join()
    assert "the SDK's metrics could not be read" in caplog.text


def test_an_address_of_ipv6_is_told_as_urls_have_it() -> None:
    try:
        with exposition.served(Metrics().registry, "[::1]:0") as address:
            assert address.startswith("[::1]:")
            assert read(address)
    except ValueError:
        pytest.skip("this machine has no IPv6")


class Stuck(Readings):
    """Whose sources never answer, and have no patience of their own."""

    def __init__(self, loop: asyncio.AbstractEventLoop, patience: float) -> None:
        super().__init__(None, loop, patience=patience)  # type: ignore[arg-type] # it asks nobody

    async def _tried(self, source: str, read: object) -> None:
        await asyncio.Event().wait()


async def until_it_is_asked(before: set[asyncio.Task[Any]]) -> None:
    """Until the loop runs more than it did."""
    while asyncio.all_tasks() <= before:
        await asyncio.sleep(0)


def test_a_scrape_while_the_worker_ends_tells_that_nothing_could_be_read() -> None:
    with ThreadPoolExecutor() as threads:

        async def worker() -> Future[object]:
            readings = Stuck(asyncio.get_running_loop(), patience=3600)
            scrape: Future[object] = threads.submit(readings._read)
            await until_it_is_asked(asyncio.all_tasks())
            return scrape

        assert asyncio.run(worker()).result(10) == (None, None)


async def test_a_scrape_that_gave_up_leaves_nothing_behind() -> None:
    before = asyncio.all_tasks()
    readings = Stuck(asyncio.get_running_loop(), patience=0)
    scrape = asyncio.get_running_loop().run_in_executor(None, readings._read)
    await until_it_is_asked(before)
    assert await scrape == (None, None)
    async with asyncio.timeout(10):
        while asyncio.all_tasks() - before:
            await asyncio.sleep(0)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_research_dev_names_the_address_where_its_worker_will_serve(host: str) -> None:
    with exposition.served(Metrics().registry, f"{host}:0") as taken:
        named = worker_variables(Settings(metrics_address=taken))["RESEARCH_METRICS_ADDRESS"]
        assert named != taken
        with exposition.served(Metrics().registry, named) as served:
            assert served == named
