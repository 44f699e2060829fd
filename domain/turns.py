"""What passes between a cycle and its designer and assessor, turn by turn. The offline ones end in one turn."""

import json
from typing import Literal, Self

from pydantic import Field, JsonValue, model_validator

from domain.ceilings import INPUT_MARGIN
from domain.cycle import MAX_TOKENS, CallUsage, CycleRequest, CycleStatus, StrategyRef
from domain.errors import ErrorCode
from domain.results import Assessment, Frozen

MAX_MESSAGE = 250_000
"""Bytes of one message as JSON."""

MAX_CONVERSATION = 1_000_000
"""Bytes of all messages of a conversation together: a turn's input is one payload, and a payload has at most 2 MB."""


class Message(Frozen):
    """One message, its content blocks as the API has them.

    An answer's blocks are kept unchanged, in their order, or not at all: newer models refuse a conversation in which
    anything before a thinking block has changed since it was thought.
    """

    role: Literal["user", "assistant"]
    blocks: tuple[dict[str, JsonValue], ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _is_bounded(self) -> Self:
        if self.size > MAX_MESSAGE:
            raise ValueError(f"a message of {self.size:,} bytes; at most {MAX_MESSAGE:,}")
        return self

    @property
    def size(self) -> int:
        """Bytes as JSON."""
        return len(json.dumps(self.blocks, ensure_ascii=False, allow_nan=False).encode())


class FundedTurn(Frozen):
    """What every turn carries of the money that was taken for it, before it was asked for.

    granted_run_id: the run that the envelope was granted to. A turn that finds itself in another run (the cycle was
    reset) ends with envelope_stale before it spends anything.
    ceiling_tokens: the most that this attempt may be billed for, prompt and answer together. An attempt that could
    exceed it must not be made. 0: it must not call a model at all.
    closing: there is money for no further turn, so this one has to bring the result.
    margin: what is added to an estimate of the prompt's tokens, as a fraction; it has grown where one was too low.
    messages: the conversation so far. memory_snapshot: the state of the store that it began with.
    """

    granted_run_id: str
    turn: int = Field(ge=1)
    ceiling_tokens: int = Field(0, ge=0)
    closing: bool = False
    margin: float = Field(INPUT_MARGIN, ge=0)
    messages: tuple[Message, ...] = Field((), max_length=64)
    memory_snapshot: str | None = Field(None, max_length=80)


class DesignTurn(FundedTurn):
    """One turn of the designer."""

    request: CycleRequest


class AssessTurn(FundedTurn):
    """One turn of the assessor; the status holds the results and gates that it judges."""

    status: CycleStatus


class Ended(Frozen):
    """Why a conversation ended without a result, by an answer that was billed."""

    code: ErrorCode
    message: str = Field(max_length=2000)


class Answer(Frozen):
    """What every answer tells.

    usage: what was billed. None is of a turn without a ceiling; any other that does not tell is charged with its
    ceiling. counted: the prompt's tokens as they were estimated before the call, without margin. messages: what this
    turn has added to the conversation. ended: it ends here, without a result.
    """

    usage: CallUsage | None = None
    counted: int | None = Field(None, ge=0, le=MAX_TOKENS)
    messages: tuple[Message, ...] = Field((), max_length=8)
    memory_snapshot: str | None = Field(None, max_length=80)
    ended: Ended | None = None


class DesignAnswer(Answer):
    """What the designer answered: in the end a saved, valid strategy, with the memory it was made from."""

    strategy: StrategyRef | None = None
    hypothesis: str | None = Field(None, max_length=1000)


class AssessAnswer(Answer):
    """What the assessor answered: in the end an assessment."""

    assessment: Assessment | None = None


def next_prompt(answer: Answer) -> int:
    """About how many tokens the next turn's prompt will be estimated at. 0: nothing is known of it.

    An answer that was kept is part of it, and so is what was said after it, in which a token is hardly shorter than two
    bytes. An estimate that was too low will be so again, and the margin makes up for it.
    """
    if answer.usage is None or answer.counted is None:
        return 0
    told = min(answer.counted, answer.usage.prompt)
    roles = [message.role for message in answer.messages]
    if "assistant" not in roles:
        return told + sum(message.size for message in answer.messages[-1:]) // 2
    said = answer.messages[roles.index("assistant") + 1 :]
    return told + answer.usage.output + sum(message.size for message in said) // 2
