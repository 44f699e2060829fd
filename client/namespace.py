"""What must be there before cycles run: a namespace with long retention and our search attributes, and a worker."""

import logging
from datetime import UTC, datetime

from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import IndexedValueType, TaskQueueType
from temporalio.api.namespace.v1 import NamespaceConfig
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest, UpdateNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from client.exits import CommandError, ExitCode
from client.views import SetUp
from workflows import search_attributes

RETENTION_DAYS = 90
WANTED = {key.name: IndexedValueType.ValueType(key.indexed_value_type) for key in search_attributes.ALL}
NOT_FOR_US = (RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNAUTHENTICATED, RPCStatusCode.UNIMPLEMENTED)

log = logging.getLogger("namespace")


async def keep_ended_cycles(client: Client) -> None:
    """Set the namespace's retention. Only for a server that we started: elsewhere the operator decides."""
    await client.workflow_service.update_namespace(
        UpdateNamespaceRequest(
            namespace=client.namespace,
            config=NamespaceConfig(workflow_execution_retention_ttl=Duration(seconds=RETENTION_DAYS * 86_400)),
        )
    )


async def add_search_attributes(client: Client) -> None:
    """Add the search attributes that are missing; without them no cycle gets a step further. Again changes nothing.

    Raises the error of exit code 4, with the commands for an operator, where they cannot be added, or where one is
    there with another type.
    """
    if missing := await missing_search_attributes(client):
        await _add(client, missing)


async def set_up(client: Client) -> SetUp:
    """Add the search attributes that are missing, for somebody who asks for just that.

    Raises as above, and the same where the server does not even show which are there.
    """
    try:
        missing = await _missing(client)
    except RPCError as error:
        if error.status not in NOT_FOR_US:
            raise
        raise _not_prepared(
            f"the server does not show which search attributes there are: {error.message}",
            f"have somebody who may do it type\n{create_lines(client.namespace, WANTED)}",
        ) from error
    created = await _add(client, missing) if missing else ()
    there = tuple(name for name in WANTED if name not in created)
    return SetUp(namespace=client.namespace, created=created, already_there=there)


async def missing_search_attributes(client: Client) -> dict[str, IndexedValueType.ValueType]:
    """Those of ours that the namespace lacks, with their types.

    Raises the error of exit code 4 where one is there with another type. Where not even the list may be read they are
    taken to be there, and the log says so.
    """
    try:
        return await _missing(client)
    except RPCError as error:
        if error.status not in NOT_FOR_US:
            raise
        log.warning(
            "the server does not show its search attributes (%s). Should cycles not start, have these created:\n%s",
            error.message,
            create_lines(client.namespace, WANTED),
        )
        return {}


async def _missing(client: Client) -> dict[str, IndexedValueType.ValueType]:
    present = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace)
    )
    there = present.custom_attributes
    other = [f"{name} is {_word(there[name])}" for name in WANTED if name in there and there[name] != WANTED[name]]
    if other:
        raise _not_prepared(
            f"the namespace {client.namespace!r} has search attributes of our names with other types: "
            f"{', '.join(other)}",
            f"remove them with `temporal operator search-attribute remove`, or use another namespace; wanted are\n"
            f"{create_lines(client.namespace, WANTED)}",
        )
    return {name: kind for name, kind in WANTED.items() if name not in there}


def create_lines(namespace: str, attributes: dict[str, IndexedValueType.ValueType]) -> str:
    """What an operator types to create these search attributes, a line each."""
    return "\n".join(
        f"temporal operator search-attribute create --namespace {namespace} --name {name} --type {_word(kind)}"
        for name, kind in attributes.items()
    )


async def is_polled(
    client: Client,
    task_queue: str,
    kind: TaskQueueType.ValueType = TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    since: datetime | None = None,
) -> bool:
    """Whether a worker polls this task queue for work of this kind.

    Without `since` (aware) one that has just ended still counts for some minutes; with it only who asked after that.
    """
    request = DescribeTaskQueueRequest(
        namespace=client.namespace, task_queue=TaskQueue(name=task_queue), task_queue_type=kind
    )
    pollers = (await client.workflow_service.describe_task_queue(request)).pollers
    return any(since is None or poller.last_access_time.ToDatetime(tzinfo=UTC) >= since for poller in pollers)


async def _add(client: Client, missing: dict[str, IndexedValueType.ValueType]) -> tuple[str, ...]:
    """Add them, and tell which: none where somebody else was first."""
    try:
        await client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(namespace=client.namespace, search_attributes=missing)
        )
    except RPCError as error:
        if error.status is RPCStatusCode.ALREADY_EXISTS:
            return ()  # Another worker, which has started at the same time, was first.
        if error.status not in (*NOT_FOR_US, RPCStatusCode.INVALID_ARGUMENT, RPCStatusCode.FAILED_PRECONDITION):
            raise
        raise _not_prepared(
            f"the namespace {client.namespace!r} lacks the search attributes {', '.join(missing)}, "
            f"and they cannot be added from here: {error.message}",
            f"have somebody who may do it type\n{create_lines(client.namespace, missing)}",
        ) from error
    return tuple(missing)


def _not_prepared(message: str, next_step: str) -> CommandError:
    return CommandError(ExitCode.CONFIGURATION, "search_attributes", message, next_step)


def _word(kind: IndexedValueType.ValueType) -> str:
    """The type as Temporal's command writes it: INDEXED_VALUE_TYPE_KEYWORD_LIST is KeywordList."""
    name = IndexedValueType.Name(kind).removeprefix("INDEXED_VALUE_TYPE_")
    return "".join(part.capitalize() for part in name.split("_"))
