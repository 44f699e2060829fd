"""The trace of a start: a span of the command, which the cycle's own then belongs to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from client.exits import CommandError, ExitCode
from observability.tracing import tracing

PATIENCE = 2.0
"""Seconds that a command waits for a collector at the most."""


@asynccontextmanager
async def traced_start() -> AsyncIterator[None]:
    """A span for as long as the block runs, where OTEL_* variables ask for traces. Raises CommandError for odd ones."""
    try:
        traces = tracing(PATIENCE)
    except ValueError as error:
        raise CommandError(
            ExitCode.CONFIGURATION, "configuration", str(error), "or set OTEL_TRACES_EXPORTER=none"
        ) from error
    if traces is None:
        yield
        return
    try:
        with traces.starting():
            yield
    finally:
        await asyncio.to_thread(traces.close)
