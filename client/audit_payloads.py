"""The payloads of a cycle's history of which an audit asks, and what tokens cost by the price that a cycle carries.

Only what is asked for is parsed, from plain JSON; what is not as it should be raises ValueError.
"""

import re
from decimal import Decimal
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from temporalio.api.common.v1 import Payloads

MOST_TOKENS = 10**12
_MILLION = Decimal(1_000_000)

_Rate = Annotated[Decimal, Field(ge=0, le=10_000, decimal_places=4)]
"""Dollars for a million tokens."""


class Loose(BaseModel):
    """A part of a payload; what we don't ask for is passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Rates(Loose):
    """Of one tier: for prompts of more than `prompt_over` tokens."""

    prompt_over: int = Field(0, ge=0)
    input: _Rate
    cache_write: _Rate
    cache_write_1h: _Rate
    cache_read: _Rate
    output: _Rate


class Price(Loose):
    """What the cycle's model costs; the shortest prompts first."""

    model: str = Field(max_length=80)
    rates: tuple[Rates, ...] = Field(min_length=1)


class Request(Loose):
    """budget_scope: which ledger the cycle is under. model: else the designer's name stands for it."""

    designer: str = Field(max_length=80)
    model: str | None = Field(None, max_length=80)
    budget_scope: str | None = None


class StartInput(Loose):
    """What the cycle was started with."""

    request: Request
    price: Price | None = None


class TurnInput(Loose):
    """One turn of a conversation. granted_run_id: the run whose money it spends."""

    granted_run_id: str = Field(min_length=1, max_length=80)
    ceiling_tokens: int = Field(0, ge=0, le=MOST_TOKENS)


class Usage(Loose):
    """Tokens by class; cache_write_1h is a part of cache_write. off_list: served otherwise than prices are for."""

    model: str = Field(max_length=80)
    input: int = Field(0, ge=0, le=MOST_TOKENS)
    cache_write: int = Field(0, ge=0, le=MOST_TOKENS)
    cache_write_1h: int = Field(0, ge=0, le=MOST_TOKENS)
    cache_read: int = Field(0, ge=0, le=MOST_TOKENS)
    output: int = Field(0, ge=0, le=MOST_TOKENS)
    off_list: bool = False


class AnswerResult(Loose):
    """A turn's answer. usage: None where it doesn't tell, which counts as its ceiling."""

    usage: Usage | None = None


class OpenSent(Loose):
    """An envelope that is asked for. key: its name."""

    run_id: str
    key: str


class RecordSent(Loose):
    """A record on its way to the ledger: the call that it names."""

    run_id: str
    envelope_key: str
    seq: int


class ClosedHeard(Loose):
    """The ledger's receipt for an envelope."""

    run_id: str
    key: str


class LedgerInput(Loose):
    """What a ledger was started with. spent: in place of one that was ended, with the days that it knew as spent."""

    spent: bool = False


P = TypeVar("P", bound=Loose)


def bill(price: Price, usage: Usage) -> Decimal | None:
    """What the usage costs: a prompt that is longer than a tier's bound has that tier's rates for everything. None
    where another model answered than the one that has this price, or not at list prices.
    """
    if usage.off_list or not re.fullmatch(re.escape(price.model) + r"(-\d{8})?", usage.model):
        return None
    prompt = usage.input + usage.cache_write + usage.cache_read
    rates = price.rates[0]
    for tier in price.rates[1:]:
        if prompt > tier.prompt_over:
            rates = tier
    short_lived = usage.cache_write - usage.cache_write_1h
    by_class = (
        (usage.input, rates.input),
        (short_lived, rates.cache_write),
        (usage.cache_write_1h, rates.cache_write_1h),
        (usage.cache_read, rates.cache_read),
        (usage.output, rates.output),
    )
    return sum((tokens * rate for tokens, rate in by_class), Decimal(0)) / _MILLION


def at_most(price: Price, tokens: int) -> Decimal:
    """What so many tokens can cost, all of them of the dearest class and in the dearest tier that they reach."""
    within = [price.rates[0], *(tier for tier in price.rates[1:] if tokens > tier.prompt_over)]
    return (
        max(
            tokens * rate
            for tier in within
            for rate in (tier.input, tier.cache_write, tier.cache_write_1h, tier.cache_read, tier.output)
        )
        / _MILLION
    )


def parsed(form: type[P], payloads: Payloads) -> P:
    """The first payload, which is plain JSON. Raises ValueError."""
    if not payloads.payloads:
        raise ValueError("a payload is missing")
    payload = payloads.payloads[0]
    if payload.metadata.get("encoding") != b"json/plain":
        raise ValueError(f"a payload is encoded as {payload.metadata.get('encoding', b'')[:40]!r}, not as JSON")
    return form.model_validate_json(payload.data)


def says(payloads: Payloads, word: str) -> bool:
    """Whether this word, in plain JSON, is all that there is."""
    return [payload.data for payload in payloads.payloads] == [f'"{word}"'.encode()]
