"""The Messages API on a real socket: streams, counts, refuses and breaks, by a script, and keeps its bills.

It bills every request that it works on, also where nobody hears the answer; what it refuses costs nothing. As the real
one it refuses a conversation in which anything before a thinking block has changed since it was thought, forced tools,
empty texts, and tool calls without results.
"""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from domain.cycle import CallUsage

KEY = "sk-test-0123456789"
MODEL = "claude-sonnet-5-5"

Json = dict[str, Any]


class Fault(StrEnum):
    """What goes wrong with an answer that is worked on, and billed. A cut comes after the prompt's usage was told."""

    NONE = "none"
    DROP = "drop"  # no word of an answer
    CUT = "cut"  # the connection breaks in the middle
    SHORT = "short"  # the stream ends in good order, but before its end
    HALF = "half"  # the last event is half a JSON
    ERROR = "error"  # an `error` event in the stream
    HANG = "hang"  # nothing more comes, in the middle
    NO_USAGE = "no_usage"  # the answer does not tell what it cost
    HALF_USAGE = "half_usage"  # only its beginning does
    HTML = "html"  # something else than a stream


@dataclass(frozen=True)
class Asked:
    """A request. nth: of all that asked for a message, from 1. turn: of its conversation, from 1."""

    body: Json
    nth: int
    headers: dict[str, str]

    @property
    def phase(self) -> str:
        """By the tools that it offers."""
        return "assess" if any("assess" in tool["name"] for tool in self.body["tools"]) else "design"

    @property
    def turn(self) -> int:
        """How many answers the conversation has, and one."""
        return 1 + sum(message["role"] == "assistant" for message in self.body["messages"])

    @property
    def tokens(self) -> int:
        """What the prompt counts: a token is four bytes here."""
        said = {name: self.body[name] for name in ("system", "tools", "messages")}
        return len(json.dumps(said, ensure_ascii=False).encode()) // 4


@dataclass(frozen=True)
class Says:
    """An answer. usage: by the API's names; the rest is worked out. before: is waited for before a word goes out;
    after: is done when all of it went out, and before its sender can have taken it all up."""

    blocks: tuple[Json, ...] = ({"type": "text", "text": "Let me think about it."},)
    stop_reason: str = ""
    usage: Json = field(default_factory=dict)
    model: str = MODEL
    fault: Fault = Fault.NONE
    before: Callable[[], Awaitable[object]] | None = None
    after: Callable[[], object] | None = None


@dataclass(frozen=True)
class Refuses:
    """An answer that costs nothing. body: another one than the API's own."""

    status: int
    kind: str = "api_error"
    message: str = "it does not work"
    code: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    body: str | None = None


@dataclass(frozen=True)
class Bill:
    """A request that was worked on. lost: nobody was there any more to hear its answer, or it never went out whole."""

    asked: Asked
    usage: CallUsage
    lost: bool = False


def tool(name: str, /, **arguments: object) -> Json:
    """A tool call, as a block of an answer."""
    return {"type": "tool_use", "id": f"toolu_{name}", "name": name, "input": arguments}


def thinks(text: str = "") -> Json:
    """A thinking block; its signature is the fake's."""
    return {"type": "thinking", "thinking": text, "signature": ""}


async def silent(asked: Asked) -> Says | Refuses:
    """No tools, ever."""
    return Says()


@dataclass
class FakeApi:
    """The API and its books. script: decides over each request for a message; count: over each for a count.
    words: those of an `error` event."""

    url: str = ""
    script: Callable[[Asked], Awaitable[Says | Refuses]] = silent
    words: str = f"too busy for {KEY}"
    count: Callable[[Asked], object] = lambda asked: asked.tokens
    asked: list[Asked] = field(default_factory=list)
    counted: int = 0
    bills: list[Bill] = field(default_factory=list)
    under_way: int = 0
    released: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def billed(self) -> int:
        """Tokens, in all."""
        return sum(bill.usage.total for bill in self.bills)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits for what has to become true."""
        async with asyncio.timeout(60):
            while not condition():
                await asyncio.sleep(0.02)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request."""
        self.under_way += 1
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in head[1:] if ": " in line)
            body = json.loads(await reader.readexactly(int(headers["content-length"])))
            await self._answer(head[0].split()[1], body, headers, writer)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the one who asked is gone
        finally:
            self.under_way -= 1
            writer.close()

    async def _answer(self, path: str, body: Json, headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        asked = Asked(body, len(self.asked) + 1, headers)
        refused = _refused(asked)
        if path == "/v1/messages/count_tokens":
            self.counted += 1
            counted = refused or self.count(asked)
            if isinstance(counted, Refuses):
                writer.write(_error(counted))
            else:
                writer.write(_whole(200, json.dumps({"input_tokens": counted})))
            return
        assert path == "/v1/messages"
        self.asked.append(asked)
        says = refused or await self.script(asked)
        if isinstance(says, Refuses):
            writer.write(_error(says))
            return
        if says.before:
            await says.before()
        usage = _usage(asked, says)
        lost = says.fault is not Fault.NONE or writer.transport.is_closing()
        self.bills.append(Bill(asked, _as_billed(says.model, usage), lost))
        await self._stream(asked, says, usage, writer)

    async def _stream(self, asked: Asked, says: Says, usage: Json, writer: asyncio.StreamWriter) -> None:
        if says.fault is Fault.DROP:
            return
        if says.fault is Fault.HTML:
            writer.write(_whole(200, "<html>welcome to the hotel</html>", "text/html"))
            return
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n")
        writer.write(b"request-id: req_fake\r\nconnection: close\r\n\r\n")
        events = list(_events(asked, says, usage))
        middle = len(events) // 2
        for number, event in enumerate(events):
            text = f"event: {event['type']}\ndata: {json.dumps(event)}\n\n"
            if number == middle and says.fault is Fault.ERROR:
                told = {"type": "error", "error": {"type": "overloaded_error", "message": self.words}}
                text = f"event: error\ndata: {json.dumps(told)}\n\n"
            if number == middle and says.fault is Fault.HALF:
                text = text[: len(text) // 2] + "\n\n"
            if number == middle and says.fault is Fault.HANG:
                await writer.drain()
                await self.released.wait()
            if number == middle and says.fault is Fault.SHORT:
                break
            if number == middle and says.fault is Fault.CUT:
                return
            data = text.encode()
            writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        if says.after:
            says.after()


def _events(asked: Asked, says: Says, usage: Json) -> list[Json]:
    started = {**usage, "output_tokens": 1}
    message = {"id": f"msg_{asked.nth}", "type": "message", "role": "assistant", "model": says.model, "content": []}
    tells = says.fault is not Fault.NO_USAGE
    events: list[Json] = [
        {"type": "message_start", "message": {**message, "stop_reason": None, **({"usage": started} if tells else {})}},
        {"type": "ping"},
    ]
    for index, block in enumerate(says.blocks):
        events += _block_events(index, _signed(block, asked))
    reason = says.stop_reason or (
        "tool_use" if any(block["type"] == "tool_use" for block in says.blocks) else "end_turn"
    )
    ended: Json = {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}}
    tells = tells and says.fault is not Fault.HALF_USAGE
    events.append({**ended, "usage": {"output_tokens": usage["output_tokens"]}} if tells else ended)
    events.append({"type": "message_stop"})
    return events


def _block_events(index: int, block: Json) -> list[Json]:
    begin: Json = dict(block)
    deltas: list[Json] = []
    if block["type"] == "text":
        begin["text"] = ""
        deltas = [{"type": "text_delta", "text": piece} for piece in _pieces(block["text"])]
    elif block["type"] == "thinking":
        begin |= {"thinking": "", "signature": ""}
        deltas = [{"type": "thinking_delta", "thinking": piece} for piece in _pieces(block["thinking"])]
        deltas.append({"type": "signature_delta", "signature": block["signature"]})
    elif block["type"] == "tool_use":
        begin["input"] = {}
        text = block["input"] if isinstance(block["input"], str) else json.dumps(block["input"])
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in _pieces(text)]
    middle = [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
    first = {"type": "content_block_start", "index": index, "content_block": begin}
    return [first, *middle, {"type": "content_block_stop", "index": index}]


def _pieces(text: str) -> list[str]:
    step = max(7, len(text) // 20)
    return [text[at : at + step] for at in range(0, len(text), step)]


def _signed(block: Json, asked: Asked) -> Json:
    if block["type"] != "thinking":
        return block
    return {**block, "signature": _signature(asked.body, len(asked.body["messages"]))}


def _signature(body: Json, messages: int) -> str:
    before = [body["system"], body["tools"], body["messages"][:messages]]
    return hashlib.sha256(json.dumps(before, sort_keys=True).encode()).hexdigest()


def _refused(asked: Asked) -> Refuses | None:
    """As the API checks a request before it works on it."""
    body = asked.body
    if asked.headers.get("authorization") != f"bearer {KEY}" and asked.headers.get("x-api-key") != KEY:
        return Refuses(401, "authentication_error", "invalid x-api-key")
    if body.get("tool_choice", {"type": "auto"})["type"] != "auto":
        return Refuses(400, "invalid_request_error", "tool_choice: forced tools are not supported for this model")
    waiting: set[str] = set()
    for number, message in enumerate(body["messages"]):
        blocks = message["content"]
        results = {block["tool_use_id"] for block in blocks if block["type"] == "tool_result"}
        if waiting - results:
            return Refuses(400, "invalid_request_error", f"messages.{number}: a tool_use without its tool_result")
        waiting = {block["id"] for block in blocks if block["type"] == "tool_use"}
        if any(block.get("text") == "" for block in blocks):
            return Refuses(400, "invalid_request_error", f"messages.{number}: text must not be empty")
        for block in blocks:
            if block["type"] == "thinking" and block["signature"] != _signature(body, number):
                return Refuses(400, "invalid_request_error", f"messages.{number}: Invalid `signature` in `thinking`")
    return None


def _usage(asked: Asked, says: Says) -> Json:
    said = sum(len(json.dumps(block)) for block in says.blocks) // 4 + 1
    usual = {"input_tokens": asked.tokens, "output_tokens": min(said, asked.body.get("max_tokens", said))}
    return {**usual, **says.usage}


def _as_billed(model: str, usage: Json) -> CallUsage:
    return CallUsage(
        model=model,
        input=usage["input_tokens"],
        cache_write=usage.get("cache_creation_input_tokens", 0),
        cache_write_1h=usage.get("cache_creation", {}).get("ephemeral_1h_input_tokens", 0),
        cache_read=usage.get("cache_read_input_tokens", 0),
        output=usage["output_tokens"],
        off_list=usage.get("inference_geo", "global") != "global",
    )


def _error(refuses: Refuses) -> bytes:
    error: Json = {"type": refuses.kind, "message": refuses.message}
    if refuses.code:
        error["details"] = {"error_code": refuses.code}
    body = json.dumps({"type": "error", "error": error, "request_id": "req_fake"})
    kind = "application/json" if refuses.body is None else "text/html"
    return _whole(refuses.status, body if refuses.body is None else refuses.body, kind, refuses.headers)


def _whole(status: int, body: str, kind: str = "application/json", headers: tuple[tuple[str, str], ...] = ()) -> bytes:
    more = "".join(f"{name}: {value}\r\n" for name, value in (*headers, ("request-id", "req_fake")))
    head = f"HTTP/1.1 {status} Said\r\ncontent-type: {kind}\r\ncontent-length: {len(body.encode())}\r\n"
    return f"{head}{more}connection: close\r\n\r\n{body}".encode()


@asynccontextmanager
async def fake_api() -> AsyncIterator[FakeApi]:
    """The API at work, on a free port."""
    api = FakeApi()
    server = await asyncio.start_server(api.serve, "127.0.0.1")
    async with server:
        host, port = server.sockets[0].getsockname()
        api.url = f"http://{host}:{port}"
        yield api
        api.released.set()
