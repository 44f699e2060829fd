"""Who may ask the HTTP face, and how much: asked before anything of a request is parsed or done.

Without a token it serves this machine alone, where the danger is a browser: any page may send requests to loopback, and
by DNS rebinding even read the answers. Such a page names itself in Origin, or its own host in Host.
"""

import asyncio
import hmac
import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from client.serve_bodies import BODY_LIMIT
from client.serve_errors import failed

BODY_PATIENCE = 10.0
"""Seconds in which a request's body has to come."""

MOST_AT_ONCE = 64
"""Requests that are worked on at the same time."""

OPEN_TO_ALL = "/healthz"


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there. A name other than localhost may lead anywhere."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


@dataclass
class Guard:
    """Around the app. host: where it listens. body_patience: seconds."""

    app: ASGIApp
    host: str
    token: SecretStr | None
    body_patience: float = BODY_PATIENCE
    _at_once: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            return
        refusal = self._refusal(scope)
        if refusal is None and self._at_once >= MOST_AT_ONCE:
            refusal = failed(503, "busy", f"{MOST_AT_ONCE} requests are being answered already", "ask again soon")
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        self._at_once += 1
        try:
            await self._admitted(scope, receive, send)
        finally:
            self._at_once -= 1

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if self.token is None:
            return self._foreign(headers)
        if scope["path"] == OPEN_TO_ALL or self._knows_the_token(headers.getlist("authorization")):
            return None
        return failed(
            401,
            "unauthorized",
            "the token is missing or wrong",
            "send the header `Authorization: Bearer TOKEN`; the token is what RESEARCH_SERVE_TOKEN says at the server",
            {"WWW-Authenticate": 'Bearer realm="research"'},
        )

    def _knows_the_token(self, given: list[str]) -> bool:
        scheme, _, sent = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        known = self.token.get_secret_value() if self.token else ""
        return hmac.compare_digest(sent.strip().encode(), known.encode()) and scheme.lower() == "bearer"

    def _foreign(self, headers: Headers) -> Response | None:
        host = headers.get("host", "")
        name = _host_of(f"//{host}")
        if name is None or not (is_loopback(name) or name == self.host.lower()):
            return failed(
                403,
                "foreign_host",
                "this face serves this machine alone, and the header Host names another",
                "ask for it as 127.0.0.1 or localhost",
            )
        origins = headers.getlist("origin")
        if any(origin.lower() != f"http://{host}".lower() for origin in origins):
            return failed(
                403,
                "foreign_origin",
                "the request comes from a page of another site",
                "ask from a program; a page in a browser cannot use this face",
            )
        return None

    async def _admitted(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the whole body first, which is small, so that nothing else waits for a slow sender."""
        try:
            async with asyncio.timeout(self.body_patience):
                body = await _read(Headers(scope=scope), receive)
        except TimeoutError:
            refusal = failed(
                408,
                "too_slow",
                f"the body has not come within {self.body_patience:g} s",
                "send it again, in one go",
                {"Connection": "close"},
            )
            await refusal(scope, receive, send)
            return
        if body is None:
            refusal = failed(
                413, "too_large", f"the body has more than {BODY_LIMIT:,} bytes", "send a smaller one, or a file's name"
            )
            await refusal(scope, receive, send)
            return
        first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replayed() -> Message:
            return first.pop() if first else await receive()

        await self.app(scope, replayed, send)


def _host_of(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


async def _read(headers: Headers, receive: Receive) -> bytes | None:
    """The body; None where it is too large, by what it says of itself or by what has come."""
    said = headers.get("content-length", "0")
    if not said.isdecimal() or int(said[:20]) > BODY_LIMIT:
        return None
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > BODY_LIMIT:
            return None
        if message["type"] != "http.request" or not message.get("more_body", False):
            return bytes(body)
