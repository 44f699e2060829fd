"""A model provider on a real socket, whose log of bills is what the ledger's books are measured against.

It bills every request that reached it and was worked on, also where nobody hears the answer any more; what it refuses
costs nothing. What it answers, when, and what goes wrong is a script that the test holds, in the test's own loop.
"""

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from types import MappingProxyType

from pydantic import AwareDatetime

from domain.cycle import CallUsage
from domain.results import Frozen

MODEL = "claude-sonnet-5-5"
"""A model with a price."""

TURNS = MappingProxyType({"design": 7, "assess": 3})
"""In which turn of each conversation the result comes, where nobody asks for it sooner."""


class Call(Frozen):
    """A request, as its sender tells it.

    ticket: of the workflow's attempt; the sender may try it more than once. sender: the id of its process.
    """

    cycle_id: str
    run_id: str
    phase: str
    turn: int
    ticket: int
    ceiling_tokens: int
    closing: bool
    sender: int


class Reply(Frozen):
    """What the sender hears. final: this turn brings the conversation's result."""

    usage: CallUsage
    final: bool


class Deed(StrEnum):
    """What becomes of a request."""

    ANSWER = "answer"
    DROP = "drop"  # worked on and billed, and the connection breaks before a word of the answer
    CUT = "cut"  # the same in the middle of the answer
    FAIL = "fail"  # a complete error, which says that nothing was billed
    RATE_LIMIT = "rate_limit"


STATUS = {Deed.ANSWER: "200 OK", Deed.FAIL: "529 Overloaded", Deed.RATE_LIMIT: "429 Too Many Requests"}


class Bill(Frozen):
    """One request that was worked on. nth: of those for the same turn of the same run, from 1. at: when it was done."""

    call: Call
    nth: int
    usage: CallUsage
    at: AwareDatetime


def usual_usage(call: Call, nth: int) -> CallUsage:
    """From 2,000 to 6,000 tokens, other ones for every turn of every cycle, and never more than the ceiling."""
    digest = hashlib.sha256(f"{call.cycle_id} {call.phase} {call.turn} {nth}".encode()).digest()
    sizes = [500 + int.from_bytes(digest[2 * n : 2 * n + 2]) % 1001 for n in range(4)]
    if sum(sizes) > call.ceiling_tokens:
        return CallUsage(model=MODEL, input=call.ceiling_tokens)
    return CallUsage(model=MODEL, input=sizes[0], cache_write=sizes[1], cache_read=sizes[2], output=sizes[3])


async def always_answered(call: Call, nth: int) -> Deed:
    """Nothing goes wrong."""
    return Deed.ANSWER


@dataclass
class Provider:
    """The provider and its books.

    deed: decides over each request; what it waits for, the request waits for. clock: the provider's own.
    """

    url: str = ""
    turns: Mapping[str, int] = field(default_factory=lambda: TURNS)
    deed: Callable[[Call, int], Awaitable[Deed]] = always_answered
    usage: Callable[[Call, int], CallUsage] = usual_usage
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    calls: list[Call] = field(default_factory=list)
    bills: list[Bill] = field(default_factory=list)
    under_way: list[Call] = field(default_factory=list)

    def billed(self, cycle_id: str | None = None) -> int:
        """Tokens billed so far, in all or to one cycle."""
        return sum(bill.usage.total for bill in self.bills if cycle_id in (None, bill.call.cycle_id))

    def billed_by_day(self) -> Counter[date]:
        """Tokens billed so far on each UTC day."""
        days: Counter[date] = Counter()
        for bill in self.bills:
            days[bill.at.astimezone(UTC).date()] += bill.usage.total
        return days

    def turns_billed(self, cycle_id: str) -> list[tuple[str, int, int]]:
        """(phase, turn, nth) of a cycle's bills, in order."""
        return [(one.call.phase, one.call.turn, one.nth) for one in self.bills if one.call.cycle_id == cycle_id]

    def is_idle(self) -> bool:
        """Whether nothing is under way, and so nothing can be billed any more that was asked for."""
        return not self.under_way

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits for what has to become true."""
        async with asyncio.timeout(60):
            while not condition():
                await asyncio.sleep(0.02)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request. A sender that hangs up doesn't end the work on it."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = next(
                line.split(":")[1] for line in head.lower().split("\r\n") if line.startswith("content-length")
            )
            call = Call.model_validate_json(await reader.readexactly(int(length)))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()  # never a whole request
            return
        self.under_way.append(call)
        try:
            deed, body = await self._work_on(call)
        finally:
            self.under_way.remove(call)
        if deed in STATUS:
            writer.write(_response(STATUS[deed], body))
        elif deed is Deed.CUT:
            writer.write(_response(STATUS[Deed.ANSWER], body)[:-10])
        writer.close()

    async def _work_on(self, call: Call) -> tuple[Deed, str]:
        self.calls.append(call)
        nth = Counter(map(_same_turn, self.calls))[_same_turn(call)]
        deed = await self.deed(call, nth)
        if deed in (Deed.FAIL, Deed.RATE_LIMIT):
            return deed, json.dumps({"error": deed.value})
        usage = self.usage(call, nth)
        self.bills.append(Bill(call=call, nth=nth, usage=usage, at=self.clock()))
        final = call.closing or call.turn >= self.turns[call.phase]
        return deed, Reply(usage=usage, final=final).model_dump_json()


def _same_turn(call: Call) -> tuple[str, str, int]:
    return call.run_id, call.phase, call.turn


def _response(status: str, body: str) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()


@asynccontextmanager
async def provider() -> AsyncIterator[Provider]:
    """A provider at work, on a free port."""
    books = Provider()
    server = await asyncio.start_server(books.serve, "127.0.0.1")
    async with server:
        host, port = server.sockets[0].getsockname()
        books.url = f"http://{host}:{port}"
        yield books
