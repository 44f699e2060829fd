"""The search attributes by which people sort and filter cycles in the Web UI, and in `research list`."""

from typing import Any

from temporalio.common import SearchAttributeKey, SearchAttributeUpdate

from domain.cycle import CycleStatus, Phase

PHASE = SearchAttributeKey.for_keyword("Phase")
OUTCOME = SearchAttributeKey.for_keyword("Outcome")
VERDICT = SearchAttributeKey.for_keyword("Verdict")
STRATEGY_NAME = SearchAttributeKey.for_keyword("StrategyName")
SYMBOL = SearchAttributeKey.for_keyword("Symbol")
TIMEFRAME = SearchAttributeKey.for_keyword("Timeframe")
SHARPE = SearchAttributeKey.for_float("Sharpe")
TOKENS_USED = SearchAttributeKey.for_int("TokensUsed")

ALL = (PHASE, OUTCOME, VERDICT, STRATEGY_NAME, SYMBOL, TIMEFRAME, SHARPE, TOKENS_USED)


def of_ended(cycle: CycleStatus) -> list[SearchAttributeUpdate[Any]]:
    """Everything that an ended cycle is looked for by, beside what it was started with."""
    found: list[SearchAttributeUpdate[Any]] = [
        PHASE.value_set(Phase.DONE.value),
        TOKENS_USED.value_set(cycle.tokens),
        *(sharpe(cycle.backtest.sharpe_ratio) if cycle.backtest else ()),
    ]
    if cycle.outcome:
        found.append(OUTCOME.value_set(cycle.outcome.value))
    if cycle.strategy:
        found.append(STRATEGY_NAME.value_set(cycle.strategy.name))
    if cycle.assessment:
        found.append(VERDICT.value_set(cycle.assessment.verdict.value))
    return found


def sharpe(ratio: float | None) -> list[SearchAttributeUpdate[float]]:
    """The update that shows the ratio as lists show it; none where there is no ratio."""
    return [] if ratio is None else [SHARPE.value_set(round(ratio, 4))]
