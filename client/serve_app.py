"""The HTTP face itself: its paths, what each answers with, and the description of all that at /openapi.json.

There is no page for browsers: Swagger's would come from another host, and this face is for programs.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, Path
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.security import HTTPBearer
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.exceptions import HTTPException
from starlette.responses import Response
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.service import RPCError, RPCStatusCode

from client.budget import require_status
from client.connection import Unreachable
from client.cycles import came_to, cancel_cycle, reach, unanswered
from client.exits import CommandError, ExitCode
from client.serve_bodies import (
    CYCLE_PATTERN,
    KEY_PATTERN,
    ActiveExists,
    AgentStatus,
    Budget,
    Cancel,
    CancelAnswer,
    CancelledData,
    Exhausted,
    Failed,
    Health,
    Trigger,
    Triggered,
)
from client.serve_errors import (
    on_command_error,
    on_defect,
    on_http_error,
    on_invalid_request,
    on_research_error,
)
from client.serve_metrics import page
from client.serve_status import status
from client.serve_trigger import asked, trigger
from domain.errors import ResearchError
from settings import Settings

CHECKING = timedelta(seconds=2)
LOOKING = 15.0
"""Seconds that an answer may take."""

CANCELLING, TRIGGERING = 2, 4
"""How many times as long these may: a cancel waits for the cycle's end, a start for a worker and then the ledger."""


@dataclass
class House:
    """The house as the face reaches it: one connection, made anew where the server has gone. looking: seconds."""

    settings: Settings
    looking: float = LOOKING
    _client: Client | None = field(default=None, init=False)

    @asynccontextmanager
    async def asking(self, times: int = 1) -> AsyncIterator[Client]:
        """A client of a server that answers, for so many times as long as looking may take. What the server does not do
        is a CommandError.
        """
        seconds = self.looking * times
        try:
            async with asyncio.timeout(seconds):
                yield await self.client()
        except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError) as error:
            raise CommandError(
                ExitCode.NO_TEMPORAL_OR_WORKER,
                "timed_out",
                f"the Temporal server or a worker has not answered within {seconds:g} s",
                "ask again, a start with its Idempotency-Key; `research doctor` tells what is not there",
            ) from error
        except RPCError as error:
            raise unanswered(error) from error

    async def client(self) -> Client:
        """A client of a server that has just answered. Raises the error of exit code 6."""
        if self._client is None or not await _answers(self._client):
            self._client = None
            try:
                self._client = await reach(self.settings)
            except RuntimeError as error:
                # It has gone between the two calls that a connection takes.
                raise Unreachable(f"the Temporal server has just gone: {error}", "ask again") from error
        return self._client


async def _answers(client: Client) -> bool:
    try:
        await client.workflow_service.describe_namespace(
            DescribeNamespaceRequest(namespace=client.namespace), timeout=CHECKING
        )
    except RPCError as error:
        return error.status is RPCStatusCode.PERMISSION_DENIED  # It may be used, and not described.
    return True


def face(house: House, registry: CollectorRegistry, *, with_token: bool) -> FastAPI:
    """The app. registry: what the page of metrics shows beside the ledger. with_token: whether a token is asked for,
    which is the guard's business; here it is only told.
    """
    app = FastAPI(
        title="ktrdr research",
        description="Research cycles over HTTP: start one, look at it, end it; the day's budget; metrics.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        separate_input_output_schemas=False,
        exception_handlers={
            CommandError: on_command_error,
            ResearchError: on_research_error,
            RequestValidationError: on_invalid_request,
            HTTPException: on_http_error,
            Exception: on_defect,
        },
    )
    _open(app, with_token)
    _agent(app, house, registry, with_token)
    return app


def _open(app: FastAPI, with_token: bool) -> None:
    @app.get("/healthz", responses=_errors(with_token, closed=False))
    async def healthz() -> Health:
        """This process answers."""
        return Health()


def _agent(app: FastAPI, house: House, registry: CollectorRegistry, with_token: bool) -> None:
    guarded: list[Any] = [Depends(HTTPBearer(auto_error=False))] if with_token else []

    @app.post(
        "/agent/trigger",
        status_code=202,
        response_model=Triggered,
        dependencies=guarded,
        responses={
            409: {"model": Exhausted | ActiveExists | Failed, "description": "Refused, or the key has another body"},
            **_errors(with_token, 422),
        },
    )
    async def post_trigger(
        body: Trigger | None = None,
        idempotency_key: Annotated[
            str | None,
            Header(
                alias="Idempotency-Key",
                min_length=1,
                max_length=200,
                pattern=KEY_PATTERN,
                description="the same key with the same body gives the same cycle, however often it is sent",
            ),
        ] = None,
    ) -> Response:
        """Start a research cycle."""
        wanted = body or Trigger()
        request = await run_in_threadpool(asked, house.settings, wanted)
        async with house.asking(TRIGGERING) as client:
            answer = await trigger(client, house.settings, request, wanted, idempotency_key)
        return JSONResponse(answer.model_dump(mode="json"), 202 if isinstance(answer, Triggered) else 409)

    @app.get("/agent/status", dependencies=guarded, responses=_errors(with_token))
    async def get_status() -> AgentStatus:
        """The active cycle, and the day's budget."""
        async with house.asking() as client:
            return await status(client, house.settings)

    @app.get("/agent/budget", dependencies=guarded, responses=_errors(with_token))
    async def get_budget() -> Budget:
        """The day's budget."""
        async with house.asking() as client:
            return Budget(data=await require_status(client))

    @app.delete(
        "/agent/cancel/{operation_id}",
        dependencies=guarded,
        responses={
            404: {"model": Failed, "description": "There is no such cycle"},
            409: {"model": Failed, "description": "The cycle has ended"},
            **_errors(with_token, 422),
        },
    )
    async def delete_cycle(
        operation_id: Annotated[str, Path(min_length=1, max_length=255, pattern=CYCLE_PATTERN)],
        body: Cancel | None = None,
    ) -> CancelAnswer:
        """End a cycle in the phase where it is."""
        async with house.asking(CANCELLING) as client:
            found, ended = await cancel_cycle(client, operation_id, (body or Cancel()).reason)
        told = came_to(operation_id, found, ended)
        return CancelAnswer(
            data=CancelledData(operation_id=told.cycle_id, ended=told.ended, stopped_in=told.stopped_in)
        )

    @app.get(
        "/metrics",
        dependencies=guarded,
        response_class=PlainTextResponse,
        responses={200: {"content": {"text/plain": {}}}, **_errors(with_token)},
    )
    async def metrics() -> Response:
        """What this process counts, and the ledger's gauges, for Prometheus."""
        try:
            client = await house.client()
        except CommandError:
            client = None
        return Response(await page(registry, client), media_type=CONTENT_TYPE_PLAIN_0_0_4)


def _errors(with_token: bool, *further: int, closed: bool = True) -> dict[int | str, dict[str, Any]]:
    """The errors that every path can give, and further ones. closed: whether the path asks for the token."""
    told = {
        401: "The token is missing or wrong",
        403: "From a foreign host or page",
        408: "The body does not come",
        413: "The body is too large",
        422: "The request does not hold",
        500: "A defect of this program",
        503: "The Temporal server or a worker does not answer, or this face is busy",
    }
    given = {
        408,
        413,
        500,
        503,
        *further,
        *({401} if with_token and closed else set()),
        *(set() if with_token else {403}),
    }
    headers = {
        401: {"WWW-Authenticate": {"schema": {"type": "string"}, "required": True}},
        503: {"Retry-After": {"schema": {"type": "string"}, "required": True}},
    }
    return {
        status: {
            "model": Failed,
            "description": told[status],
            **({"headers": headers[status]} if status in headers else {}),
        }
        for status in sorted(given)
    }
