"""One call of Claude through the anthropic SDK: what is asked, and what is heard of the answer.

The SDK tries nothing again by itself: every attempt is paid for by the workflow. An answer is streamed, so that one
that breaks off has told what its prompt was billed.
"""

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

import anthropic
import httpx2
from anthropic.types import RawMessageStreamEvent
from opentelemetry.trace import TracerProvider
from pydantic import BaseModel, SecretStr

from claude.desk import Tool
from claude.failures import broken, free, late, lost, refusal
from claude.stream import Block, Heard
from domain.cycle import MAX_TOKENS
from domain.errors import ErrorCode, ResearchError
from domain.pricing import PRICES

PATIENCE = 120.0
"""Seconds for one call, from the request to the last word of the answer."""

COUNTING = 15.0
"""Seconds for the count before it, so that both fit into an attempt of the activity."""

CONNECTING = 10.0
"""Seconds for a connection; without one nothing is asked."""

EFFORT = "medium"
"""What some models take by default and others exceed, so that their thinking alone would use up a turn. A model that is
not in the price table may not know the word."""

_KEPT_FOR_5_MINUTES = {"type": "ephemeral"}
"""Marks the end of what the API keeps, for five minutes: the turns of a conversation follow each other sooner."""

log = logging.getLogger("claude")


@dataclass(frozen=True)
class Question:
    """All that a request says. messages: (role, blocks)."""

    model: str
    system: str
    tools: tuple[Tool, ...]
    messages: tuple[tuple[str, tuple[Block, ...]], ...]

    def params(self) -> dict[str, Any]:
        """As the API takes it. Tools are never forced: the newest models refuse that."""
        known = {"output_config": {"effort": EFFORT}} if self.model in PRICES else {}
        return {
            **known,
            "model": self.model,
            "system": [{"type": "text", "text": self.system, "cache_control": _KEPT_FOR_5_MINUTES}],
            "tools": [{**tool.model_dump(mode="json"), "strict": True} for tool in self.tools],
            "messages": [{"role": role, "content": list(blocks)} for role, blocks in self.messages],
            "cache_control": _KEPT_FOR_5_MINUTES,
        }


class Claude:
    """The API, for a worker's life. To be closed with it.

    traces: where the SDK writes a span of each call, without a word of what is said; None: nowhere.
    """

    def __init__(
        self, key: SecretStr, base_url: str, patience: float = PATIENCE, traces: TracerProvider | None = None
    ) -> None:
        self._key = key
        self._patience = patience
        # A connection is used once: one that was kept may be dead, which would only be seen after the request went out.
        # No redirect is followed: a request is one request.
        self._client = anthropic.AsyncAnthropic(
            api_key=key.get_secret_value(),
            base_url=base_url,
            max_retries=0,
            open_telemetry=_spans(traces),
            timeout=httpx2.Timeout(patience, connect=CONNECTING, pool=CONNECTING),
            http_client=anthropic.DefaultAsyncHttpxClient(
                follow_redirects=False, limits=httpx2.Limits(max_connections=1000, max_keepalive_connections=0)
            ),
        )

    async def aclose(self) -> None:
        """Let go of the connections."""
        await self._client.close()

    async def count(self, question: Question) -> int:
        """The API's estimate of the question's tokens, which costs nothing.

        Errors: those that cost nothing; what would else be a lost answer is anthropic_error.
        """
        try:
            async with asyncio.timeout(min(self._patience, COUNTING)):
                counted = await self._client.messages.count_tokens(**question.params())
        except (TimeoutError, ValueError) as error:
            raise ResearchError(ErrorCode.ANTHROPIC_ERROR, f"The API did not count the prompt: {error!r}") from error
        except anthropic.APIStatusError as error:
            raise free(self._told(refusal(error))) from error
        except anthropic.APIConnectionError as error:
            raise free(broken(error)) from error
        tokens = getattr(counted, "input_tokens", None)
        if not isinstance(tokens, int) or not 0 < tokens <= MAX_TOKENS:
            raise ResearchError(ErrorCode.ANTHROPIC_ERROR, f"The API counts the prompt's tokens as {tokens!r:.80}")
        return tokens

    async def answer(self, question: Question, max_tokens: int) -> Heard:
        """The whole answer. To be called inside `Billable.request`. Errors: the table of failures.py."""
        heard = Heard()
        log.debug("asking %s: %s", question.model, question)
        try:
            async with asyncio.timeout(self._patience):
                await self._listen(question, max_tokens, heard)
        except TimeoutError as error:
            raise late(f"it did not come to its end within {self._patience:g} s") from error
        log.debug("answered: %s", heard)
        return heard

    async def _listen(self, question: Question, max_tokens: int, heard: Heard) -> None:
        try:
            stream = await self._client.messages.create(
                **question.params(), max_tokens=max_tokens, service_tier="standard_only", stream=True
            )
        except anthropic.APIStatusError as error:
            raise self._told(refusal(error)) from error
        except anthropic.APIConnectionError as error:
            raise broken(error) from error
        try:
            async with stream:
                event: RawMessageStreamEvent
                async for event in stream:
                    if isinstance(event, BaseModel):
                        heard.take(event.model_dump(exclude_unset=True, warnings=False))
        except (anthropic.APIError, httpx2.HTTPError, ValueError) as error:
            # What its prompt was billed is told, and the whole ceiling stays charged all the same: the rest of it is
            # the answer's, which may have been written to its end, but for what the prompt's bound had to spare.
            why = f"{type(error).__name__}: {str(error)[:500]}"
            raise self._told(lost(f"it broke off after {_so_far(heard)}: {why}")) from error
        if not heard.complete:
            raise lost(f"it came to an early end, after {_so_far(heard)}")

    def _told(self, error: ResearchError) -> ResearchError:
        """The failure in words without the key, should the API have repeated it, and without what could command the
        terminal that a worker logs to.
        """
        message = error.message.replace(self._key.get_secret_value(), "[the key]")
        seen = "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in message)
        return ResearchError(error.code, seen, error.retry_after)


def _spans(traces: TracerProvider | None) -> anthropic.OpenTelemetryOptions:
    """Given whole, so that the SDK asks no environment. The trace's id is told to nobody else."""
    return {"traces": True, "propagation": False, "tracer_provider": traces} if traces else {"traces": False}


def _so_far(heard: Heard) -> str:
    return "no word" if heard.prompt is None else f"it told that its prompt is billed {heard.prompt:,} tokens"
