"""`research serve`: the HTTP face on a socket, until it is told to stop."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import h11
import uvicorn
from pydantic import SecretStr
from uvicorn.protocols.http.h11_impl import H11Protocol

from client.exits import CommandError, ExitCode
from client.serve_app import LOOKING, House, face
from client.serve_guard import BODY_PATIENCE, Guard, is_loopback
from client.serve_metrics import HttpMetrics, Measured
from domain.results import Frozen
from settings import Settings
from settings_values import TO_MAKE_ONE

HEAD_PATIENCE = 10.0
"""Seconds in which the head of a request has to come, once its connection is open or its first byte is here."""

KEEP_ALIVE = 5
"""Seconds that a connection may be idle between two requests."""

LONGEST_HEAD = 16 * 1024
"""Bytes."""

MOST_CONNECTIONS = 512
STOPPING = 5
"""Seconds that answers have to be finished in, once the face is told to stop."""


class FaceAddress(Frozen):
    """Where the face is. token: whether it asks for one."""

    address: str
    token: bool


Ready = Callable[[FaceAddress], None]


class _Impatient(H11Protocol):
    """uvicorn's protocol, with an end to waiting for a request's head, for which it has none."""

    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._heard()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._heard()
        elif self._waiting is None:
            self._wait()

    def _wait(self) -> None:
        self._waiting = self.loop.call_later(HEAD_PATIENCE, self.timeout_keep_alive_handler)

    def _heard(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None


class _Server(uvicorn.Server):
    """uvicorn without its handlers of signals: who runs it decides when it ends."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def require_token(host: str, token: SecretStr | None) -> None:
    """Refuse to listen beyond this machine without a token."""
    if token is None and not is_loopback(host):
        raise CommandError(
            ExitCode.CONFIGURATION,
            "token_required",
            f"whoever reaches {host} could start and end cycles: beyond 127.0.0.1 a token is needed, and none is set",
            f"make one with `{TO_MAKE_ONE}`, then set RESEARCH_SERVE_TOKEN to it, or name its file with --token-file",
        )


@asynccontextmanager
async def serving(
    settings: Settings,
    host: str,
    port: int,
    token: SecretStr | None = None,
    *,
    body_patience: float = BODY_PATIENCE,
    looking: float = LOOKING,
) -> AsyncIterator[FaceAddress]:
    """The face, answering for as long as the block runs. port: 0 is any that is free.

    Raises CommandError where it may not listen there, or cannot.
    """
    require_token(host, token)
    listening = _listening(host, port)
    at = listening.getsockname()[1]
    metrics = HttpMetrics()
    app = face(House(settings, looking), metrics.registry, with_token=token is not None)
    guarded = Guard(app, host, token, body_patience)
    server = _Server(
        uvicorn.Config(
            Measured(guarded, app.routes, metrics),
            http=_Impatient,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=MOST_CONNECTIONS,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=STOPPING,
            h11_max_incomplete_event_size=LONGEST_HEAD,
        )
    )
    running = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield FaceAddress(address=f"http://{_in_url(host)}:{at}", token=token is not None)
    finally:
        server.should_exit = True
        await running


async def until_told(settings: Settings, host: str, port: int, token: SecretStr | None, ready: Ready) -> None:
    """Serve until Ctrl-C or SIGTERM; ready: told of the address once it answers."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with serving(settings, host, port, token) as address:
        ready(address)
        await stop.wait()


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        raise CommandError(
            ExitCode.CONFIGURATION,
            "cannot_listen",
            f"cannot listen on {_in_url(host)}:{port}: {error.strerror or error}",
            "name another with --host and --port; --port 0 takes any that is free",
        ) from error


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
