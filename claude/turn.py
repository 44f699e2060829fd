"""One turn of a conversation: one request, and the tools that its answer asks for.

A conversation only ever grows at its end, as newer models demand, and by whole answers: one that was cut off, or can't
be sent back as it came, is left out, and the model is told why. What ends a conversation is a tool's final outcome; a
refusal, for asked again the model would be paid to refuse again; and a prompt that has filled the model's context,
which every further turn would only lengthen.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from pydantic import JsonValue

from claude.call import Claude, Question
from claude.ceiling import fitted
from claude.desk import Desk, Outcome
from claude.stream import Block, Heard, Unfit
from domain.cycle import CallUsage
from domain.errors import ErrorCode
from domain.pricing import DEFAULT_MODEL, model_named
from domain.turns import MAX_CONVERSATION, MAX_MESSAGE, Ended, FundedTurn, Message

MAX_TOOLS = 8
"""Tools that are run of one answer."""

MAX_RESULT = 12_000
"""Characters of one tool's result."""

MAX_RESULTS = 32_000
"""Characters of the results of one answer's tools, together."""

CLOSING = (
    "Take this for your last turn: there may be no money for another. Call the submit tool now, with the best that you "
    "have. Without that all the work so far is lost."
)

log = logging.getLogger("claude")


@dataclass(frozen=True)
class Step:
    """What a turn came to. outcome: the final one of a tool, if there was one."""

    usage: CallUsage | None
    counted: int
    messages: tuple[Message, ...]
    outcome: Outcome | None = None
    ended: Ended | None = None


async def take(
    claude: Claude,
    model: str | None,
    desk: Desk,
    phase: str,
    turn: FundedTurn,
    request: Callable[[], AbstractContextManager[None]],
) -> Step:
    """Ask, and do what is asked for. request: around the request that can be billed, and nothing else.

    Errors: those of `Claude.answer`, of the desk's tools, and of `request`.
    """
    added: tuple[Message, ...] = ()
    if not turn.messages:
        # Kept with all else, so that it is the same at every turn, whatever has changed meanwhile.
        added += (_said(await asyncio.to_thread(lambda: desk.opening)),)
    if turn.closing:
        added += (_said(CLOSING),)
    conversation = (*turn.messages, *added)
    question = Question(
        model=model_named(model or DEFAULT_MODEL),
        system=desk.system,
        tools=desk.tools,
        messages=tuple((message.role, message.blocks) for message in conversation),
    )
    counted, max_tokens = await fitted(claude, question, turn.ceiling_tokens, turn.margin)
    with request():
        heard = await claude.answer(question, max_tokens)
    _watch(heard.usage, turn, phase)
    if ended := _end(heard, phase):
        return Step(heard.usage, counted, added, ended=ended)
    try:
        answer = _kept(heard, sum(message.size for message in conversation))
    except Unfit as unfit:
        return Step(heard.usage, counted, (*added, _said(f"Your last answer was left out: {unfit}. Go on without it.")))
    reply, outcome = await _reply(desk, answer, heard.stop_reason)
    return Step(heard.usage, counted, (*added, answer, *reply), outcome=outcome)


def _kept(heard: Heard, so_far: int) -> Message:
    if heard.stop_reason == "max_tokens":
        raise Unfit("it was cut off, for it was longer than this turn could pay for; be shorter")
    answer = heard.message()
    if so_far + answer.size > MAX_CONVERSATION - MAX_MESSAGE:
        raise Unfit("the conversation has become too long for it")
    return answer


def _end(heard: Heard, phase: str) -> Ended | None:
    """Why there is no use in going on."""
    if heard.stop_reason == "refusal":
        code = ErrorCode.DESIGN_REFUSED if phase == "design" else ErrorCode.ASSESS_REFUSED
        return Ended(code=code, message=f"Claude refused to {phase}; start the cycle again with another brief")
    if heard.stop_reason == "model_context_window_exceeded":
        code = ErrorCode.DESIGN_INVALID if phase == "design" else ErrorCode.INTERNAL_ERROR
        return Ended(
            code=code,
            message=f"The {phase} conversation has filled the model's context window; start the cycle again with a "
            "shorter brief, or a model with a longer one",
        )
    return None


async def _reply(desk: Desk, answer: Message, stop_reason: str | None) -> tuple[tuple[Message, ...], Outcome | None]:
    """What the user's side says to an answer: the results of its tools, or that one has to be called."""
    calls = [block for block in answer.blocks if block.get("type") == "tool_use"]
    if not calls:
        if stop_reason == "pause_turn":
            return (), None  # the API asks to be sent the answer as it is, and goes on
        return (_said("Go on: call a tool. The work ends only with the submit tool."),), None
    outcomes: list[Outcome] = []
    for call in calls:
        if len(outcomes) == MAX_TOOLS or any(outcome.final for outcome in outcomes):
            break
        outcomes.append(await asyncio.to_thread(_use, desk, call))
    not_run = Outcome(text=f"Not run: at most {MAX_TOOLS} tools in a turn, and none after the end.", is_error=True)
    told = list(zip(calls, outcomes + [not_run] * (len(calls) - len(outcomes)), strict=True))
    longest = min(MAX_RESULT, MAX_RESULTS // len(told))
    results = Message(role="user", blocks=tuple(_result(call, outcome, longest) for call, outcome in told))
    return (results,), next((outcome for outcome in outcomes if outcome.final), None)


def _use(desk: Desk, call: Block) -> Outcome:
    arguments: JsonValue = call.get("input")
    name = str(call.get("name"))
    if name not in {tool.name for tool in desk.tools}:
        known = ", ".join(tool.name for tool in desk.tools)
        return Outcome(text=f"There is no tool {name[:80]!r}. The tools are {known}.", is_error=True)
    return desk.use(name, arguments)


def _result(call: Block, outcome: Outcome, longest: int) -> Block:
    text = outcome.text.encode(errors="replace").decode()
    text = text if len(text) <= longest else f"{text[:longest]}\n(cut here)"
    return {"type": "tool_result", "tool_use_id": call.get("id"), "content": text, "is_error": outcome.is_error}


def _said(text: str) -> Message:
    return Message(role="user", blocks=({"type": "text", "text": text},))


def _watch(usage: CallUsage | None, turn: FundedTurn, phase: str) -> None:
    """A bill over its ceiling breaks what the ledger promises, and has to be seen."""
    if usage and usage.total > turn.ceiling_tokens:
        log.error(
            "turn %s of %s was billed %s tokens, over its ceiling of %s: it is charged in full, and the margin of "
            "later prompts grows",
            *(turn.turn, phase, usage.total, turn.ceiling_tokens),
        )
