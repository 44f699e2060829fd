"""What the documentation says of Claude is what the code does, and what its prices give."""

import re
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic_settings import SettingsConfigDict

from claude.call import PATIENCE
from client.main import app
from domain.ceilings import INPUT_MARGIN, LONGEST_ANSWER, MAX_TURNS
from domain.cycle import CallUsage
from domain.errors import ErrorCode
from domain.pricing import ALIASES, DEFAULT_MODEL, PRICES, price_of
from settings import PROJECT, Settings
from workflows.policies import Policies

DOCS = (PROJECT / "docs" / "claude.md").read_text()
ROWS = {
    first: rest
    for first, *rest in (
        [cell.strip() for cell in line.split("|")[1:-1]] for line in DOCS.splitlines() if line[:1] == "|"
    )
}
CAPS = Settings.model_fields["design_token_cap"].default, Settings.model_fields["assess_token_cap"].default


@pytest.mark.parametrize("alias", ALIASES)
def test_what_a_cycle_costs_is_what_the_price_table_gives(alias: str) -> None:
    model, rates, usual, most = ROWS[f"`{alias}`"]
    price = PRICES[ALIASES[alias]]
    told = r"([\d,]+) tokens written .*?, ([\d,]+) read from it and ([\d,]+) answered"
    (counts,) = re.findall(told, " ".join(DOCS.split()))
    written, read, answered = (int(each.replace(",", "")) for each in counts)
    usage = CallUsage(model=price.model, input=0, cache_write=written, cache_read=read, output=answered)
    cost = price.cost(usage)
    assert cost

    assert model == f"`{price.model}`"
    assert [Decimal(each) for each in re.findall(r"[\d.]+", rates)] == [price.rates[0].input, price.rates[0].output]
    assert Decimal(usual[1:]) == round(cost, len(usual.split(".")[1]))
    assert most == f"${price.ceiling(sum(CAPS)):.2f}"


def test_the_prices_have_the_date_that_is_told() -> None:
    assert {price.as_of.isoformat() for price in PRICES.values()} == set(re.findall(r"as of (\S+),", DOCS))


def test_own_prices_are_taken_as_the_example_has_them(tmp_path: Path) -> None:
    file = tmp_path / "research.toml"
    file.write_text(re.findall(r"```toml\n(.*?)```", DOCS, re.DOTALL)[0])

    class Elsewhere(Settings):
        model_config = SettingsConfigDict(toml_file=file)

    own = price_of(DEFAULT_MODEL, Elsewhere().prices)
    assert own
    assert (own.source, own.rates[0].input) == ("our contract", Decimal("1.80"))


def test_every_setting_and_every_code_of_claude_stands_there() -> None:
    names = {field.validation_alias for name, field in Settings.model_fields.items() if name.startswith("anthropic_")}
    assert len(names) == 3
    assert names <= set(re.findall(r"[A-Z_]+", DOCS))
    codes = {code for code in ErrorCode if code.startswith(("anthropic", "answer", "design", "assess"))}
    assert codes <= set(re.findall(r"[a-z_]+", DOCS))


def test_commands_and_numbers_are_the_codes() -> None:
    commands = {command.name for command in app.registered_commands} | {group.name for group in app.registered_groups}
    assert set(re.findall(r"`research ([a-z]+)", DOCS)) <= commands
    policies = Policies()
    assert (policies.design.schedule_to_close.total_seconds(), policies.lost_answers) == (6 * 3600, 3)
    for words in (
        f"{CAPS[0]:,} and {CAPS[1]:,}",
        f"At most {MAX_TURNS} turns",
        f"{LONGEST_ANSWER:,} at most",
        f"{INPUT_MARGIN:.0%}".replace("%", " %"),
        f"within {PATIENCE:.0f} s",
    ):
        assert words in DOCS, words
