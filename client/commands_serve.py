"""`research serve`: the HTTP face, for programs that had the original plan's API."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from client.exits import ExitCode
from client.invocation import Invocation, invocation

if TYPE_CHECKING:
    from client.serve import FaceAddress


def serve(
    ctx: typer.Context,
    host: Annotated[str | None, typer.Option(help="Where to listen. [default: of RESEARCH_SERVE_ADDRESS]")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="0 is any that is free. [default: of RESEARCH_SERVE_ADDRESS]")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="The file that holds the token, before RESEARCH_SERVE_TOKEN.", metavar="FILE")
    ] = None,
) -> ExitCode:
    """Serve cycles over HTTP until Ctrl-C: POST /agent/trigger, GET /agent/status and /agent/budget, DELETE
    /agent/cancel/ID, GET /metrics; described at /openapi.json.

    On 127.0.0.1:8765 unless told otherwise; beyond this machine only with a token.
    """
    from client.cycles import talk
    from client.serve import until_told

    call = invocation(ctx)
    settings = call.settings(serve_token_file=token_file)
    set_host, _, set_port = settings.serve_address.rpartition(":")
    token = settings.serve_token_file if token_file else settings.face_token
    at = (host or set_host).strip("[]"), int(set_port) if port is None else port
    talk(until_told(settings, *at, token, lambda address: _told(call, address)))
    call.screen.note("stopped; cycles go on")
    return ExitCode.OK


def _told(call: Invocation, address: "FaceAddress") -> None:
    from rich.text import Text

    from client.output import print_line
    from observability import logging as logs

    logs.configure()
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # else lines about its own process
    if call.screen.is_text:
        call.screen.show(address, Text(f"serving on {address.address}; Ctrl-C stops it"))
    else:
        print_line(address.model_dump_json())
    asks = " -H 'Authorization: Bearer TOKEN'" if address.token else ""
    body = """-H 'Content-Type: application/json' -d '{"designer": "offline", "seed": 7}'"""
    call.screen.note(f"try: curl{asks} {body} {address.address}/agent/trigger")
