"""Errors of the HTTP face: one shape for all of them, and which status each has."""

import re

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.responses import Response

from client.exits import CommandError, ExitCode
from client.render_values import clean
from client.serve_bodies import Failed, Problem
from domain.errors import ErrorCode, ResearchError

RETRY_AFTER = "5"
"""Seconds, after which somebody who was told 503 may ask again."""

MAX_MESSAGE = 4_000
"""Characters. A message may repeat what was sent."""

BODIES = "/openapi.json tells every field; send JSON, with `Content-Type: application/json`"

_STATUS = {
    "not_found": 404,
    "not_cancellable": 409,
    "idempotency_conflict": 409,
    "internal_error": 500,
    ErrorCode.DATA_UNAVAILABLE: 422,
    ErrorCode.INVALID_STRATEGY: 422,
}


def failed(
    status: int, code: str, message: str, next_step: str | None, headers: dict[str, str] | None = None
) -> Response:
    """An error's answer; a 503 says when to ask again."""
    body = Failed(error=Problem(code=code, message=_bounded(message), next=_bounded(next_step) if next_step else None))
    again = {"Retry-After": RETRY_AFTER} if status == 503 else {}
    return JSONResponse(body.model_dump(), status, {**again, **(headers or {})})


def of_command(error: CommandError) -> Response:
    """As the command would tell it. What is wrong with the request is 422; what lacks behind this face is 503."""
    unlisted = 422 if error.exit_code is ExitCode.USAGE else 503
    return failed(_STATUS.get(error.code, unlisted), error.code, error.message, error.next_step)


def in_fields(error: CommandError) -> CommandError:
    """What is wrong with a request, in words that name its fields where the command's name its options."""

    def said(text: str | None) -> str | None:
        return text and re.sub(r"--([a-z][a-z-]*)", lambda option: option[1].replace("-", "_"), text)

    return CommandError(ExitCode.USAGE, error.code, said(error.message) or "", said(error.next_step))


async def on_command_error(_: Request, error: Exception) -> Response:
    """For FastAPI: what a function of the command refused."""
    assert isinstance(error, CommandError)
    return of_command(error)


async def on_research_error(_: Request, error: Exception) -> Response:
    """For FastAPI: what the house refused; a store that cannot be read may be there again."""
    assert isinstance(error, ResearchError)
    return failed(_STATUS.get(error.code, 503), error.code.value, error.message, None)


async def on_invalid_request(_: Request, error: Exception) -> Response:
    """For FastAPI: each field and what is wrong with it, without the values, which may be long."""
    assert isinstance(error, RequestValidationError)
    told = [f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}" for problem in error.errors()[:20]]
    return failed(422, "invalid_request", "; ".join(told), BODIES)


async def on_http_error(_: Request, error: Exception) -> Response:
    """For FastAPI: no such path or method, and a body that is no JSON at all."""
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == 404:
        return failed(
            404, "no_such_path", "there is nothing at this path", "/openapi.json lists what there is", headers
        )
    if error.status_code == 405:
        return failed(405, "method_not_allowed", "this path has no such method", "see the header Allow", headers)
    return failed(422, "invalid_request", "the body cannot be read as JSON", BODIES)


async def on_defect(_: Request, error: Exception) -> Response:
    """For FastAPI: a defect of ours, whose traceback the log has."""
    return failed(
        500,
        ErrorCode.INTERNAL_ERROR.value,
        f"a defect of this program, not of yours: {type(error).__name__}",
        "report it with the lines in the log of `research serve`",
    )


def _bounded(text: str) -> str:
    told = clean(text)
    return told if len(told) <= MAX_MESSAGE else f"{told[:MAX_MESSAGE]}…"
