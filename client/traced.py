"""The trace of a start: a span of the command, which the cycle's own then belongs to."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

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
            ExitCode.CONFIGURATION, "configuration", str(error), "or go without traces: OTEL_TRACES_EXPORTER=none"
        ) from error
    if traces is None:
        yield
        return
    with _in_words():
        try:
            with traces.starting():
                yield
        finally:
            await asyncio.to_thread(traces.close)


@contextmanager
def _in_words() -> Iterator[None]:
    """What the exporter logs meanwhile, said on stderr of this command: of it nothing else depends."""
    told = logging.StreamHandler()
    told.setFormatter(logging.Formatter("this command may be missing in the cycle's trace: %(message)s"))
    logger = logging.getLogger("opentelemetry")
    logger.addHandler(told)
    try:
        yield
    finally:
        logger.removeHandler(told)
