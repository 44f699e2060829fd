"""`research doctor`: every piece is looked at on the way that production takes; nothing is spent, nothing changed."""

import asyncio
import re
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.client import Client

from claude.design_tools import TOOLS
from client.doctor import State, budget_look
from client.namespace import WANTED
from domain.ledger import BudgetStatus
from tests.claude.fake_api import KEY, Asked, FakeApi, Refuses, fake_api
from tests.service.fake_ktrdr import fake_ktrdr

NOWHERE = ("--address", "127.0.0.1:1")


@pytest.fixture
async def api(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeApi]:
    """An API that the settings name."""
    async with fake_api() as api:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", api.url)
        yield api


async def examined(command, *options: str):
    """Its exit code, what it found by name, and all that it said."""
    ran = await asyncio.to_thread(command, "doctor", "-o", "json", *options)
    told = ran.json["error"]["examined"] if ran.code else ran.json
    return ran.code, {look["name"]: look for look in told["looks"]}, ran.out + ran.err


async def test_a_house_that_works_is_told_piece_by_piece(reaching):
    code, looks, _ = await examined(reaching)

    assert code == 0
    assert {name: look["state"] for name, look in looks.items()} == {
        **dict.fromkeys(("home", "server", "search attributes", "workers", "budget", "store", "data", "backend"), "ok"),
        "claude": "not used",
    }
    assert "ANTHROPIC_API_KEY_FILE" in looks["claude"]["mend"]


async def test_people_read_a_line_a_piece_and_what_to_do(command):
    ran = await asyncio.to_thread(command, "doctor", *NOWHERE)

    assert ran.code == 6
    assert "to do     server   no Temporal server answers at 127.0.0.1:1" in ran.out
    assert "start one with `research dev`" in ran.out
    assert "ok        data     " in ran.out
    assert ran.err.startswith("error: to do: server, store\n")
    assert "not used  claude   no key is set\n" in "\n".join(line.rstrip() for line in ran.out.splitlines())


async def test_a_key_that_is_taken_is_seen_by_a_count_which_costs_nothing(command, api, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    counted: list[Asked] = []

    def count(asked: Asked) -> int:
        counted.append(asked)
        return asked.tokens

    api.count = count
    _, looks, said = await examined(command, *NOWHERE)

    assert (looks["claude"]["state"], api.asked, api.bills) == ("ok", [], [])
    assert [(asked.body["model"], len(asked.body["tools"])) for asked in counted] == [("claude-sonnet-5-5", len(TOOLS))]
    assert "claude-sonnet-5-5" in looks["claude"]["found"]
    assert KEY not in said


async def test_a_key_may_stand_in_a_file(command, api, monkeypatch, tmp_path: Path):
    (tmp_path / "key").write_text(f"{KEY}\n")
    monkeypatch.setenv("ANTHROPIC_API_KEY_FILE", str(tmp_path / "key"))
    _, looks, said = await examined(command, *NOWHERE)

    assert (looks["claude"]["state"], api.counted) == ("ok", 1)
    assert KEY not in said


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://host:abc", "http://HOST:PORT"),
        ("http://host:99999", "http://HOST:PORT"),
        ("ftp://host", "http://HOST:PORT"),
        ("http://[::1", "http://HOST:PORT"),
        ("http://me:secret@host", "take the name and password out of it: ANTHROPIC_API_KEY"),
        ("http://host/?token=secret", "without ? and #"),
    ],
)
async def test_an_address_that_is_none_or_holds_a_secret_is_told_by_its_setting(command, monkeypatch, url, words):
    monkeypatch.setenv("ANTHROPIC_BASE_URL", url)
    ran = await asyncio.to_thread(command, "doctor", *NOWHERE)
    assert ran.code == 4
    assert "ANTHROPIC_BASE_URL: " in ran.err
    assert words in ran.err
    assert "secret" not in ran.out + ran.err


async def test_a_key_that_is_refused_is_told_without_the_key(reaching, api, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-somebody-elses")
    api.count = lambda asked: pytest.fail("a wrong key counts nothing")
    code, looks, said = await examined(reaching)

    assert (code, looks["claude"]["state"]) == (4, "to do")
    assert "invalid x-api-key" in looks["claude"]["found"]
    assert "sk-somebody-elses" not in said


@pytest.mark.parametrize(
    ("refuses", "code", "words"),
    [
        (Refuses(404, "not_found_error", "model: claude-nobody-9"), 4, "model: claude-nobody-9"),
        (Refuses(400, "invalid_request_error", "tools.0: no such field"), 4, "no such field"),
        (Refuses(529, "overloaded_error", "busy"), 1, "busy"),
        (Refuses(502, body="<html>a gateway</html>"), 1, "502"),
    ],
)
async def test_what_the_api_has_against_model_or_tools_is_told_in_its_words(
    reaching, api, monkeypatch, refuses: Refuses, code: int, words: str
):
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.setenv("RESEARCH_MODEL", "claude-nobody-9")
    api.count = lambda asked: refuses
    told, looks, _ = await examined(reaching)

    assert (told, looks["claude"]["state"]) == (code, "to do")
    assert words in looks["claude"]["found"]


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "No such file"), ("", "nothing in it"), ("two words", "ASCII on one line"), ("k" * 20_000, "longer than")],
)
async def test_a_key_file_that_holds_no_key_is_told_by_its_setting(command, monkeypatch, tmp_path, content, words):
    if content is not None:
        (tmp_path / "key").write_text(content)
    monkeypatch.setenv("ANTHROPIC_API_KEY_FILE", str(tmp_path / "key"))
    ran = await asyncio.to_thread(command, "doctor", *NOWHERE)

    assert ran.code == 4
    assert "ANTHROPIC_API_KEY_FILE: " in ran.err
    assert words in ran.err
    assert content is None or len(content) < 5 or content not in ran.err


async def test_a_paused_budget_is_told_with_what_ends_the_pause(reaching):
    await asyncio.to_thread(reaching, "budget", "pause", "holidays")
    try:
        code, looks, _ = await examined(reaching)
    finally:
        await asyncio.to_thread(reaching, "budget", "resume")

    assert (code, looks["budget"]["found"]) == (3, "paused: holidays")
    assert "research budget resume" in looks["budget"]["mend"]


async def test_bills_beyond_their_ceilings_are_told(reaching):
    budget = BudgetStatus.model_validate((await asyncio.to_thread(reaching, "budget", "-o", "json")).json)
    look = budget_look(budget.model_copy(update={"overrun_tokens": 1_000}), 120_000)

    assert (look.state, look.exit_code, budget_look(budget, 120_000).state) == (State.TO_DO, 1, State.OK)
    assert "1,000 tokens were billed beyond their calls' ceilings" in look.found


async def test_a_day_without_tokens_for_claude_is_a_warning_and_what_it_says_to_type_mends_it(reaching):
    await asyncio.to_thread(reaching, "budget", "set", "--tokens", "70000")
    try:
        code, looks, _ = await examined(reaching)
        shown = await asyncio.to_thread(reaching, "doctor")
        typed = re.search(r"`research (budget set .+?)`", looks["budget"]["mend"])
        assert typed
        await asyncio.to_thread(reaching, *typed[1].split())
        _, mended, _ = await examined(reaching)
    finally:
        await asyncio.to_thread(reaching, "budget", "set", "--tokens", "500000")

    assert (code, looks["budget"]["state"], mended["budget"]["state"]) == (0, "warning", "ok")
    assert looks["budget"]["found"].startswith("70,000 of 70,000 tokens free today; a cycle by Claude needs 120,000")
    assert "warning   budget " in shown.out


async def test_a_day_without_dollars_is_a_warning(reaching):
    budget = BudgetStatus.model_validate((await asyncio.to_thread(reaching, "budget", "-o", "json")).json)
    look = budget_look(budget.model_copy(update={"usd_remaining": Decimal(0)}), 120_000)

    assert (look.state, "and no dollars" in look.found, "`research budget set --usd none`" in str(look.mend)) == (
        State.WARNING,
        True,
        True,
    )


async def test_a_namespace_where_nobody_works_lacks_attributes_and_workers_and_is_left_as_it_is(
    command, elsewhere: Client
):
    where = ("--address", elsewhere.service_client.config.target_host, "--namespace", elsewhere.namespace)
    code, looks, _ = await examined(command, *where)

    assert (code, looks["search attributes"]["state"], looks["workers"]["state"]) == (4, "to do", "to do")
    assert "research worker" in looks["workers"]["mend"]
    assert "budget" not in looks
    listed = await elsewhere.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=elsewhere.namespace)
    )
    assert not WANTED.keys() & listed.custom_attributes.keys()


async def test_a_damaged_store_and_damaged_bars_are_told_by_their_files(command, tmp_path: Path):
    home = tmp_path / "home"
    (home / "data").mkdir(parents=True)
    (home / "research.db").write_bytes(b"no database at all, but long enough to be taken for one" * 100)
    (home / "data" / "EURUSD_1h.csv.gz").write_text("nothing")
    code, looks, _ = await examined(command, *NOWHERE)

    assert (code, looks["store"]["state"], looks["data"]["state"]) == (6, "to do", "to do")
    assert str(home / "data" / "EURUSD_1h.csv.gz") in looks["data"]["mend"]


async def test_a_home_that_cannot_be_written_to_is_told(command, tmp_path: Path):
    (tmp_path / "home").write_text("a file")
    code, looks, _ = await examined(command, *NOWHERE)

    assert (code, looks["home"]["found"]) == (4, f"{tmp_path / 'home'} cannot be written to")


async def test_a_service_shows_that_it_works_by_knowing_no_such_operation(command, monkeypatch):
    async with fake_ktrdr() as service:
        monkeypatch.setenv("KTRDR_API_URL", service.url)
        _, looks, _ = await examined(command, *NOWHERE)
    assert looks["backend"]["state"] == "ok"

    _, looks, _ = await examined(command, *NOWHERE)
    assert looks["backend"]["state"] == "to do"
    assert "KTRDR_API_URL" in looks["backend"]["mend"]
