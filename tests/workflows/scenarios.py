"""Every way a cycle can end by itself and well, each as one story: what is asked, and how it must end. How it fails
stands in test_error_table, how it is ended in test_cancel.
"""

from dataclasses import dataclass

from domain.cycle import Outcome, Phase


@dataclass(frozen=True)
class Scenario:
    """`changes` are made to the request, `bounds` to its gates."""

    name: str
    outcome: Outcome
    changes: tuple[tuple[str, object], ...] = ()
    bounds: tuple[tuple[str, float], ...] = ()
    stopped_in: Phase | None = None
    reason: str | None = None


SCENARIOS = [
    Scenario("completed", Outcome.COMPLETED),
    Scenario("designed", Outcome.COMPLETED, changes=(("strategy", None), ("seed", 3))),
    Scenario(
        "rejected_by_training_gate",
        Outcome.REJECTED,
        bounds=(("training_min_skill", 1.0),),
        stopped_in=Phase.TRAINING,
        reason="training gate: balanced accuracy",
    ),
    Scenario(
        "rejected_by_backtest_gate",
        Outcome.REJECTED,
        bounds=(("backtest_min_sharpe", 1000.0),),
        stopped_in=Phase.BACKTESTING,
        reason="backtest gate: Sharpe ratio",
    ),
]
