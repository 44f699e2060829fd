"""The search attributes by which people sort and filter cycles in the Web UI, and in `research list`."""

from temporalio.common import SearchAttributeKey, SearchAttributeUpdate

PHASE = SearchAttributeKey.for_keyword("Phase")
OUTCOME = SearchAttributeKey.for_keyword("Outcome")
VERDICT = SearchAttributeKey.for_keyword("Verdict")
STRATEGY_NAME = SearchAttributeKey.for_keyword("StrategyName")
SYMBOL = SearchAttributeKey.for_keyword("Symbol")
TIMEFRAME = SearchAttributeKey.for_keyword("Timeframe")
SHARPE = SearchAttributeKey.for_float("Sharpe")
TOKENS_USED = SearchAttributeKey.for_int("TokensUsed")

ALL = (PHASE, OUTCOME, VERDICT, STRATEGY_NAME, SYMBOL, TIMEFRAME, SHARPE, TOKENS_USED)


def sharpe(ratio: float | None) -> list[SearchAttributeUpdate[float]]:
    """The update that shows the ratio as lists show it; none where there is no ratio."""
    return [] if ratio is None else [SHARPE.value_set(round(ratio, 4))]
