"""Cycles as they end, for the store."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from domain.cycle import CycleRequest, CycleStatus, DesignerKind, Failure, Outcome, Phase, PhaseTiming, StrategyRef
from domain.errors import ErrorCode
from domain.gates import GateThresholds, backtest_gate, training_gate
from domain.results import Assessment, Hypothesis, HypothesisStatus, Settlement, Verdict
from tests.domain.usual_results import backtest, training

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


def ended_cycles() -> tuple[CycleStatus, ...]:
    """One completed, one rejected, one failed, one cancelled cycle, and one that settles what the first one left; all
    on the same bars.
    """
    limits = GateThresholds()
    assessment = Assessment(
        verdict=Verdict.NEUTRAL,
        strengths=("It gained.",),
        weaknesses=("One stretch of bars.",),
        hypotheses=(Hypothesis(text="Another seed gains too.", rationale="One was tried."),),
    )
    bare = CycleStatus(
        cycle_id="cycle-cancelled",
        run_id="run-cancelled",
        request=CycleRequest(symbol="EURUSD", timeframe="1h", designer=DesignerKind.OFFLINE, seed=7),
        outcome=Outcome.CANCELLED,
        stopped_in=Phase.DESIGNING,
        reason="enough",
        started_at=NOON,
        ended_at=NOON + timedelta(minutes=3),
    )
    trained: dict[str, Any] = {
        "strategy": StrategyRef(name="offline_1", sha256="b" * 64, path="offline_1.yaml"),
        "training": training(),
        "gates": (training_gate(training(), limits),),
        "timings": (PhaseTiming(phase=Phase.TRAINING, started_at=NOON, ended_at=NOON + timedelta(seconds=9)),),
        "stopped_in": None,
    }
    ends: dict[str, dict[str, Any]] = {
        "completed": {
            "outcome": Outcome.COMPLETED,
            "backtest": backtest(),
            "gates": (training_gate(training(), limits), backtest_gate(backtest(), limits)),
            "assessment": assessment,
            "tokens": 12_345,
            "cost_usd": Decimal("0.1000000000000000055511151231"),
        },
        "rejected": {"outcome": Outcome.REJECTED, "stopped_in": Phase.TRAINING, "reason": "no skill"},
        "failed": {
            "outcome": Outcome.FAILED,
            "failure": Failure(phase=Phase.BACKTESTING, code=ErrorCode.BACKTEST_FAILED, message="it broke"),
        },
    }
    made = [
        bare.model_copy(update={**trained, **end, "cycle_id": f"cycle-{name}", "run_id": f"run-{name}"})
        for name, end in ends.items()
    ]
    settled = Settlement(hypothesis_id="h1", status=HypothesisStatus.REFUTED, why="It did not.")
    settling = assessment.model_copy(update={"hypotheses": (), "settled": (settled,)})
    names = {"cycle_id": "cycle-settling", "run_id": "run-settling"}
    return (*made, bare, made[0].model_copy(update={**names, "assessment": settling}))
