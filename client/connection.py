"""The one way to a Temporal server: Temporal's own configuration, our converter, our namespace."""

import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client, Interceptor
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.envconfig import ClientConfig, ClientConnectConfig
from temporalio.runtime import Runtime
from temporalio.service import RPCError, RPCStatusCode

from client.exits import CommandError, ExitCode
from settings import Settings

DEFAULT_ADDRESS = "localhost:7233"
DEFAULT_NAMESPACE = "research"
CONNECT_TIMEOUT = timedelta(seconds=5)


class Unreachable(CommandError):
    """No Temporal server answers, or not with this namespace."""

    def __init__(self, message: str, next_step: str) -> None:
        super().__init__(ExitCode.NO_TEMPORAL_OR_WORKER, "temporal_unreachable", message, next_step)


class RunningNote(NamedTuple):
    """Where a stack that `research dev` started can be reached."""

    address: str
    ui_url: str | None


def running_note(settings: Settings) -> Path:
    """The file in which a running `research dev` says where it is; it is there only while the stack runs."""
    return settings.home / "dev.json"


def read_running_note(settings: Settings) -> RunningNote | None:
    """What the running stack wrote, or None where there is none, or none that is complete."""
    try:
        note = json.loads(running_note(settings).read_text())
        return RunningNote(str(note["address"]), note.get("ui_url"))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def configured_address(settings: Settings) -> str | None:
    """The user's own server: named in the settings, else in Temporal's profile; None where neither names one."""
    return settings.temporal_address or _profile(settings).get("target_host")


def target(settings: Settings) -> tuple[str, str]:
    """Address and namespace that `connect` uses.

    Settings come first, then Temporal's profile file, then a `research dev` that runs on this home, then the defaults.
    """
    config = _config(settings)
    return config["target_host"], config["namespace"]


async def connect(
    settings: Settings,
    runtime: Runtime | None = None,
    *,
    local: bool = False,
    interceptors: Sequence[Interceptor] = (),
) -> Client:
    """A client for the server and namespace of the settings. Raises Unreachable, and the error of exit code 4 for an
    address that is none.

    A server that we started ourselves is spoken to without Temporal's profile, TLS and key, which are another server's:
    one that a `research dev` on this home has noted, and with `local` one that has yet to be noted.
    """
    config = _config(settings, local=local)
    address, namespace = config["target_host"], config["namespace"]
    # A lazy client's first call tells a refused connection at once, where an eager one tries for seconds. Workers need
    # an eager one.
    try:
        asking = await Client.connect(**config, lazy=True)
        await asking.workflow_service.describe_namespace(
            DescribeNamespaceRequest(namespace=namespace), timeout=CONNECT_TIMEOUT
        )
    except ValueError as error:
        raise CommandError(
            ExitCode.CONFIGURATION,
            "configuration",
            f"{address!r} is no address of a Temporal server: {error}",
            "write host:port, as in --address 127.0.0.1:7233 or in TEMPORAL_ADDRESS",
        ) from error
    except (RuntimeError, RPCError) as error:
        trouble = _trouble(error, address, namespace)
        if trouble is not None:
            raise trouble from error
    return await Client.connect(
        **config, data_converter=pydantic_data_converter, runtime=runtime, interceptors=interceptors
    )


def _trouble(error: RuntimeError | RPCError, address: str, namespace: str) -> Unreachable | None:
    """What is wrong, and what to do; None where nothing is."""
    status = error.status if isinstance(error, RPCError) else RPCStatusCode.UNAVAILABLE
    if status is RPCStatusCode.PERMISSION_DENIED:
        return None  # A restricted account may use a namespace that it may not describe.
    if status is RPCStatusCode.NOT_FOUND:
        return Unreachable(
            f"the Temporal server at {address} has no namespace {namespace!r}",
            f"create it with `temporal operator namespace create -n {namespace} --retention 90d`, or name another "
            "with --namespace",
        )
    if status in (RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED):
        return Unreachable(
            f"no Temporal server answers at {address}",
            "start one with `research dev`, or name yours with --address or TEMPORAL_ADDRESS",
        )
    return Unreachable(
        f"the Temporal server at {address} answers with an error: {error}", "look at the server's log, then try again"
    )


def _config(settings: Settings, *, local: bool = False) -> ClientConnectConfig:
    note = read_running_note(settings)
    ours = local or (note is not None and note.address == settings.temporal_address)
    config = ClientConnectConfig() if ours else _profile(settings)
    address = settings.temporal_address or config.get("target_host")
    if address is None and note is not None:
        address, config = note.address, ClientConnectConfig()
    config["target_host"] = address or DEFAULT_ADDRESS
    config["namespace"] = settings.temporal_namespace or config.get("namespace") or DEFAULT_NAMESPACE
    return config


def _profile(settings: Settings) -> ClientConnectConfig:
    """Temporal's own configuration: its variables, and the profile of its file. Raises the error of exit code 4."""
    try:
        return ClientConfig.load_client_connect_config(settings.temporal_profile)
    except RuntimeError as error:
        raise CommandError(
            ExitCode.CONFIGURATION,
            "configuration",
            f"Temporal's configuration does not hold: {error}",
            "correct TEMPORAL_PROFILE, --profile, or the file (`temporal config list` shows the profiles)",
        ) from error
