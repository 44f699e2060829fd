"""The ktrdr contract over HTTP: its four calls, and what can come back from each."""

import asyncio
import contextlib
import json
import re
import ssl
from collections.abc import Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Final, Self

import httpx
from opentelemetry.trace import TracerProvider
from pydantic import SecretStr

from engine.service.answers import (
    Away,
    BacktestStarted,
    Broken,
    Operation,
    OperationAnswer,
    TrainingStarted,
    Unreached,
    plain,
    read,
)
from engine.service.spans import CallSpan, CallSpans

PATIENCE: Final = 30.0
"""Seconds that one request may take, from its first byte to the answer's last."""

MAX_ANSWER: Final = 1_000_000
"""Bytes of an answer that are read. A longer one is refused."""

WHOLE_SECRET: Final = 8
"""Characters from which on a token is taken out of whatever it stands in. A shorter one is so only where it stands
alone: it may be a piece of a word that we need."""

_TRIES: Final = 3
_PAUSE: Final = 0.5
_DELETE_PATIENCE: Final = 10.0

Body = Mapping[str, object]


class Slow(Exception):
    """No answer in time. It may still come to pass."""


class Busy(Exception):
    """503 to a start: no worker of the service is free."""


class Declined(Exception):
    """A whole answer that says no, and would say it again. The message has the service's words."""


class Service:
    """One client for a worker's life; leaving the block closes its connections. The token is in no error and no log."""

    def __init__(
        self,
        url: str,
        token: SecretStr | None = None,
        *,
        patience: float = PATIENCE,
        traces: TracerProvider | None = None,
    ) -> None:
        """traces: where a span of each call is written; None: nowhere. Raises ValueError for a token that no header can
        carry.
        """
        secret = token.get_secret_value() if token else ""
        if not all("!" <= character <= "~" for character in secret):
            raise ValueError("KTRDR_API_TOKEN has characters that a header cannot carry: it is ASCII without spaces")
        self._secret = _spellings(secret) if secret else None
        self.url = url.rstrip("/")
        self._patience = patience
        self._http = httpx.AsyncClient(
            headers={"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {secret}"} if secret else {}),
            timeout=patience,
            follow_redirects=False,
            trust_env=False,  # no proxy, no credentials that the settings do not name
            verify=ssl.create_default_context(),
        )
        self._spans = CallSpans(traces)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def start_training(self, body: Body) -> str:
        """Start a training; its operation's id. Raises Away, Slow (it may have begun all the same), Busy, Declined,
        Broken."""
        return read(TrainingStarted, await self._start("trainings", body)).task_id

    async def start_backtest(self, body: Body) -> str:
        """Start a backtest; its operation's id. Raises as start_training."""
        return read(BacktestStarted, await self._start("backtests", body)).operation_id

    async def operation(self, operation_id: str) -> tuple[Operation, bytes] | None:
        """How an operation stands, and the whole answer; None where the service knows none of that id.

        Raises Away, Slow, Declined, Broken.
        """
        status, content = await self._ask("GET", f"operations/{operation_id}", self._patience)
        if status == HTTPStatus.NOT_FOUND:
            return None
        answer = read(OperationAnswer, self._checked(status, content))
        if answer.data.operation_id != operation_id:
            raise Broken(
                f"data.operation_id is {plain(answer.data.operation_id, 80)!r}, and {operation_id} was asked for"
            )
        return answer.data, content

    async def delete(self, operation_id: str, reason: str, *, unclear: bool = False) -> str | None:
        """End an operation, in three tries; None once it has ended or is unknown, else what came back last.

        unclear: whether its start was not answered. Where it is unknown it may then still come to be, and is not ended.
        """
        last = None
        for number in range(_TRIES):
            if number:
                await asyncio.sleep(_PAUSE)
            try:
                body = {"reason": reason, "force": False}
                status, content = await self._ask("DELETE", f"operations/{operation_id}", _DELETE_PATIENCE, body)
            except (Away, Slow, Broken) as error:
                last = str(error)
                continue
            last = f"HTTP {status}: {self._detail(content)}"
            if status == HTTPStatus.NOT_FOUND and unclear:
                last += ". Its start was not answered, so that it may begin yet"
            elif status in (HTTPStatus.OK, HTTPStatus.NOT_FOUND, HTTPStatus.BAD_REQUEST):
                return None
        return last

    async def _start(self, what: str, body: Body) -> bytes:
        status, content = await self._ask("POST", f"{what}/start", self._patience, body)
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            raise Busy(self._detail(content))
        return self._checked(status, content)

    async def _ask(self, method: str, path: str, patience: float, body: Body | None = None) -> tuple[int, bytes]:
        """The status and the whole body, whatever they are, without the token. Raises Away, Slow, Broken (too long)."""
        url = f"{self.url}/api/v1/{path}"
        with self._spans.call(method, url) as span:
            status, content = await self._asked(method, url, patience, body, span)
        return status, self._masked(content)

    async def _asked(
        self, method: str, url: str, patience: float, body: Body | None, span: CallSpan
    ) -> tuple[int, bytes]:
        content = bytearray()
        try:
            async with (
                asyncio.timeout(patience),
                self._http.stream(method, url, json=body, headers=span.headers) as response,
            ):
                span.answered(response.status_code)
                async for piece in response.aiter_raw():
                    content += piece
                    if len(content) > MAX_ANSWER:
                        if response.is_success:
                            raise Broken(f"the answer is longer than {MAX_ANSWER:,} bytes")
                        break
                return response.status_code, bytes(content)
        except (httpx.ConnectTimeout, httpx.PoolTimeout):
            raise Unreached("no connection in time") from None
        except (TimeoutError, httpx.TimeoutException):
            raise Slow(f"no answer within {patience:g} s") from None
        except (httpx.ConnectError, httpx.UnsupportedProtocol) as error:
            raise Unreached(self._named(error)) from None
        except (httpx.InvalidURL, ValueError) as error:  # such as a host that is no name, which httpx finds only here
            raise Unreached(f"{self._named(error)}. It cannot be called under KTRDR_API_URL: correct that") from None
        except httpx.HTTPError as error:
            raise Away(self._named(error)) from None

    def _checked(self, status: int, content: bytes) -> bytes:
        """The body of a success. Raises Away for what may pass, Declined for what will not."""
        if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            return content
        said = f"HTTP {status}: {self._detail(content)}"
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise Declined(f"{said}. Set KTRDR_API_TOKEN to a token that it accepts, and restart the worker")
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in (
            HTTPStatus.REQUEST_TIMEOUT,
            HTTPStatus.TOO_MANY_REQUESTS,
        ):
            raise Away(said)
        if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
            raise Declined(f"{said}. It redirects, which is not followed: set KTRDR_API_URL to where it leads")
        raise Declined(said)

    def _detail(self, content: bytes) -> str:
        """What an error's body says, in the field `detail` where it has one."""
        text = content.decode(errors="replace")
        with contextlib.suppress(ValueError, RecursionError):
            whole = json.loads(text)
            detail = whole.get("detail", whole) if isinstance(whole, dict) else whole
            text = detail if isinstance(detail, str) else json.dumps(detail, ensure_ascii=False)
        return plain(text) or "without a word"

    def _named(self, error: Exception) -> str:
        """The error in its words, in which there may be some of the service's."""
        return plain(self._masked(str(error).encode(errors="replace")).decode()) or type(error).__name__

    def _masked(self, content: bytes) -> bytes:
        return self._secret.sub(b"***", content) if self._secret else content


def _spellings(token: str) -> re.Pattern[bytes]:
    """The token as it is, and as URLs and JSON may have it, also JSON inside JSON."""
    each = "".join(
        rf"(?:{re.escape(one)}|(?i:%{ord(one):02x})|\\{{1,8}}(?:{re.escape(one)}|(?i:u00{ord(one):02x})))"
        for one in token
    )
    alone = len(token) < WHOLE_SECRET
    return re.compile((rf"(?<![A-Za-z0-9_]){each}(?![A-Za-z0-9_])" if alone else each).encode())
