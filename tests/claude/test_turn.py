"""A turn: one request that keeps to its ceiling, the tools that its answer asks for, and how a conversation goes on."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from pydantic import JsonValue, SecretStr

from claude.call import Claude
from claude.turn import CLOSING, MAX_TOOLS, Step, take
from domain.ceilings import LONGEST_ANSWER, with_margin
from domain.cycle import CallUsage
from domain.errors import ErrorCode, ResearchError
from domain.turns import MAX_CONVERSATION, MAX_MESSAGE, FundedTurn, Message

from .fake_api import KEY, MODEL, Asked, FakeApi, Refuses, Says, fake_api, thinks, tool
from .small_desk import STRATEGY, SmallDesk

CEILING = 20_000


@dataclass
class Talk:
    """A conversation at a small desk. requests: how often one was made that may be billed."""

    api: FakeApi
    claude: Claude
    desk: SmallDesk = field(default_factory=SmallDesk)
    messages: tuple[Message, ...] = ()
    requests: int = 0

    async def turn(
        self, *answers: Says | Refuses, closing: bool = False, ceiling: int = CEILING, margin: float = 0.05
    ) -> Step:
        """The next turn, which is answered so; without an answer by what the script says already."""
        if answers:

            async def script(asked: Asked) -> Says | Refuses:
                return answers[0]

            self.api.script = script
        funded = FundedTurn(
            granted_run_id="r",
            turn=1,
            ceiling_tokens=ceiling,
            closing=closing,
            margin=margin,
            messages=self.messages,
        )
        step = await take(self.claude, MODEL, self.desk, "design", funded, self._request)
        self.messages += step.messages
        return step

    @property
    def said(self) -> str:
        """The newest message's first text."""
        return str(self.messages[-1].blocks[0].get("text"))

    @contextmanager
    def _request(self) -> Iterator[None]:
        self.requests += 1
        yield


@pytest.fixture
async def talk() -> AsyncIterator[Talk]:
    async with fake_api() as api:
        claude = Claude(SecretStr(KEY), api.url)
        yield Talk(api, claude)
        await claude.aclose()


def results(message: Message) -> list[tuple[JsonValue, JsonValue, JsonValue]]:
    return [(block["tool_use_id"], block["content"], block["is_error"]) for block in message.blocks]


async def test_a_conversation_grows_at_its_end_alone_and_ends_with_the_submitted_strategy(talk: Talk) -> None:
    first = await talk.turn(Says(blocks=(thinks("hm"), tool("look", text="a"))))
    assert [message.role for message in first.messages] == ["user", "assistant", "user"]
    assert results(talk.messages[-1]) == [("toolu_look", "Nothing there.", False)]
    talk.desk.opening, talk.desk.answer = "Something else meanwhile.", "Other."
    await talk.turn(Says(blocks=(thinks(), tool("look", text="b"))))
    last = await talk.turn(Says(blocks=(thinks("so"), tool("submit", text="c"))))
    assert last.outcome
    assert (last.outcome.strategy, last.outcome.hypothesis) == (STRATEGY, "that it is small")
    assert talk.desk.used == [("look", {"text": "a"}), ("look", {"text": "b"}), ("submit", {"text": "c"})]
    sent = [asked.body["messages"] for asked in talk.api.asked]
    assert [one[: len(sent[0])] for one in sent] == [sent[0]] * 3
    assert [asked.turn for asked in talk.api.asked] == [1, 2, 3]
    assert last.usage == talk.api.bills[-1].usage


async def test_an_answer_without_a_tool_is_asked_to_call_one(talk: Talk) -> None:
    await talk.turn(Says())
    assert "call a tool" in talk.said


async def test_a_stop_reason_that_nobody_knows_goes_on_as_any_other(talk: Talk) -> None:
    await talk.turn(Says(blocks=(tool("look", text="a"),), stop_reason="bored"))
    assert results(talk.messages[-1])[0][1] == "Nothing there."


async def test_a_paused_answer_is_sent_back_as_it_is(talk: Talk) -> None:
    await talk.turn(Says(stop_reason="pause_turn"))
    assert [message.role for message in talk.messages] == ["user", "assistant"]
    await talk.turn(Says())
    assert talk.api.asked[1].body["messages"][-1]["role"] == "assistant"


async def test_an_answer_that_was_cut_off_is_left_out_and_the_model_is_told(talk: Talk) -> None:
    step = await talk.turn(Says(blocks=(thinks("for long"), tool("submit", text="c")), stop_reason="max_tokens"))
    assert (step.outcome, step.ended, talk.desk.used) == (None, None, [])
    assert "cut off" in talk.said
    assert step.usage == talk.api.bills[0].usage
    assert (await talk.turn(Says(blocks=(tool("submit", text="c"),)))).outcome


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("refusal", ErrorCode.DESIGN_REFUSED),
        ("model_context_window_exceeded", ErrorCode.DESIGN_INVALID),
    ],
)
async def test_what_no_further_turn_can_mend_ends_the_conversation_and_is_billed(
    talk: Talk, reason: str, code: ErrorCode
) -> None:
    step = await talk.turn(Says(blocks=(tool("submit", text="c"),), stop_reason=reason))
    assert step.ended
    assert (step.ended.code, step.outcome, talk.desk.used) == (code, None, [])
    assert step.usage == talk.api.bills[0].usage


@pytest.mark.parametrize("arguments", ['{"text": ', '["text"]', '{"text": NaN}', '{"text": "\\ud800"}', "[" * 5_000])
async def test_arguments_that_are_no_json_object_are_not_used_and_the_conversation_goes_on(
    talk: Talk, arguments: str
) -> None:
    step = await talk.turn(Says(blocks=({**tool("look"), "input": arguments},)))
    assert talk.desk.used == []
    assert "left out" in talk.said
    assert step.usage == talk.api.bills[0].usage
    assert (await talk.turn(Says(blocks=(tool("submit", text="c"),)))).outcome


@pytest.mark.parametrize(
    "blocks", [(), ({"type": "text", "text": ""},), ({**tool("look"), "id": ""},), ({**tool("look"), "id": "x" * 900},)]
)
async def test_an_answer_that_could_not_be_sent_back_is_left_out(
    talk: Talk, blocks: tuple[dict[str, JsonValue], ...]
) -> None:
    await talk.turn(Says(blocks=blocks))
    assert "left out" in talk.said
    assert talk.desk.used == []


async def test_an_answer_of_two_megabytes_is_billed_and_left_out(talk: Talk) -> None:
    step = await talk.turn(Says(blocks=({"type": "text", "text": "x" * 2_000_000},), usage={"output_tokens": 500_000}))
    assert "too long" in talk.said
    assert step.usage
    assert step.usage.output == 500_000


async def test_a_tool_that_does_not_exist_is_told_and_not_used(talk: Talk) -> None:
    await talk.turn(Says(blocks=({**tool("os.system", command="rm -rf /"), "id": "toolu_0"}, tool("look", text="a"))))
    (_, words, is_error), (_, found, _) = results(talk.messages[-1])
    assert is_error
    assert "look, submit" in str(words)
    assert (found, talk.desk.used) == ("Nothing there.", [("look", {"text": "a"})])


async def test_after_the_end_and_beyond_what_a_turn_may_no_tool_is_run(talk: Talk) -> None:
    step = await talk.turn(Says(blocks=(tool("look"), tool("submit"), tool("submit"), tool("look"))))
    assert step.outcome
    assert [name for name, _ in talk.desk.used] == ["look", "submit"]
    another = Talk(talk.api, talk.claude)
    await another.turn(Says(blocks=tuple({**tool("look"), "id": f"toolu_{n}"} for n in range(MAX_TOOLS + 3))))
    assert len(another.desk.used) == MAX_TOOLS
    assert [is_error for _, _, is_error in results(another.messages[-1])] == [False] * MAX_TOOLS + [True] * 3


@pytest.mark.parametrize("words", ["x" * 1_000_000, "\x00" * 1_000_000, "\ud800"])
async def test_what_a_tool_says_is_bounded(talk: Talk, words: str) -> None:
    talk.desk.answer = words
    await talk.turn(Says(blocks=tuple({**tool("look"), "id": f"toolu_{n}"} for n in range(MAX_TOOLS))))
    assert talk.messages[-1].size < MAX_MESSAGE
    assert (await talk.turn(Says(blocks=(tool("submit"),)), ceiling=100_000)).outcome


async def test_a_conversation_never_outgrows_what_one_payload_may_hold(talk: Talk) -> None:
    long = Says(blocks=({"type": "text", "text": "x" * (MAX_MESSAGE - 1_000)},))
    for _ in range(6):
        await talk.turn(long, ceiling=10_000_000)
    assert "too long" in talk.said
    assert sum(message.size for message in talk.messages) < MAX_CONVERSATION


async def test_the_last_turn_is_told_that_it_is(talk: Talk) -> None:
    await talk.turn(Says())
    await talk.turn(Says(), closing=True)
    assert talk.api.asked[1].body["messages"][-1]["content"][0]["text"] == CLOSING
    assert talk.messages[3].blocks[0]["text"] == CLOSING


async def test_a_small_prompt_is_bounded_by_its_bytes_and_not_counted(talk: Talk) -> None:
    step = await talk.turn(Says())
    assert talk.api.counted == 0
    assert step.counted > talk.api.asked[0].tokens
    assert with_margin(step.counted, 0.05) + talk.api.asked[0].body["max_tokens"] <= CEILING
    assert talk.api.asked[0].body["max_tokens"] == LONGEST_ANSWER


async def test_a_larger_prompt_is_counted_and_gets_the_margin(talk: Talk) -> None:
    talk.desk.opening = "word " * 9_000
    step = await talk.turn(Says(), margin=0.2)
    asked = talk.api.asked[0]
    assert (talk.api.counted, step.counted) == (1, asked.tokens)
    assert with_margin(asked.tokens, 0.2) + asked.body["max_tokens"] == CEILING


async def test_a_request_that_could_exceed_its_ceiling_is_not_made(talk: Talk) -> None:
    talk.desk.opening = "word " * 15_500
    with pytest.raises(ResearchError, match="no room") as raised:
        await talk.turn(Says())
    assert raised.value.code is ErrorCode.ANTHROPIC_REQUEST
    assert (talk.requests, talk.api.asked) == (0, [])


@pytest.mark.parametrize(
    ("refuses", "code"),
    [
        (Refuses(529, "overloaded_error"), ErrorCode.ANTHROPIC_ERROR),
        (Refuses(500, body="<html></html>"), ErrorCode.ANTHROPIC_ERROR),
        (Refuses(401, "authentication_error"), ErrorCode.ANTHROPIC_AUTH),
        (Refuses(404, "not_found_error"), ErrorCode.ANTHROPIC_REQUEST),
    ],
)
async def test_a_count_that_fails_costs_nothing(talk: Talk, refuses: Refuses, code: ErrorCode) -> None:
    talk.desk.opening = "word " * 6_000
    talk.api.count = lambda asked: refuses
    with pytest.raises(ResearchError) as raised:
        await talk.turn(Says())
    assert raised.value.code is code
    assert (talk.requests, talk.api.asked) == (0, [])


async def test_an_answer_over_its_ceiling_is_told_in_full_and_logged(
    talk: Talk, caplog: pytest.LogCaptureFixture
) -> None:
    step = await talk.turn(Says(usage={"input_tokens": 30_000, "output_tokens": 40_000}))
    assert step.usage == CallUsage(model=MODEL, input=30_000, output=40_000)
    assert "over its ceiling of 20000" in caplog.text


async def test_neither_the_key_nor_what_is_said_is_logged(talk: Talk, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        await talk.turn(Says())
    assert KEY not in caplog.text
    assert talk.desk.opening not in caplog.text
