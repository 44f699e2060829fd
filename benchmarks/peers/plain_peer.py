"""The plain way: four coroutines, and a budget in a JSON file that is written by replace at each step."""

import platform
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.peer import Peer
from benchmarks.peers.protocol import command
from benchmarks.peers.steps import STEPS, Answer, charge, work


@dataclass(frozen=True)
class Plain:
    """Runs, with one budget for all of them."""

    budget: Path

    async def run(self, run: str, held: str) -> Answer:
        """The last step's answer."""
        answer: Answer = {}
        for step in STEPS:
            if not held:
                charge(self.budget, run, step)
            answer = await work(step, run, held)
        return answer

    async def resumed(self) -> list[str]:
        """None: nobody has written down how far any run had come."""
        return []


@asynccontextmanager
async def opened(home: Path) -> AsyncIterator[Plain]:
    """There is nothing to open."""
    yield Plain(home / "budget.json")


def notes(home: Path) -> tuple[str, ...]:
    """What is kept, and how well."""
    return ("It keeps a budget and nothing of its runs; the file is replaced and never synced to the disk.",)


PEER = Peer(
    name="plain",
    version=platform.python_version(),
    opened=opened,
    bytes_used=lambda home: (home / "budget.json").stat().st_size,
    notes=notes,
    after_kill=lambda home: "Nothing knows of the runs; all of them are started again, from their first step.",
)

if __name__ == "__main__":
    raise SystemExit(command(PEER))
