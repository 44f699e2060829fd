"""How much of a phase's funds the next turn of a conversation may take. Pure rules over numbers of tokens.

A turn's ceiling shrinks to what is free, and every turn but the last leaves enough for one more, in which the result
has to be brought: no conversation is paid for that can't be brought to its end.
"""

import math
from typing import Self

from pydantic import Field, model_validator

from domain.results import Frozen

MAX_TURNS = 8
"""Turns of one conversation."""

INPUT_MARGIN = 0.05
"""What is added to an estimate of a prompt's tokens, as a fraction, until an answer shows that it is not enough."""

ANSWER_ROOM = 4_000
"""Tokens that a turn's ceiling should leave for its answer."""

LONGEST_ANSWER = 10_000
"""Tokens of an answer, thinking included: at 80 a second all that can be written in the two minutes of a call."""


class TurnBounds(Frozen):
    """most: tokens that one turn may take. closing: what the turn that brings the result needs, and no turn is less."""

    most: int = Field(30_000, ge=1)
    closing: int = Field(20_000, ge=1)

    @model_validator(mode="after")
    def _one_turn_can_close(self) -> Self:
        if self.most < self.closing:
            raise ValueError(
                f"most ({self.most}) is less than closing ({self.closing}), which one turn must be able to take"
            )
        return self

    def for_prompt(self, tokens: int, margin: float) -> Self:
        """The bounds of a turn whose prompt is estimated at so many tokens; 0: at nobody knows how many.

        Every turn has room for an answer, and none takes more than its prompt and the longest answer can come to.
        """
        if tokens == 0:
            return self
        prompt = with_margin(tokens, margin)
        closing = max(self.closing, prompt + ANSWER_ROOM)
        return self.model_copy(update={"closing": closing, "most": max(closing, prompt + LONGEST_ANSWER)})


def with_margin(tokens: int, margin: float) -> int:
    """An estimate, made an upper bound."""
    return math.ceil(tokens * (1 + margin))


def grown(margin: float, counted: int, billed: int) -> float:
    """The margin after a prompt that was estimated at `counted` tokens was billed `billed`.

    One that it did not cover raises it to half as much again as it should have been.
    """
    if counted < 1 or billed <= with_margin(counted, margin):
        return margin
    return 1.5 * (billed / counted - 1)


class TurnFunds(Frozen):
    """A turn that can be paid for. closing: it is the last one."""

    tokens: int = Field(ge=0)
    closing: bool


class TopUpNeeded(Frozen):
    """The phase may use more, but its envelope has not enough left, because answers were lost. tokens: to ask for."""

    tokens: int = Field(ge=1)


def next_turn(bounds: TurnBounds, turn: int, cap: int, settled: int, free: int) -> TurnFunds | TopUpNeeded | None:
    """The funds of a conversation's turn (from 1), what must be asked for first, or None: it has used up its cap.

    cap: what the conversation may use in all. settled: what it has used. free: what its envelope has left. What lost
    answers took is no use: where they left too little for a turn that brings the result, enough is asked for to fund
    this turn and one that closes. What the conversation used itself is not topped up.
    """
    closing = min(bounds.closing, cap)
    allowed = cap - settled
    if cap == 0:
        return TurnFunds(tokens=0, closing=turn == MAX_TURNS)
    if allowed < closing:
        return None
    usable = min(free, allowed)
    if turn < MAX_TURNS and usable >= 2 * closing:
        return TurnFunds(tokens=min(bounds.most, usable - closing), closing=False)
    if usable >= closing:
        return TurnFunds(tokens=min(bounds.most, usable), closing=True)
    wanted = bounds.most + closing if turn < MAX_TURNS else bounds.most
    return TopUpNeeded(tokens=min(wanted, allowed) - free)
