"""What a peer has to be for the protocol to measure it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from benchmarks.peers.figures import Name
from benchmarks.peers.steps import Answer


class Runner(Protocol):
    """A peer at work in this process."""

    async def run(self, run: str, held: str) -> Answer:
        """The last step's answer. run: its name, which no other has. held: see benchmarks.peers.steps."""

    async def resumed(self) -> list[str]:
        """Runs of an earlier process that this one went on with, unasked, as soon as they have ended."""


@dataclass(frozen=True)
class Served:
    """A server that the peer needs. pids: of its processes. environment: names it to those that are its clients."""

    pids: tuple[int, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


@asynccontextmanager
async def by_nobody(home: Path) -> AsyncIterator[Served]:
    """It needs no server."""
    yield Served()


async def at_once_written(home: Path, runs: int) -> None:
    """Whatever a run writes is written when it ends."""


@dataclass(frozen=True)
class Peer:
    """One way to run the steps. `home` is always the folder for what it keeps.

    served: its server, for as long as all is measured. written: returns once all is written that so many ended runs
    write. bytes_used: of what it keeps. after_kill: what a kill has left, in words.
    """

    name: Name
    version: str
    opened: Callable[[Path], AbstractAsyncContextManager[Runner]]
    bytes_used: Callable[[Path], int]
    notes: Callable[[Path], tuple[str, ...]]
    after_kill: Callable[[Path], str]
    served: Callable[[Path], AbstractAsyncContextManager[Served]] = by_nobody
    written: Callable[[Path, int], Awaitable[None]] = at_once_written
