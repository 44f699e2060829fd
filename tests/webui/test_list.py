"""The list of cycles, filtered and sorted, on a real server: `research list`, and the queries that docs/web-ui.md gives
for the Web UI.
"""

import asyncio
import json
import re

import pytest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from client.main import run
from client.visibility import best_cycles, conditions
from settings import PROJECT
from tests.webui.ended_cycles import CYCLES

WEB_UI = (PROJECT / "docs" / "web-ui.md").read_text()
SAVED = dict(re.findall(r"^\| ([^|`]+) \| `([^`|]+)` \|$", WEB_UI, re.MULTILINE))
"""The saved queries of the documentation, by name."""

SHARPES = {cycle.name: cycle.sharpe for cycle in CYCLES}
WITH_SHARPE = ["failed", "promising-on-eurusd", "promising-on-aapl", "neutral", "poor", "rejected-by-backtest"]

FOUND = {
    "All cycles": {cycle.name for cycle in CYCLES},
    "Running": {"running"},
    "In training": {"running"},
    "Promising": {"promising-on-eurusd", "promising-on-aapl"},
    "Promising, of one symbol": {"promising-on-eurusd"},
    "Assessed": {"promising-on-eurusd", "promising-on-aapl", "neutral", "poor", "no-figure"},
    "Sharpe ratio above 1": {"promising-on-eurusd", "promising-on-aapl"},
    "Sharpe ratio from 0 to 1": {"neutral"},
    "Stopped by a gate": {"rejected-by-backtest", "rejected-by-training"},
    "Broken": {"failed"},
    "Refused by the budget": {"refused"},
    "Cancelled or ended by force": {"cancelled", "terminated"},
    "With a model's tokens": {"promising-on-eurusd", "neutral"},
}


@pytest.fixture
def listed(ended: Client, tmp_path, capsys):
    """The ids that `research list` shows, in its order."""
    flags = ("--home", str(tmp_path), "--address", ended.service_client.config.target_host)

    def call(*options: str) -> list[str]:
        capsys.readouterr()
        assert run([*flags, "--namespace", ended.namespace, "list", "-o", "json", *options]) == 0
        return [cycle["cycle_id"] for cycle in json.loads(capsys.readouterr().out)]

    async def in_a_thread(*options: str) -> list[str]:
        return await asyncio.to_thread(call, *options)

    return in_a_thread


async def test_the_highest_sharpe_ratio_comes_first_and_those_without_one_last(listed):
    found = await listed("--sort", "sharpe")

    assert found[: len(WITH_SHARPE)] == WITH_SHARPE
    assert sorted(found) == sorted(SHARPES)


async def test_a_short_list_is_the_best_of_all_and_not_of_the_newest(listed):
    assert await listed("--sort", "sharpe", "--limit", "2") == WITH_SHARPE[:2]


async def test_a_verdict_shows_only_those_and_joins_the_other_filters(listed):
    assert await listed("--verdict", "promising", "--sort", "sharpe") == ["promising-on-eurusd", "promising-on-aapl"]
    assert await listed("--verdict", "promising", "--symbol", "aapl") == ["promising-on-aapl"]
    assert await listed("--verdict", "poor", "--sort", "sharpe") == ["poor", "no-figure"]
    assert await listed("--verdict", "neutral", "--outcome", "failed") == []


async def test_what_was_too_old_to_be_sorted_is_counted(ended: Client):
    all_of_them = await best_cycles(ended, conditions(), limit=20)
    newest = await best_cycles(ended, conditions(), limit=20, most=2)

    assert (all_of_them.left_out, newest.left_out) == (0, len(WITH_SHARPE) - 2)
    assert len([cycle for cycle in newest.cycles if cycle.sharpe_ratio is not None]) == 2


def test_every_saved_query_of_the_documentation_is_tried():
    assert set(SAVED) == set(FOUND)


@pytest.mark.parametrize("name", FOUND)
async def test_a_saved_query_finds_what_its_name_says(ended: Client, name: str):
    found = {execution.id async for execution in ended.list_workflows(SAVED[name])}

    assert found == FOUND[name]


async def test_the_server_sorts_by_nothing_else_than_time_as_the_documentation_says(ended: Client):
    with pytest.raises(RPCError) as raised:
        [each async for each in ended.list_workflows("ORDER BY Sharpe DESC")]

    assert raised.value.status is RPCStatusCode.INVALID_ARGUMENT
    assert "operation is not supported: 'ORDER BY' clause" in raised.value.message
    assert "operation is not supported: 'ORDER BY' clause" in WEB_UI
