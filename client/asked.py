"""What was asked for becomes a checked request, whoever asks: the command, a schedule, or somebody over HTTP."""

from collections.abc import Callable
from difflib import get_close_matches

from pydantic import ValidationError

from client.exits import CommandError, ExitCode, usage
from client.invocation import problems
from client.strategy_files import StrategyText, require_researchable, save_strategy
from domain.cycle import CycleRequest, DesignerKind, OnBudgetExhausted
from domain.gates import GateThresholds
from domain.pricing import ALIASES, model_named, price_of
from engine.bars import list_bars
from settings import Settings

DEFAULT_SYMBOL = "EURUSD"
DEFAULT_TIMEFRAME = "1h"


def choose_designer(asked: str | None, *, key_is_set: bool) -> DesignerKind:
    """Who designs: Claude unless the offline designer is named, whose cycles cost nothing and need no key."""
    designer = DesignerKind(asked or DesignerKind.CLAUDE)
    if designer is DesignerKind.CLAUDE and not key_is_set:
        raise CommandError(
            ExitCode.CONFIGURATION,
            "configuration",
            "Claude needs a key, and none is set: ANTHROPIC_API_KEY, or the file that ANTHROPIC_API_KEY_FILE names",
            "set it, here and for the worker (docs/claude.md); or add `--designer offline`, which needs none",
        )
    return designer


def choose_model(asked: str | None, designer: DesignerKind, tell: Callable[[str], None]) -> str | None:
    """The model's name as it was typed, which is a short name that we know, or an id of the API's."""
    if asked is None:
        return None
    if designer is not DesignerKind.CLAUDE:
        raise usage("--model is for the designer claude; the offline designer calls no model", "leave one of them out")
    # Every id of the API has a hyphen; a word without one is a short name, well or badly spelt.
    if "-" not in asked and asked.lower() not in ALIASES:
        nearest = get_close_matches(asked.lower(), ALIASES, n=1)
        hint = f"; did you mean {nearest[0]}?" if nearest else ""
        raise usage(f"there is no model {asked[:80]!r}{hint}", f"models: {', '.join(ALIASES)}, or a full id")
    if price_of(model_named(asked)) is None:
        tell(f"note: no price is known for the model {asked[:80]}; its tokens count, its dollars do not")
    return asked


def request_from(
    settings: Settings,
    *,
    brief: str,
    symbol: str | None,
    timeframe: str | None,
    designer: DesignerKind,
    model: str | None,
    strategy: StrategyText | None,
    seed: int,
    queue: bool,
    on_budget_exhausted: OnBudgetExhausted,
    memory: str | None,
    thresholds: GateThresholds,
    tell: Callable[[str], None],
) -> CycleRequest:
    """A request that can be researched, checked before anything is contacted: the bars exist, the strategy is valid."""
    if strategy:
        symbol = symbol or strategy.strategy.training_data.symbols[0]
        timeframe = timeframe or strategy.strategy.training_data.base_timeframe
    symbol, timeframe = (symbol or DEFAULT_SYMBOL).upper(), timeframe or DEFAULT_TIMEFRAME
    require_bars(settings, symbol, timeframe)
    if strategy:
        require_researchable(settings, strategy.strategy, symbol, timeframe)
        if symbol not in strategy.strategy.training_data.symbols:
            named = ", ".join(strategy.strategy.training_data.symbols)
            tell(f"note: the strategy names {named}; it is researched on {symbol}, as --symbol says")
    try:
        request = CycleRequest(
            brief=brief,
            symbol=symbol,
            timeframe=timeframe,
            designer=designer,
            model=model,
            thresholds=thresholds,
            queue=queue,
            on_budget_exhausted=on_budget_exhausted,
            seed=seed,
            memory_snapshot=memory,
        )
    except ValidationError as error:
        raise usage(problems(error)) from error
    # Last of all: a start that is refused leaves no strategy behind.
    return request.model_copy(update={"strategy": save_strategy(settings, strategy)}) if strategy else request


def require_bars(settings: Settings, symbol: str, timeframe: str) -> None:
    """Refuse a symbol or timeframe without bars, naming what there is."""
    there = list_bars(settings.data)
    if any((bars.symbol, bars.timeframe) == (symbol, timeframe) for bars in there):
        return
    symbols = sorted({bars.symbol for bars in there})
    if symbol in symbols:
        timeframes = ", ".join(bars.timeframe for bars in there if bars.symbol == symbol)
        raise CommandError(
            ExitCode.USAGE,
            "data_unavailable",
            f"there are no {timeframe} bars of {symbol}; there are {timeframes}",
            "name one of these with --timeframe, or bring your own: `research data import --help`",
        )
    nearest = get_close_matches(symbol, symbols, n=1)
    hint = f"; did you mean {nearest[0]}?" if nearest else ""
    raise CommandError(
        ExitCode.USAGE,
        "data_unavailable",
        f"there are no bars of {symbol[:64]!r}{hint}",
        f"there are {', '.join(symbols)}: see `research data list`; or bring your own: `research data import --help`",
    )


def thresholds_with(base: GateThresholds, overrides: list[str]) -> GateThresholds:
    """The bounds with what `--set KEY=VALUE` changes. Errors name the key, the nearest known one, or the bound."""
    values: dict[str, object] = base.model_dump()
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals:
            raise usage(f"--set {override}: write KEY=VALUE", f"keys: {', '.join(values)}")
        if key not in values:
            nearest = get_close_matches(key, values, n=1)
            hint = f"; did you mean {nearest[0]}?" if nearest else ""
            raise usage(f"--set {key}: there is no such bound{hint}", f"keys: {', '.join(values)}")
        values[key] = value
    try:
        return GateThresholds.model_validate(values)
    except ValidationError as error:
        raise usage(f"--set: {problems(error)}", "fractions are fractions: 0.4 is 40 %") from error
