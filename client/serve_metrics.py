"""What the HTTP face counts of itself, and its page `/metrics`: this, and the gauges that a worker shows too."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    Metric,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.registry import Collector
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from temporalio.client import Client

from observability.names import PREFIX
from observability.readings import Readings, success

UNKNOWN = "unknown"
"""The route of every path that there is not: what a client makes up must not become a label."""

METHODS = frozenset({"GET", "POST", "DELETE"})
OTHER = "other"
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class HttpMetrics:
    """Requests by route, method and status, and how long they took; in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            f"{PREFIX}http_requests",
            "Requests that were answered.",
            ["route", "method", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            f"{PREFIX}http_request_duration_seconds",
            "From the head of a request to the end of its answer.",
            ["route"],
            buckets=SECONDS,
            registry=self.registry,
        )
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)


@dataclass(frozen=True)
class Measured:
    """Around the app, whose routes these are."""

    app: ASGIApp
    routes: list[BaseRoute]
    metrics: HttpMetrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        route = next((_path(one) for one in self.routes if one.matches(scope)[0] is not Match.NONE), UNKNOWN)
        method = scope.get("method", OTHER)
        status, begun = 500, time.perf_counter()

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, noting)
        finally:
            self.metrics.requests.labels(route, method if method in METHODS else OTHER, str(status)).inc()
            self.metrics.seconds.labels(route).observe(time.perf_counter() - begun)


class _Unread(Collector):
    """Where no server answers: that nothing could be read."""

    def collect(self) -> Iterator[Metric]:
        yield success(ledger=False, cycles=False)


async def page(registry: CollectorRegistry, client: Client | None) -> bytes:
    """The page, in Prometheus' text format. client: to read the ledger and the active cycles with; without one their
    `scrape_success` is 0.
    """
    read = CollectorRegistry()
    read.register(Readings(client, asyncio.get_running_loop()) if client else _Unread())
    ours, theirs = await asyncio.gather(*(asyncio.to_thread(generate_latest, each) for each in (registry, read)))
    return ours + theirs


def _path(route: BaseRoute) -> str:
    return str(getattr(route, "path", UNKNOWN))
