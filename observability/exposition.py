"""The page `/metrics` of a worker: our metrics, and those of Temporal's SDK.

The SDK serves its own on a port of its own, which is closed to others: they are read there at each scrape.
"""

import http.client
import logging
import socket
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Metric, start_http_server
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from temporalio.runtime import Runtime

from observability.logging import runtime

PATIENCE = 2.0
"""Seconds for the SDK's page."""

log = logging.getLogger("metrics")


class SdkMetrics(Collector):
    """The metrics of Temporal's SDK, from the address (host:port) where it serves them."""

    def __init__(self, address: str) -> None:
        self._url = f"http://{address}/metrics"
        # No proxy, whatever the environment names: one would look for the address on its own machine.
        self._ask = urllib.request.build_opener(urllib.request.ProxyHandler({})).open

    def collect(self) -> Iterator[Metric]:
        """As they are now; none where the SDK does not answer, which the log says."""
        try:
            with self._ask(self._url, timeout=PATIENCE) as answer:
                families = [*text_string_to_metric_families(answer.read().decode())]
        except (OSError, ValueError, http.client.HTTPException) as error:
            log.warning("the SDK's metrics could not be read: %s", error)
            return
        yield from families

    def describe(self) -> list[Metric]:
        """Nothing: they are not known before they are read."""
        return []


def split_address(address: str) -> tuple[str, int]:
    """Host and port of `host:port`. Raises ValueError."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 <= int(port) <= 65535:
        raise ValueError(f"{address!r} is no address to listen on: write host:port, as 127.0.0.1:9464")
    return host.strip("[]"), int(port)


@contextmanager
def served(registry: CollectorRegistry, address: str) -> Iterator[str]:
    """Serve the page as long as the block runs; hands out the address. Where another program has the port, a free one
    of the same host is taken, and the log says which: a second worker of a machine must not fail for that.

    Raises ValueError where the address is none of this machine.
    """
    host, port = split_address(address)
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        try:
            server, thread = start_http_server(0, host, registry)
        except OSError:
            raise ValueError(f"the metrics cannot be served on {address}: {error.strerror or error}") from error
        log.warning(
            "%s is taken (%s): this worker serves its metrics on port %s. RESEARCH_METRICS_ADDRESS names another",
            *(address, error.strerror, server.server_port),
        )
    try:
        yield f"[{host}]:{server.server_port}" if ":" in host else f"{host}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def runtime_with_metrics(port: Callable[[], int] = _free_port) -> tuple[Runtime, str]:
    """A Temporal runtime, and the address where the SDK serves its metrics, on loopback.

    port: names one that is free at this moment. Raises ValueError where each of several was taken a moment later.
    """
    for tries_left in reversed(range(5)):
        address = f"127.0.0.1:{port()}"
        try:
            return runtime(address), address
        except ValueError:  # Another program was faster.
            if not tries_left:
                raise
    raise AssertionError
