"""What is remembered of earlier cycles beyond a trial's figures: for designers, for assessors, and for people."""

from datetime import datetime
from typing import Self

from pydantic import Field, ValidationError

from domain.cycle import TrialRecord
from domain.gates import GateResult
from domain.results import Frozen, HypothesisId, HypothesisStatus, TrainingResult, Verdict


class Experiment(Frozen):
    """An earlier cycle as a designer may know it: the trial and its strategy, and nothing of the backtest part."""

    trial: TrialRecord
    strategy_name: str | None = None
    strategy_text: str | None = None


class DesignNotes(Frozen):
    """What a designer that talks notes of its strategy: the open hypothesis that it was made to test."""

    tests_hypothesis: HypothesisId

    @classmethod
    def among(cls, parameters: str | None) -> Self | None:
        """The notes, where these are a strategy's parameters as it noted them; an offline designer's are others."""
        try:
            return cls.model_validate_json(parameters or "")
        except ValidationError:
            return None


class ExperimentDetail(Frozen):
    """One experiment with all of its training, which read nothing of the backtest part."""

    experiment: Experiment
    training: TrainingResult | None = None
    training_gate: GateResult | None = None


class Precedent(Frozen):
    """An earlier cycle as an assessor may know it: with what its backtest came to."""

    experiment: Experiment
    verdict: Verdict | None = None
    sharpe_ratio: float | None = None
    max_drawdown: float | None = None
    total_trades: int | None = None


class OpenHypothesis(Frozen):
    """A hypothesis as a designer may know it: without its rationale, and blind to its cycle's backtest."""

    id: HypothesisId
    text: str
    status: HypothesisStatus


class HypothesisRecord(Frozen):
    """A hypothesis: what it says, which cycle raised it, and which one has tested it last."""

    id: HypothesisId
    text: str
    rationale: str
    status: HypothesisStatus
    symbol: str
    timeframe: str
    raised_by: str = Field(description="the cycle whose assessment left it")
    raised_at: datetime
    settled_by: str | None = Field(None, description="the cycle that tested it last")
    settled_at: datetime | None = None
    why: str | None = Field(None, description="what that cycle's assessment said")
