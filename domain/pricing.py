"""What a model's tokens cost: a price table by model, with its date and source.

A bill is never guessed low. A model that isn't in the table has no price (a ledger with a limit in dollars refuses it),
and a ceiling is priced at the dearest class that its tokens could turn out to be: output, a one-hour cache write, or
the tier of long prompts. Prices are those of the API's standard service; a call must not ask for a dearer one (other
geographies, fast modes), and one that was served so all the same has no price here. Dollars are Decimal, exact.
"""

import re
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Annotated

from pydantic import Field

from domain.cycle import CallUsage
from domain.results import Frozen

_MILLION = Decimal(1_000_000)
Rate = Annotated[Decimal, Field(ge=0, le=10_000, decimal_places=4)]


class Rates(Frozen):
    """Dollars per million tokens, for prompts of more than `prompt_over` tokens."""

    prompt_over: int = Field(0, ge=0)
    input: Rate
    cache_write: Rate = Field(description="kept for five minutes")
    cache_write_1h: Rate
    cache_read: Rate
    output: Rate

    @property
    def dearest(self) -> Decimal:
        """The rate that no token of a call can exceed."""
        return max(self.input, self.cache_write, self.cache_write_1h, self.cache_read, self.output)


class Price(Frozen):
    """A model's price. rates: by length of the prompt, the shortest first; those of a long one hold for every token."""

    model: str = Field(max_length=80)
    as_of: date
    source: str
    rates: tuple[Rates, ...] = Field(min_length=1)

    def cost(self, usage: CallUsage) -> Decimal | None:
        """What a call with this usage is billed; None where another model answered, or not at list prices. A dated
        name is the same model.
        """
        if usage.off_list or re.sub(r"-\d{8}$", "", usage.model) != self.model:
            return None
        prompt = usage.input + usage.cache_write + usage.cache_read
        rates = [tier for tier in self.rates if tier.prompt_over == 0 or prompt > tier.prompt_over][-1]
        return (
            usage.input * rates.input
            + (usage.cache_write - usage.cache_write_1h) * rates.cache_write
            + usage.cache_write_1h * rates.cache_write_1h
            + usage.cache_read * rates.cache_read
            + usage.output * rates.output
        ) / _MILLION

    def ceiling(self, tokens: int) -> Decimal:
        """What a call of so many tokens, of whatever classes, is billed at most."""
        reachable = [tier.dearest for tier in self.rates if tier.prompt_over == 0 or tokens > tier.prompt_over]
        return tokens * max(reachable) / _MILLION


def _rates(price_in: str, price_out: str, write: str, write_1h: str, read: str, prompt_over: int = 0) -> Rates:
    return Rates(
        prompt_over=prompt_over,
        input=Decimal(price_in),
        output=Decimal(price_out),
        cache_write=Decimal(write),
        cache_write_1h=Decimal(write_1h),
        cache_read=Decimal(read),
    )


_AS_OF = date(2026, 11, 1)
_SOURCE = "Anthropic's published prices, standard service"

PRICES = {
    price.model: price
    for price in (
        Price(model="claude-opus-5-5", as_of=_AS_OF, source=_SOURCE, rates=(_rates("4", "20", "5", "8", "0.20"),)),
        Price(model="claude-sonnet-5-5", as_of=_AS_OF, source=_SOURCE, rates=(_rates("2", "10", "2.5", "4", "0.10"),)),
        Price(
            model="claude-haiku-5-5",
            as_of=_AS_OF,
            source=_SOURCE,
            rates=(
                _rates("0.10", "0.50", "0.125", "0.20", "0.01"),
                _rates("0.50", "2.50", "0.625", "1.00", "0.05", prompt_over=100_000),
            ),
        ),
        Price(
            model="claude-fable-5-1", as_of=_AS_OF, source=_SOURCE, rates=(_rates("10", "50", "12.5", "20", "0.25"),)
        ),
    )
}
"""By the model's exact name: one that only resembles a known name may cost anything."""


ALIASES = {
    "opus": "claude-opus-5-5",
    "sonnet": "claude-sonnet-5-5",
    "haiku": "claude-haiku-5-5",
    "fable": "claude-fable-5-1",
}
"""Short names of the models that are current."""

DEFAULT_MODEL = ALIASES["sonnet"]


def model_named(name: str) -> str:
    """The model's exact name, as it is called and priced; a full name is its own."""
    return ALIASES.get(name.lower(), name)


def price_of(model: str | None, own: Iterable[Price] = ()) -> Price | None:
    """The price of a model; None where none is known. own: somebody's own prices, which take the place of these."""
    if not model:
        return None
    return {**PRICES, **{price.model: price for price in own}}.get(model)
