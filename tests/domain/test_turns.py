"""Messages are bounded, and how large the next prompt will be is known from what an answer used and added."""

import pytest
from pydantic import JsonValue, ValidationError

from domain.cycle import CallUsage
from domain.turns import MAX_MESSAGE, Answer, Message, next_prompt

USAGE = CallUsage(model="m", input=500, cache_write=1_500, cache_read=8_000, output=700)


def said(role: str, text: str) -> Message:
    return Message.model_validate({"role": role, "blocks": [{"type": "text", "text": text}]})


@pytest.mark.parametrize(
    "blocks",
    [
        (),
        ({"type": "text", "text": "x" * MAX_MESSAGE},),
        ({"type": "text", "text": "é" * (MAX_MESSAGE // 2)},),
        ({"type": "text", "text": "\ud800"},),
        ({"type": "tool_use", "input": {"x": float("nan")}},),
    ],
    ids=["empty", "long", "long-in-bytes", "no-text", "no-number"],
)
def test_a_message_that_could_not_be_kept_or_sent_is_none(blocks: tuple[dict[str, JsonValue], ...]) -> None:
    with pytest.raises(ValidationError):
        Message(role="user", blocks=blocks)


def test_an_answer_that_was_kept_is_part_of_the_next_prompt_and_so_is_what_was_said_to_it() -> None:
    told = said("user", "x" * 1_000)
    answer = Answer(usage=USAGE, counted=10_100, messages=(said("user", "the opening"), said("assistant", "a"), told))
    assert next_prompt(answer) == 10_000 + 700 + told.size // 2


def test_an_answer_that_was_left_out_is_not() -> None:
    told = said("user", "left out")
    assert next_prompt(Answer(usage=USAGE, counted=10_100, messages=(told,))) == 10_000 + told.size // 2


def test_a_prompt_that_was_estimated_too_low_will_be_again() -> None:
    assert next_prompt(Answer(usage=USAGE, counted=6_000, messages=(said("assistant", "a"),))) == 6_000 + 700


@pytest.mark.parametrize("answer", [Answer(), Answer(usage=USAGE), Answer(counted=5)])
def test_of_an_answer_that_does_not_tell_nothing_is_known(answer: Answer) -> None:
    assert next_prompt(answer) == 0
