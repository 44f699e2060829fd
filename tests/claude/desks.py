"""Desks over a store of a test's own, and the strategies and cycles that such a store holds."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from claude.assess_desk import AssessDesk
from claude.design_desk import DesignDesk
from claude.desk import Desk, Outcome
from domain.cycle import CycleRequest, CycleStatus, DesignerKind, StrategyRef
from domain.cycle import Outcome as CycleOutcome
from domain.gates import GateThresholds, backtest_gate, training_gate
from domain.results import Assessment, Hypothesis, Verdict
from domain.strategy import load_strategy
from store.cycles import Store
from store.strategies import DesignFacts, StrategyFiles
from tests.domain.usual_results import backtest, training

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
CLAIM = "On EURUSD 1h the balanced accuracy in validation is at least 0.36, since stretched prices turn back."

STRATEGY = """\
name: a_strategy
training_data:
  symbols: {mode: single, symbol: EURUSD}
  timeframes: {mode: single, timeframe: 1h}
indicators:
  rsi: {type: rsi, period: PERIOD}
  trend: {type: macd}
fuzzy_sets:
  level:
    indicator: rsi
    low: [0, 20, 45]
    high: [55, 80, 100]
nn_inputs:
  - {fuzzy_set: level}
  - {raw_indicator: trend.line, normalization: zscore}
model:
  type: mlp
  architecture: {hidden_layers: [8], activation: relu}
training:
  labels: {source: zigzag, zigzag_threshold: THRESHOLD}
  loss: cross_entropy
  epochs: 3
"""


def strategy(number: int = 0) -> str:
    """A valid strategy's text; another number is another experiment."""
    return STRATEGY.replace("PERIOD", str(10 + number % 90)).replace("THRESHOLD", f"0.{5 + number // 90:03}")


@dataclass(frozen=True)
class Laboratory:
    """A store and strategy files in a folder of their own."""

    store: Store
    files: StrategyFiles
    data: Path

    def design(self, brief: str = "", memory_snapshot: str | None = None, **changes: Any) -> DesignDesk:
        """The desk of a design for EURUSD 1h."""
        return DesignDesk(request(brief, **changes), memory_snapshot, self.store, self.files, self.data)

    def assess(self, status: CycleStatus, memory_snapshot: str | None = None) -> AssessDesk:
        """The desk of an assessment."""
        return AssessDesk(status, memory_snapshot, self.store, self.files)

    def kept(self, text: str, notes: str | None = None) -> StrategyRef:
        """The strategy, among the files."""
        return self.files.save(load_strategy(text).strategy.name, text, notes)

    def record(self, status: CycleStatus) -> None:
        """Keep an ended cycle, as the activity does."""
        assert status.strategy is not None
        self.store.record(status, self.files.facts(status.strategy))


def laboratory(root: Path) -> Laboratory:
    """An empty one."""
    store = Store.open(f"sqlite:///{root / 'research.db'}", migrate=True)
    return Laboratory(store, StrategyFiles(root / "strategies"), root / "data")


def request(brief: str = "", **changes: Any) -> CycleRequest:
    values: dict[str, Any] = {"symbol": "EURUSD", "timeframe": "1h", "designer": DesignerKind.CLAUDE}
    return CycleRequest(brief=brief, **(values | changes))


def backtested(ref: StrategyRef, cycle_id: str = "cycle-1", **changes: Any) -> CycleStatus:
    """A cycle that has passed both gates and is being assessed."""
    learned, tested = changes.pop("training", training()), changes.pop("backtest", backtest())
    values: dict[str, Any] = {
        "cycle_id": cycle_id,
        "run_id": f"run-of-{cycle_id}",
        "request": request(),
        "strategy": ref,
        "hypothesis": CLAIM,
        "training": learned,
        "backtest": tested,
        "gates": (training_gate(learned, GateThresholds()), backtest_gate(tested, GateThresholds())),
        "started_at": NOON,
    }
    return CycleStatus.model_validate(values | changes)


def completed(status: CycleStatus, assessment: Assessment | None = None, *raised: str) -> CycleStatus:
    """The same cycle, ended with this assessment, or with one that only raises these hypotheses."""
    usual = Assessment(
        verdict=Verdict.POOR,
        strengths=("It was tried.",),
        weaknesses=("One stretch of bars.",),
        hypotheses=tuple(Hypothesis(text=text, rationale="The figures suggest it.") for text in raised),
    )
    changes = {"outcome": CycleOutcome.COMPLETED, "assessment": assessment or usual, "ended_at": NOON}
    return status.model_copy(update=changes)


def five_hundred(lab: Laboratory) -> None:
    """A long history: rejected, failed and completed cycles, the last with long hypotheses."""
    for number in range(500):
        text = strategy(number)
        facts = DesignFacts(text=text, strategy_hash=f"{number:064x}")
        ref = StrategyRef(name=f"strategy_{number}", sha256=f"{number:064x}", path=f"strategy_{number}.yaml")
        status = backtested(ref, f"cycle-20260504-120000-{number:04x}", hypothesis=CLAIM * 3)
        ended: dict[str, Any] = {"ended_at": NOON + timedelta(hours=number)}
        if number % 5 == 0:
            asked = [
                f"Hypothesis {number}.{i}: " + "a longer history of the same market says otherwise. " * 8
                for i in (1, 2)
            ]
            status = completed(status, None, *asked)
        elif number % 5 == 1:
            words = "the training failed for a reason that took many words to tell. " * 8
            ended |= {"outcome": CycleOutcome.FAILED, "reason": words, "backtest": None, "gates": status.gates[:1]}
        else:
            reason = f"training gate: {status.gates[0].checks[0]}; {status.gates[0].checks[1]}"
            ended |= {"outcome": CycleOutcome.REJECTED, "reason": reason, "backtest": None, "gates": status.gates[:1]}
        lab.store.record(status.model_copy(update=ended), facts)


def bytes_of(desk: Desk) -> int:
    """The size of a first request: system prompt, tools and opening."""
    tools = "".join(tool.model_dump_json() for tool in desk.tools)
    return len(f"{desk.system}{desk.opening}{tools}".encode())


def submitted(desk: DesignDesk, text: str, **changes: Any) -> Outcome:
    """What handing this strategy in comes to."""
    usual = {"name": "tried", "yaml": text, "hypothesis": CLAIM, "tests_hypothesis": None}
    return desk.use("submit_strategy", usual | changes)
