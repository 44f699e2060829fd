"""What a request may cost at most: a bound of its prompt, and room for the answer in what is left of the ceiling."""

import json

from claude.call import Claude, Question
from domain.ceilings import LONGEST_ANSWER, with_margin
from domain.errors import ErrorCode, ResearchError

LEAST_ANSWER = 1_024
"""Tokens without which no answer is worth asking for."""

HIDDEN = 1_000
"""Tokens that the API adds to a prompt with tools, and more."""


async def fitted(claude: Claude, question: Question, ceiling: int, margin: float) -> tuple[int, int]:
    """The prompt's estimated tokens, and the answer's `max_tokens`, such that both together keep to the ceiling.

    No token is shorter than a byte, which bounds a small prompt. Where that leaves less than the longest answer, the
    API counts the prompt, which is an estimate and gets the margin. Errors: anthropic_request where the prompt leaves
    no room; those of `Claude.count`.
    """
    counted = bytes_of(question) + HIDDEN
    if with_margin(counted, margin) + LONGEST_ANSWER > ceiling:
        counted = min(counted, await claude.count(question))
    room = ceiling - with_margin(counted, margin)
    if room < LEAST_ANSWER:
        raise ResearchError(
            ErrorCode.ANTHROPIC_REQUEST,
            f"A prompt of about {counted:,} tokens leaves no room for an answer in a ceiling of {ceiling:,}, so it was "
            "not sent. Start the cycle again with a shorter brief or higher caps (docs/budget.md).",
        )
    return counted, min(room, LONGEST_ANSWER)


def bytes_of(question: Question) -> int:
    """Bytes of all that is said, as JSON."""
    return len(json.dumps(question.params(), ensure_ascii=False).encode())
