"""`research setup`: a namespace of one's own gets its search attributes, or its operator is told what to type."""

import asyncio
import uuid

import pytest
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from client import namespace
from client.namespace import WANTED, set_up

KEYWORD = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD


@pytest.fixture
def of_elsewhere(elsewhere: Client) -> tuple[str, ...]:
    """The options that name the namespace in which nobody has worked yet."""
    return "--address", elsewhere.service_client.config.target_host, "--namespace", elsewhere.namespace


async def give(client: Client, **attributes: IndexedValueType.ValueType) -> None:
    await client.operator_service.add_search_attributes(
        AddSearchAttributesRequest(namespace=client.namespace, search_attributes=attributes)
    )


async def test_what_is_missing_is_created_and_named_and_a_second_time_nothing_is(command, elsewhere, of_elsewhere):
    await give(elsewhere, Phase=KEYWORD)

    first = await asyncio.to_thread(command, "setup", *of_elsewhere, "-o", "json")
    second = await asyncio.to_thread(command, "setup", *of_elsewhere, "-o", "json")

    others = [name for name in WANTED if name != "Phase"]
    assert (first.code, first.json) == (
        0,
        {"namespace": elsewhere.namespace, "created": others, "already_there": ["Phase"]},
    )
    assert (second.code, second.json["created"], second.json["already_there"]) == (0, [], list(WANTED))


async def test_people_read_which_were_created_or_that_all_are_there(command, elsewhere, of_elsewhere):
    first = await asyncio.to_thread(command, "setup", *of_elsewhere)
    second = await asyncio.to_thread(command, "setup", *of_elsewhere)

    assert first.out == f"namespace {elsewhere.namespace}: created the search attributes {', '.join(WANTED)}\n"
    assert second.out == f"namespace {elsewhere.namespace}: all search attributes are there\n"


async def test_where_they_cannot_be_created_the_operators_lines_are_told(command, elsewhere, of_elsewhere):
    # A server on SQLite has ten places for keywords.
    await give(elsewhere, **{f"Theirs{number}": KEYWORD for number in range(9)})

    ran = await asyncio.to_thread(command, "setup", *of_elsewhere, "-o", "json")

    assert (ran.code, ran.json["error"]["code"]) == (4, "search_attributes")
    line = f"temporal operator search-attribute create --namespace {elsewhere.namespace} --name Sharpe --type Double"
    assert line in ran.json["error"]["next"]


async def test_one_of_another_type_is_named(command, elsewhere, of_elsewhere):
    await give(elsewhere, Sharpe=KEYWORD)

    ran = await asyncio.to_thread(command, "setup", *of_elsewhere)

    assert ran.code == 4
    assert "Sharpe is Keyword" in ran.err


async def test_a_server_that_does_not_show_its_attributes_is_not_taken_for_prepared(elsewhere, monkeypatch):
    async def hidden(client: Client) -> None:
        raise RPCError("not for you", RPCStatusCode.PERMISSION_DENIED, b"")

    monkeypatch.setattr(namespace, "_missing", hidden)

    with pytest.raises(namespace.CommandError, match="does not show which search attributes there are: not for you"):
        await set_up(elsewhere)


async def test_without_a_server_it_is_exit_code_6(command):
    ran = await asyncio.to_thread(command, "setup", "--address", "127.0.0.1:1")

    assert ran.code == 6


async def test_a_namespace_that_there_is_not_is_told(command, temporal_env):
    address = temporal_env.client.service_client.config.target_host

    ran = await asyncio.to_thread(command, "setup", "--address", address, "--namespace", f"none-{uuid.uuid4().hex[:6]}")

    assert ran.code == 6
    assert "none-" in ran.err
