"""The span of a call of a service, by OpenTelemetry's conventions for HTTP clients of 2026.

Of what a service says there is nothing in it but a number: the words of an answer, and of an error that quotes one, may
have the token in them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from opentelemetry.trace import Span, SpanKind, StatusCode, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

Headers = dict[str, str]

_W3C = TraceContextTextMapPropagator()


class CallSpans:
    """Writes them. traces: where to; None: nowhere, and the service is told of no trace."""

    def __init__(self, traces: TracerProvider | None) -> None:
        self._tracer = traces.get_tracer(__name__) if traces else None

    @contextmanager
    def call(self, method: str, url: str) -> Iterator["CallSpan"]:
        """A span for as long as the block runs. What it raises is told by its type alone."""
        if self._tracer is None:
            yield CallSpan()
            return
        with self._tracer.start_as_current_span(
            method,
            kind=SpanKind.CLIENT,
            attributes={"http.request.method": method, "url.full": url, **_server(url)},
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield CallSpan(span)
            except BaseException as error:
                span.set_attribute("error.type", type(error).__name__)
                span.set_status(StatusCode.ERROR)
                raise


class CallSpan:
    """One that runs."""

    def __init__(self, span: Span | None = None) -> None:
        self._span = span

    @property
    def headers(self) -> Headers:
        """What tells the service of the trace."""
        carrier: Headers = {}
        if self._span:
            _W3C.inject(carrier)
        return carrier

    def answered(self, status: int) -> None:
        """The answer has begun, with this status."""
        if self._span is None:
            return
        self._span.set_attribute("http.response.status_code", status)
        if status >= 400:
            self._span.set_attribute("error.type", str(status))
            self._span.set_status(StatusCode.ERROR)


def _server(url: str) -> dict[str, str | int]:
    """Where it is; nothing of an address that can't be called, which the call itself will tell."""
    try:
        parts = urlsplit(url)
        where = {"server.address": parts.hostname, "server.port": parts.port}
    except ValueError:
        return {}
    return {name: value for name, value in where.items() if value is not None}
