"""A server that answers whatever it is told to, byte by byte, to whoever calls, and never waits."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

ASKED = b"ASKED-FOR"
"""Stands in an answer for the last part of the path that was called."""


@dataclass
class Stranger:
    """What is said to the next calls by method, in order; the last of each is said again and again."""

    port: int = 0
    answers: dict[str, list[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def called(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One call on one connection, which ends with the answer."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            method, path, *_ = (await reader.readuntil(b"\r\n\r\n")).split()
            queue = self.answers[method.decode()]
            answer = queue.pop(0) if len(queue) > 1 else queue[0]
            writer.write(answer.replace(ASKED, path.rpartition(b"/")[2]))
            await writer.drain()
        writer.close()


@asynccontextmanager
async def stranger() -> AsyncIterator[Stranger]:
    """One that listens for as long as the block runs."""
    told = Stranger()
    server = await asyncio.start_server(told.called, "127.0.0.1", 0)
    told.port = server.sockets[0].getsockname()[1]
    async with server:
        yield told


def http(content: bytes, status: int = 200, headers: bytes = b"") -> bytes:
    """A whole answer, which ends with its connection."""
    return b"HTTP/1.1 %d Said\r\n%bConnection: close\r\n\r\n%b" % (status, headers, content)
