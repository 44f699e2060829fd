"""What an answer was billed, as its stream tells: in full or not at all, and never less than any of its words."""

from typing import Any

import pytest

from claude.stream import Heard
from domain.cycle import CallUsage

from .fake_api import MODEL

Json = dict[str, Any]

BEGUN: Json = {"input_tokens": 900, "cache_creation_input_tokens": 40, "cache_read_input_tokens": 300}


def billed(begun: Json, *ends: Json | None) -> CallUsage | None:
    """The usage of an answer that told this at its beginning and in each `message_delta`."""
    heard = Heard()
    heard.take({"type": "message_start", "message": {"model": MODEL, "usage": {**begun, "output_tokens": 1}}})
    heard.take({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "So."}})
    for usage in ends:
        heard.take({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage})
    assert heard.usage is None  # not before its end
    heard.take({"type": "message_stop"})
    return heard.usage


def test_the_end_tells_the_output_and_may_tell_more_of_the_prompt() -> None:
    usage = billed(BEGUN, {"output_tokens": 70, "input_tokens": 950, "cache_read_input_tokens": None})
    assert usage == CallUsage(model=MODEL, input=950, cache_write=40, cache_read=300, output=70)


@pytest.mark.parametrize("ends", [(), (None,), ({},), ({"input_tokens": 900},), ({"output_tokens": None},)])
def test_an_answer_whose_end_tells_no_output_has_told_nothing(ends: tuple[Json | None, ...]) -> None:
    assert billed(BEGUN, *ends) is None


def test_a_count_that_falls_is_not_what_was_billed() -> None:
    none = dict.fromkeys((*BEGUN, "output_tokens"), 0)
    assert billed(BEGUN, {"output_tokens": 70}, none) == billed(BEGUN, {"output_tokens": 70})


@pytest.mark.parametrize(
    ("served", "off_list"),
    [
        ({}, False),
        ({"inference_geo": "global", "speed": "standard", "service_tier": "standard"}, False),
        ({"inference_geo": "not_available", "speed": None}, False),
        ({"inference_geo": "us"}, True),
        ({"inference_geo": ["us"]}, True),
        ({"speed": "fast"}, True),
        ({"service_tier": "priority"}, True),
    ],
)
def test_an_answer_that_is_not_served_as_prices_are_for_says_so(served: Json, off_list: bool) -> None:
    usage = billed({**BEGUN, **served}, {"output_tokens": 70})
    assert usage
    assert usage.off_list is off_list
