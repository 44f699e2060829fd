"""The arguments of the designer's tools, as the API and the check know them."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from claude.desk import Tool
from claude.tools import Arguments, tool
from domain.results import HypothesisId
from domain.symbols import Symbol

MAX_YAML = 24_000
"""Characters of a strategy; one of two hundred lines has a third of it."""


class GetIndicator(Arguments):
    """One indicator of the catalogue."""

    name: str = Field(min_length=1, max_length=40, description="such as macd")


class ListExperiments(Arguments):
    """Earlier cycles; null where a filter does not matter."""

    symbol: Symbol | None = Field(
        description="null: this cycle's symbol and timeframe; another symbol: all of its bars"
    )
    outcome: Literal["completed", "rejected", "failed"] | None = Field(description="how the cycle ended; null: any")
    order: Literal["newest", "best_skill"] = Field(description="best_skill: by skill in validation")
    limit: int = Field(ge=1, le=30, description="how many at most")


class GetExperiment(Arguments):
    """One earlier cycle."""

    cycle_id: str = Field(min_length=1, max_length=200, description="as list_experiments names it")


class ValidateStrategy(Arguments):
    """A strategy to be checked."""

    yaml: str = Field(min_length=1, max_length=MAX_YAML, description="the whole strategy")


class SubmitStrategy(Arguments):
    """A strategy to be tried."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9_-]{1,60}$",
        description="the strategy's name, which becomes its file's: no dots or slashes",
    )
    yaml: str = Field(min_length=1, max_length=MAX_YAML, description="the whole strategy")
    hypothesis: Annotated[str, StringConstraints(strip_whitespace=True, min_length=40, max_length=800)] = Field(
        description="what it claims, so that this cycle can find it false: a figure, a bound and a reason"
    )
    tests_hypothesis: HypothesisId | None = Field(
        description="the open hypothesis that this strategy was made to test, by its id; null: none"
    )


TOOLS: tuple[Tool, ...] = (
    tool(
        "get_indicator",
        "All parameters of an indicator with bounds, its outputs, and what its values are on train with defaults.",
        GetIndicator,
    ),
    tool(
        "list_experiments",
        "Earlier cycles in a line each: what the strategy was, its skill in validation, and why it was rejected.",
        ListExperiments,
    ),
    tool(
        "get_experiment",
        "One earlier cycle: its strategy's YAML, its training and the training gate. Of the backtest only whether the "
        "gate passed.",
        GetExperiment,
    ),
    tool(
        "validate_strategy",
        "Check a strategy without submitting it: grammar with lines, whether it can be trained on these bars, whether "
        "it is new, how frequent its rarest traded class is in train.",
        ValidateStrategy,
    ),
    tool(
        "submit_strategy",
        "Hand the strategy in: checked as by validate_strategy, then kept, and the design is done. `name` and "
        "`hypothesis` take the place of what the YAML says of them. Once, at the end.",
        SubmitStrategy,
    ),
)
