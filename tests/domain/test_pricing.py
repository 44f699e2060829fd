"""A bill is never guessed low: exact costs, ceilings at the dearest class, no price for a model that isn't known."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from domain.cycle import CallUsage
from domain.pricing import ALIASES, PRICES, model_named, price_of

COUNTS = st.integers(0, 400_000)


def test_each_class_of_tokens_costs_its_own_rate() -> None:
    price = price_of("claude-sonnet-5-5")
    assert price is not None
    million = 1_000_000
    usage = CallUsage(
        model="claude-sonnet-5-5",
        input=million,
        cache_write=2 * million,
        cache_write_1h=million,
        cache_read=million,
        output=million,
    )
    assert price.cost(usage) == Decimal("2") + Decimal("2.5") + Decimal("4") + Decimal("0.10") + Decimal("10")


def test_a_prompt_over_the_tier_costs_the_dearer_rate_for_every_token() -> None:
    price = price_of("claude-haiku-5-5")
    assert price is not None
    assert price.cost(CallUsage(model=price.model, input=100_000, output=1_000)) == Decimal("0.0105")
    assert price.cost(CallUsage(model=price.model, input=100_001, output=1_000)) == Decimal("0.0525005")


@pytest.mark.parametrize(
    ("answered", "cost"),
    [
        ("claude-sonnet-5-5", Decimal("2")),
        ("claude-sonnet-5-5-20260930", Decimal("2")),
        ("claude-sonnet-5-5-fast", None),
        ("claude-opus-5-5", None),
    ],
)
def test_what_another_model_answered_has_not_this_ones_price(answered: str, cost: Decimal | None) -> None:
    price = price_of("claude-sonnet-5-5")
    assert price is not None
    assert price.cost(CallUsage(model=answered, input=1_000_000)) == cost


def test_what_was_served_otherwise_than_prices_are_for_has_no_price() -> None:
    price = PRICES["claude-sonnet-5-5"]
    assert price.cost(CallUsage(model=price.model, input=1_000_000, off_list=True)) is None


@pytest.mark.parametrize("model", [None, "", "claude-sonnet", "claude-sonnet-5-5-fast", "gpt"])
def test_a_name_that_only_resembles_a_known_one_has_no_price(model: str | None) -> None:
    assert price_of(model) is None


@given(model=st.sampled_from(sorted(PRICES)), counts=st.tuples(COUNTS, COUNTS, COUNTS, COUNTS), hour=st.booleans())
def test_no_call_costs_more_than_its_ceiling(model: str, counts: tuple[int, int, int, int], hour: bool) -> None:
    prompt, write, read, output = counts
    usage = CallUsage(
        model=model,
        input=prompt,
        cache_write=write,
        cache_write_1h=write if hour else 0,
        cache_read=read,
        output=output,
    )
    cost = PRICES[model].cost(usage)
    assert cost is not None
    assert cost <= PRICES[model].ceiling(usage.total)


def test_a_part_of_the_cache_writes_is_no_more_than_the_whole() -> None:
    with pytest.raises(ValidationError, match="part of cache_write"):
        CallUsage(model="m", cache_write=1, cache_write_1h=2)


def test_somebodys_own_price_takes_the_place_of_ours() -> None:
    ours = PRICES["claude-opus-5-5"]
    own = ours.model_copy(update={"source": "our contract"})
    another = ours.model_copy(update={"model": "house-model"})
    assert price_of("claude-opus-5-5", (own, another)) == own
    assert price_of("house-model", (own, another)) == another
    assert price_of("claude-sonnet-5-5", (own, another)) == PRICES["claude-sonnet-5-5"]


@pytest.mark.parametrize("alias", ALIASES)
def test_every_short_name_is_that_of_a_model_with_a_price(alias: str) -> None:
    assert price_of(model_named(alias.upper()))
    assert model_named("claude-opus-4-8") == "claude-opus-4-8"
