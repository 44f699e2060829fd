"""A ktrdr backend on a real socket: it speaks the contract, goes wrong as told, and counts starts and deletes."""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from typing import Any

CAPITAL = 100_000.0


class Fault(StrEnum):
    """What becomes of one request."""

    BAD_REQUEST = "400"
    UNAUTHORIZED = "401"
    UNPROCESSABLE = "422"
    ERROR = "500"
    BUSY = "503"
    REDIRECT = "307"
    DROP = "drop"  # worked on, and the connection breaks before a word
    HALF = "half"  # worked on, and the connection breaks in the middle of the answer
    TORN = "torn"  # worked on, and the body ends in the middle of its JSON, as if that were all
    HANG = "hang"  # worked on, and never answered
    GATE = "gate"  # worked on, and answered once the test opens the gate
    HUGE = "huge"  # worked on, and answered with far more than anybody asked for
    NO_START = "no start"  # dropped before it was worked on


STATUS_FAULTS = {
    Fault.BAD_REQUEST,
    Fault.UNAUTHORIZED,
    Fault.UNPROCESSABLE,
    Fault.ERROR,
    Fault.BUSY,
    Fault.REDIRECT,
}


def training_summary() -> dict[str, Any]:
    """What a training that went well tells."""
    return {
        "training_metrics": {
            "final_train_loss": 0.81,
            "final_val_loss": 0.9,
            "final_train_accuracy": 0.62,
            "final_val_accuracy": 0.58,
            "epochs_completed": 3,
            "early_stopped": False,
            "training_time_minutes": 0.2,
        },
        "test_metrics": {"test_loss": 0.95, "test_accuracy": 0.55},
        "model_path": "models/small/1h_v3",
    }


def epochs() -> list[dict[str, Any]]:
    """Its losses by epoch."""
    losses = ((1.1, 1.05), (0.95, 0.88), (0.81, 0.9))
    return [
        {"epoch": number, "train_loss": train, "val_loss": validation}
        for number, (train, validation) in enumerate(losses)
    ]


def backtest_metrics() -> dict[str, Any]:
    """What a backtest that went well tells, in the account's currency and in fractions."""
    return {
        "total_return": 4_200.0,
        "total_return_pct": 0.042,
        "annualized_return": 0.061,
        "sharpe_ratio": 0.71,
        "sortino_ratio": 0.9,
        "max_drawdown": 6_300.0,
        "max_drawdown_pct": 0.0612,
        "win_rate": 0.55,
        "winning_trades": 22,
        "profit_factor": 1.3,
        "total_trades": 40,
    }


@dataclass
class Op:
    """An operation at the service."""

    id: str
    kind: str
    body: dict[str, Any]
    status: str = "running"
    percentage: float = 0.0
    step: str = "epoch 1 of 3"
    error: str | None = None
    polls: int = 0


@dataclass
class FakeKtrdr:
    """The service. Its attributes are the test's to change; `faults` are used up in order, each by one request.

    polls: after so many polls an operation has ended well; None: only once `release` says so.
    holds: a kind of work that does not end, until `release`. gone_after: a kind whose end is the last that is told.
    raw: replaces the whole answer to a poll of a completed operation. shows: fields that every poll tells instead.
    """

    faults: dict[str, list[Fault]] = field(default_factory=lambda: {"start": [], "poll": [], "delete": []})
    polls: int | None = 2
    holds: str | None = None
    gone_after: str | None = None
    token: str | None = None
    gives_ids: bool = False
    gives: str | None = None
    fails_at_once: bool = False
    summary: dict[str, Any] = field(default_factory=training_summary)
    epochs: list[dict[str, Any]] | None = field(default_factory=epochs)
    metrics: dict[str, Any] = field(default_factory=backtest_metrics)
    raw: bytes | None = None
    shows: dict[str, Any] = field(default_factory=dict)
    ops: dict[str, Op] = field(default_factory=dict)
    starts: Counter[str] = field(default_factory=Counter)
    deletes: Counter[str] = field(default_factory=Counter)
    reasons: list[str] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    requests: Counter[str] = field(default_factory=Counter)
    polled_at: list[float] = field(default_factory=list)
    port: int = 0
    _server: asyncio.Server | None = None
    _connections: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def started(self) -> int:
        """How many starts were worked on, of whatever kind."""
        return self.starts.total()

    async def listen(self) -> None:
        """Be there, at the same port as before."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Be gone: whoever connects is refused. What runs goes on running."""
        if self._server is not None:
            self._server.close()
            for connection in self._connections:
                connection.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)
            self._server = None

    def release(self) -> None:
        """Let everything end well from the next poll on."""
        self.polls = 0
        self.holds = None

    def lose(self) -> None:
        """Forget all operations."""
        self.ops.clear()

    def of(self, kind: str) -> list[Op]:
        return [op for op in self.ops.values() if op.kind == kind]

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while await self._request(reader, writer):
                    pass
        finally:
            self._connections.discard(task)
            writer.close()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; false to end the connection."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, path, _ = head.split("\r\n", 1)[0].split(" ")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head.split("\r\n")[1:])}
        body = json.loads(await reader.readexactly(int(headers.get("content-length", 0))) or b"{}")
        what = {"POST": "start", "GET": "poll", "DELETE": "delete"}[method]
        self.requests[what] += 1
        if what == "poll":
            self.polled_at.append(asyncio.get_running_loop().time())
        if self.token is not None and headers.get("authorization") != f"Bearer {self.token}":
            return self._send(
                writer, HTTPStatus.UNAUTHORIZED, {"detail": f"no or wrong token: {headers.get('authorization')}"}
            )
        fault = self.faults[what].pop(0) if self.faults[what] else None
        if fault in STATUS_FAULTS:
            return self._send(writer, int(fault), {"detail": f"fault {fault.value}"})
        if fault is Fault.NO_START:
            return False
        status, answer = self._serve(what, path.removeprefix("/api/v1/"), body)
        going_on = await self._deliver(writer, status, answer, fault)
        if self.gone_after and any(op.status == "completed" for op in self.of(self.gone_after)):
            await writer.drain()
            assert self._server is not None
            self._server.close()
            return False
        return going_on

    def _serve(self, what: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if what == "start":
            return self._begin(path, body)
        op = self.ops.get(path.removeprefix("operations/"))
        if what == "delete":
            self.deletes[path.removeprefix("operations/")] += 1
            self.reasons.append(body["reason"])
        if op is None:
            return HTTPStatus.NOT_FOUND, {"detail": f"Operation not found: {path}"}
        return self._end(op) if what == "delete" else self._tell(op)

    def _begin(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        kind = path.removesuffix("s/start")
        key = "task_id" if kind == "training" else "operation_id"
        op_id = body.get("task_id") if not self.gives_ids else None
        op_id = op_id or f"op_{kind}_{self.started + 1}"
        op_id = op_id if self.gives is None else self.gives
        self.starts[op_id] += 1
        self.ops[op_id] = Op(op_id, kind, body, status="failed" if self.fails_at_once else "running")
        return HTTPStatus.OK, {"success": True, key: op_id, "status": f"{kind}_started", "message": "started"}

    def _end(self, op: Op) -> tuple[int, Any]:
        if op.status in ("completed", "failed", "cancelled"):
            return HTTPStatus.BAD_REQUEST, {"detail": f"Operation {op.id} cannot be cancelled (status: {op.status})"}
        op.status = "cancelled"
        return HTTPStatus.OK, {"success": True, "data": {"operation_id": op.id, "status": "cancelled"}}

    def _tell(self, op: Op) -> tuple[int, Any]:
        op.polls += 1
        ends = self.polls is not None and op.polls > self.polls and op.kind != self.holds
        if op.status == "running" and ends:
            op.status, op.percentage = "completed", 100.0
        if self.raw is not None and op.status == "completed":
            return HTTPStatus.OK, self.raw
        return HTTPStatus.OK, {"success": True, "data": self._data(op)}

    def _data(self, op: Op) -> dict[str, Any]:
        done = op.status == "completed"
        summary = deepcopy(self.summary) if op.kind == "training" else {"metrics": deepcopy(self.metrics)}
        metrics = {"epochs": deepcopy(self.epochs)} if op.kind == "training" and self.epochs is not None else None
        return {
            "operation_id": op.id,
            "operation_type": "training" if op.kind == "training" else "backtesting",
            "status": op.status,
            "created_at": "2026-01-01T00:00:00Z",
            "started_at": "2026-01-01T00:00:01Z",
            "completed_at": "2026-01-01T00:01:00Z" if done else None,
            "progress": {"percentage": op.percentage, "current_step": op.step, "context": {}},
            "error_message": op.error,
            "result_summary": summary if done else None,
            "metrics": metrics,
        } | self.shows

    async def _deliver(self, writer: asyncio.StreamWriter, status: int, answer: Any, fault: Fault | None) -> bool:
        match fault:
            case Fault.DROP:
                return False
            case Fault.HANG:
                await asyncio.Event().wait()
            case Fault.GATE:
                await self.gate.wait()
            case Fault.HALF:
                whole = json.dumps(answer).encode()
                writer.write(_head(status, len(whole)) + whole[: len(whole) // 2])
                await writer.drain()
                return False
            case Fault.TORN:
                whole = json.dumps(answer).encode()
                return self._send(writer, status, whole[: len(whole) // 2])
            case Fault.HUGE:
                return self._send(writer, status, answer | {"padding": "x" * 1_100_000})
        return self._send(writer, status, answer)

    def _send(self, writer: asyncio.StreamWriter, status: int, answer: Any) -> bool:
        whole = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        writer.write(_head(status, len(whole)) + whole)
        return True


def _head(status: int, length: int) -> bytes:
    moved = "Location: http://127.0.0.1:1/elsewhere\r\n" if status == HTTPStatus.TEMPORARY_REDIRECT else ""
    return (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: application/json\r\n"
        f"{moved}Content-Length: {length}\r\n\r\n"
    ).encode()


@asynccontextmanager
async def fake_ktrdr(**changes: Any) -> AsyncIterator[FakeKtrdr]:
    """A service that listens for as long as the block runs."""
    fake = FakeKtrdr(**changes)
    await fake.listen()
    try:
        yield fake
    finally:
        await fake.stop()
