"""One call of the API: what was billed is told to the token, and a failure says whether anything can have been."""

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from pydantic import SecretStr

from claude.call import Claude, Question
from claude.desk import Tool
from claude.hand import at_hand
from domain.errors import COSTS_NOTHING, ErrorCode, ResearchError

from .fake_api import KEY, MODEL, Asked, FakeApi, Fault, Refuses, Says, fake_api, thinks, tool

SUBMIT = Tool(name="submit", description="Ends it.", input_schema={"type": "object", "properties": {}})
QUESTION = Question(
    model=MODEL, system="You are a test.", tools=(SUBMIT,), messages=(("user", ({"type": "text", "text": "Go."},)),)
)


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    async with fake_api() as api:
        yield api


@pytest.fixture
async def claude(api: FakeApi) -> AsyncIterator[Claude]:
    claude = Claude(SecretStr(KEY), api.url)
    yield claude
    await claude.aclose()


def says(api: FakeApi, answer: Says | Refuses) -> None:
    async def script(asked: Asked) -> Says | Refuses:
        return answer

    api.script = script


async def failed(claude: Claude) -> ResearchError:
    with pytest.raises(ResearchError) as raised:
        await claude.answer(QUESTION, 1_000)
    return raised.value


async def test_every_class_of_tokens_is_told_as_it_is_billed(api: FakeApi, claude: Claude) -> None:
    usage = {
        "input_tokens": 11,
        "cache_creation_input_tokens": 70,
        "cache_creation": {"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 40},
        "cache_read_input_tokens": 500,
        "output_tokens": 900,
        "output_tokens_details": {"thinking_tokens": 800},
    }
    says(api, Says(usage=usage))
    heard = await claude.answer(QUESTION, 1_000)
    assert heard.usage == api.bills[0].usage
    assert heard.usage
    assert (heard.usage.cache_write, heard.usage.cache_write_1h, heard.usage.total) == (70, 40, 1_481)


async def test_an_answer_is_kept_block_by_block_as_it_came(api: FakeApi, claude: Claude) -> None:
    blocks = (
        thinks("of something"),
        {"type": "redacted_thinking", "data": "abc"},
        {"type": "text", "text": "Gödel, 金"},
        tool("submit", yaml="a: [1, 2]\n", deep={"x": [None, 1.5]}),
    )
    says(api, Says(blocks=blocks))
    kept = (await claude.answer(QUESTION, 1_000)).message().blocks
    assert [block | {"signature": ""} if "signature" in block else block for block in kept] == list(blocks)
    assert kept[0]["signature"]


async def test_a_request_asks_for_standard_service_and_for_what_can_be_read_from_the_cache(
    api: FakeApi, claude: Claude
) -> None:
    await claude.answer(QUESTION, 1_000)
    body = api.asked[0].body
    five_minutes = {"type": "ephemeral"}
    assert (body["cache_control"], body["system"][0]["cache_control"]) == (five_minutes, five_minutes)
    assert (body["service_tier"], body["stream"], body["max_tokens"]) == ("standard_only", True, 1_000)
    assert body["tools"][0]["strict"]
    assert not {"speed", "inference_geo", "tool_choice", "thinking"} & body.keys()


API_BODY = '{"type": "error", "error": {"type": "api_error", "message": "no"}}'
RATE = "rate_limit_error"

ROWS = [
    (Refuses(400, "invalid_request_error", "no such field"), ErrorCode.ANTHROPIC_REQUEST),
    (
        Refuses(400, "invalid_request_error", "You have reached your specified API usage limits. Until May."),
        ErrorCode.ANTHROPIC_SPEND_LIMIT,
    ),
    (
        Refuses(400, "invalid_request_error", "You have reached your specified workspace API usage limits."),
        ErrorCode.ANTHROPIC_SPEND_LIMIT,
    ),
    (Refuses(401, "authentication_error"), ErrorCode.ANTHROPIC_AUTH),
    (Refuses(402, "billing_error"), ErrorCode.ANTHROPIC_SPEND_LIMIT),
    (Refuses(403, "permission_error"), ErrorCode.ANTHROPIC_AUTH),
    (Refuses(403, body="<html>the gateway says no</html>"), ErrorCode.ANTHROPIC_AUTH),
    (Refuses(404, "not_found_error"), ErrorCode.ANTHROPIC_REQUEST),
    (Refuses(308, body=""), ErrorCode.ANTHROPIC_REQUEST),
    (Refuses(408, "timeout_error"), ErrorCode.ANTHROPIC_ERROR),
    (Refuses(408, body="<html></html>"), ErrorCode.ANSWER_LOST),
    (Refuses(409, "conflict_error"), ErrorCode.ANTHROPIC_ERROR),
    (Refuses(413, "request_too_large"), ErrorCode.ANTHROPIC_REQUEST),
    (Refuses(429, RATE), ErrorCode.ANTHROPIC_RATE_LIMITED),
    (Refuses(429, RATE, code="ramp_limit_exceeded"), ErrorCode.ANTHROPIC_RATE_LIMITED),
    (Refuses(429, RATE, code="enforced_spend_limit_reached"), ErrorCode.ANTHROPIC_SPEND_LIMIT),
    (Refuses(429, RATE, code="contract_spend_limit_reached"), ErrorCode.ANTHROPIC_SPEND_LIMIT),
    (Refuses(429, body="slow down"), ErrorCode.ANSWER_LOST),
    (Refuses(500), ErrorCode.ANTHROPIC_ERROR),
    (Refuses(500, body="<html>Bad Gateway</html>"), ErrorCode.ANSWER_LOST),
    (Refuses(500, body='"an error"'), ErrorCode.ANSWER_LOST),
    (Refuses(500, body=API_BODY[:-9]), ErrorCode.ANSWER_LOST),
    (Refuses(503), ErrorCode.ANTHROPIC_ERROR),
    (Refuses(503, body=""), ErrorCode.ANSWER_LOST),
    (Refuses(504, "timeout_error"), ErrorCode.ANTHROPIC_ERROR),
    (Refuses(529, "overloaded_error"), ErrorCode.ANTHROPIC_ERROR),
    (Refuses(529, body="busy"), ErrorCode.ANSWER_LOST),
]


@pytest.mark.parametrize(("refuses", "code"), ROWS, ids=[f"{n}-{row[0].status}" for n, row in enumerate(ROWS)])
async def test_an_error_in_the_place_of_an_answer_is_told_by_its_status_and_body(
    api: FakeApi, claude: Claude, refuses: Refuses, code: ErrorCode
) -> None:
    says(api, refuses)
    assert (await failed(claude)).code is code
    assert len(api.asked) == 1


@pytest.mark.parametrize("status", [429, 529])
@pytest.mark.parametrize(
    ("header", "wait"),
    [
        (("retry-after", "7"), timedelta(seconds=7)),
        (("retry-after-ms", "1500"), timedelta(seconds=1.5)),
        (("retry-after", "soon"), None),
        (("retry-after", "-3"), None),
        (("retry-after-ms", "nan"), None),
        (("retry-after", "99999999999999"), timedelta(hours=6)),
    ],
)
async def test_the_time_that_an_answer_names_is_waited_for(
    api: FakeApi, claude: Claude, status: int, header: tuple[str, str], wait: timedelta | None
) -> None:
    says(api, Refuses(status, RATE, headers=(header,)))
    assert (await failed(claude)).retry_after == wait


async def test_a_date_to_wait_for_is_understood(api: FakeApi, claude: Claude) -> None:
    at = datetime.now(UTC) + timedelta(minutes=5)
    says(api, Refuses(429, RATE, headers=(("retry-after", format_datetime(at, usegmt=True)),)))
    wait = (await failed(claude)).retry_after
    assert wait
    assert timedelta(minutes=4) < wait <= timedelta(minutes=5)


@pytest.mark.parametrize("fault", [Fault.DROP, Fault.CUT, Fault.SHORT, Fault.HALF, Fault.ERROR, Fault.HTML])
async def test_an_answer_that_breaks_off_is_lost_and_may_have_been_billed(
    api: FakeApi, claude: Claude, fault: Fault
) -> None:
    says(api, Says(fault=fault))
    error = await failed(claude)
    assert error.code is ErrorCode.ANSWER_LOST
    assert len(api.asked) == len(api.bills) == 1
    assert KEY not in error.message


@pytest.mark.parametrize("where", ["before", "inside"])
async def test_an_answer_that_does_not_come_in_time_may_have_been_billed(api: FakeApi, where: str) -> None:
    if where == "before":
        says(api, Says(before=api.released.wait))
    else:
        says(api, Says(fault=Fault.HANG))
    claude = Claude(SecretStr(KEY), api.url, patience=0.5)
    try:
        error = await failed(claude)
    finally:
        await claude.aclose()
    assert error.code is ErrorCode.ANTHROPIC_TIMEOUT
    assert error.code not in COSTS_NOTHING


async def test_an_api_that_is_not_there_costs_nothing(api: FakeApi) -> None:
    async with fake_api() as gone:
        url = gone.url
    claude = Claude(SecretStr(KEY), url)
    try:
        error = await failed(claude)
    finally:
        await claude.aclose()
    assert error.code is ErrorCode.ANTHROPIC_ERROR
    assert f"could not be reached at {url.removeprefix('http://')}" in error.message


@pytest.mark.parametrize("fault", [Fault.NO_USAGE, Fault.HALF_USAGE])
async def test_an_answer_that_does_not_tell_its_cost_is_an_answer_all_the_same(
    api: FakeApi, claude: Claude, fault: Fault
) -> None:
    says(api, Says(fault=fault))
    heard = await claude.answer(QUESTION, 1_000)
    assert heard.usage is None
    assert heard.message().blocks[0]["text"] == "Let me think about it."


async def test_a_key_that_is_refused_is_told_without_the_key(api: FakeApi) -> None:
    claude = Claude(SecretStr("sk-wrong-key"), api.url)
    try:
        error = await failed(claude)
    finally:
        await claude.aclose()
    assert error.code is ErrorCode.ANTHROPIC_AUTH
    assert "sk-wrong-key" not in f"{error!r} {error.__cause__!r} {claude.__dict__}"


@pytest.mark.parametrize("status", [200, 400])
async def test_what_the_api_says_of_a_failure_commands_no_terminal(api: FakeApi, claude: Claude, status: int) -> None:
    words = "\x1b[2J\x9b31mno\u202e\x00"
    says(api, Refuses(status, "invalid_request_error", words) if status == 400 else Says(fault=Fault.ERROR))
    api.words = f"too busy {words}"
    assert all(character.isprintable() for character in (await failed(claude)).message)


async def test_nothing_that_is_logged_holds_the_key_at_whatever_level(
    api: FakeApi, claude: Claude, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        await claude.count(QUESTION)
        await claude.answer(QUESTION, 1_000)
        says(api, Refuses(401, "authentication_error", f"{KEY} is not known"))
        error = await failed(claude)
    assert {"claude", "anthropic._base_client"} <= {record.name for record in caplog.records}
    assert "[the key] is not known" in error.message
    assert KEY not in caplog.text


async def test_a_client_is_closed_with_its_worker(api: FakeApi) -> None:
    claude = Claude(SecretStr(KEY), api.url)
    await claude.answer(QUESTION, 1_000)
    await claude.aclose()
    with pytest.raises(ResearchError):
        await claude.answer(QUESTION, 1_000)


async def test_fifty_calls_at_once_do_not_wait_for_each_other(api: FakeApi, claude: Claude) -> None:
    all_there = asyncio.Event()

    async def script(asked: Asked) -> Says:
        if asked.nth == 50:
            all_there.set()
        return Says(before=all_there.wait)

    api.script = script
    heard = await asyncio.gather(*(claude.answer(QUESTION, 1_000) for _ in range(50)))
    assert sum(one.usage.total for one in heard if one.usage) == api.billed


@pytest.mark.parametrize("told", [None, -1, 0, "many", 10**30, {}, Refuses(200, body="{"), Refuses(200, body="[]")])
async def test_a_count_that_is_none_is_asked_for_again(api: FakeApi, claude: Claude, told: object) -> None:
    api.count = lambda asked: told
    with pytest.raises(ResearchError) as raised:
        await claude.count(QUESTION)
    assert raised.value.code is ErrorCode.ANTHROPIC_ERROR


def test_a_worker_without_a_key_says_what_to_do() -> None:
    with pytest.raises(ResearchError, match="Set ANTHROPIC_API_KEY") as raised:
        at_hand(None)
    assert raised.value.code is ErrorCode.ANTHROPIC_AUTH
