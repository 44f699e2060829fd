"""What a namespace needs before cycles run: seen to where that is allowed, else told to whoever may."""

import asyncio
import os
import subprocess
import sys
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import IndexedValueType, TaskQueueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client

from client.connection import connect
from client.exits import CommandError, ExitCode
from client.namespace import WANTED, add_search_attributes, is_polled
from settings import PROJECT, Settings

KEYWORD = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD


@pytest.fixture
async def bare(temporal_env, tmp_path) -> Client:
    """A namespace of somebody else's, without anything of ours."""
    name = f"bare-{uuid.uuid4().hex[:8]}"
    await temporal_env.client.workflow_service.register_namespace(
        RegisterNamespaceRequest(namespace=name, workflow_execution_retention_period=Duration(seconds=86_400))
    )
    address = temporal_env.client.service_client.config.target_host
    return await connect(Settings(home=tmp_path, temporal_address=address, temporal_namespace=name))


async def attributes_of(client: Client) -> dict[str, IndexedValueType.ValueType]:
    listed = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace)
    )
    return dict(listed.custom_attributes)


async def give(client: Client, **attributes: IndexedValueType.ValueType) -> None:
    await client.operator_service.add_search_attributes(
        AddSearchAttributesRequest(namespace=client.namespace, search_attributes=attributes)
    )


async def test_a_users_own_namespace_gets_what_is_missing_and_keeps_what_it_has(bare: Client) -> None:
    await give(bare, Team=KEYWORD, Phase=KEYWORD)

    await add_search_attributes(bare)
    await add_search_attributes(bare)

    assert {name: kind for name, kind in (await attributes_of(bare)).items() if name in {*WANTED, "Team"}} == {
        **WANTED,
        "Team": KEYWORD,
    }


async def test_where_they_cannot_be_added_the_missing_ones_are_told_with_what_to_type(bare: Client) -> None:
    # A server on SQLite has ten places for keywords.
    await give(bare, **{f"Theirs{number}": KEYWORD for number in range(8)}, Phase=KEYWORD)

    with pytest.raises(CommandError) as raised:
        await add_search_attributes(bare)

    assert raised.value.exit_code == ExitCode.CONFIGURATION
    assert "lacks the search attributes Outcome, Verdict" in raised.value.message
    line = f"temporal operator search-attribute create --namespace {bare.namespace} --name Sharpe --type Double"
    assert line in (raised.value.next_step or "")
    assert "--name Phase " not in (raised.value.next_step or "")


async def test_a_worker_ends_with_exit_code_4_on_attributes_of_another_type(bare: Client, tmp_path) -> None:
    await give(bare, Phase=IndexedValueType.INDEXED_VALUE_TYPE_INT)
    environment = os.environ | {
        "RESEARCH_HOME": str(tmp_path),
        "TEMPORAL_ADDRESS": bare.service_client.config.target_host,
        "TEMPORAL_NAMESPACE": bare.namespace,
    }

    worker = await asyncio.create_subprocess_exec(
        sys.executable, str(PROJECT / "worker.py"), env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    async with asyncio.timeout(60):
        told = (await worker.communicate())[0].decode()

    assert worker.returncode == ExitCode.CONFIGURATION
    assert "Phase is Int" in told
    assert "--name Phase --type Keyword" in told
    assert "Traceback" not in told


async def test_a_queue_is_polled_by_those_who_asked_since(place, temporal_env) -> None:
    client, now = temporal_env.client, datetime.now(UTC)
    activities = TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY

    async with asyncio.timeout(30):
        while not await is_polled(client, place.settings.task_queue):
            await asyncio.sleep(0.05)
        while not await is_polled(client, place.settings.engine_queue, activities, now - timedelta(minutes=5)):
            await asyncio.sleep(0.05)
    assert not await is_polled(client, place.settings.engine_queue, activities, now + timedelta(minutes=5))
    assert not await is_polled(client, place.settings.engine_queue)
