"""The assessor's desk: a cycle's results with their doubt, what was found before, and the one tool that ends it.

A verdict may not claim more than the figures show: the offline assessor's rules are the highest that it may be, since
each of them is a bound that the same figures crossed for every cycle before. Lower it may always be: who doubts more
than the rules do takes nothing that was not shown.
"""

from collections.abc import Sequence
from functools import cached_property

from pydantic import JsonValue

from claude import prompts_assess
from claude.assess_tools import TOOLS, SubmitAssessment
from claude.catalogue import features_of
from claude.desk import Outcome, Tool
from claude.quoting import inline
from claude.tools import failure, read_arguments
from domain.blinding import blinded
from domain.cycle import CycleStatus
from domain.errors import ErrorCode, ResearchError
from domain.memory import DesignNotes, HypothesisRecord, Precedent
from domain.results import OPEN_STATUSES, Assessment, Hypothesis, HypothesisStatus, Settlement, Verdict
from domain.strategy import Strategy, StrategyInvalid, load_strategy
from domain.verdict import assess
from store.cycles import Store
from store.strategies import StrategyFiles

MOST_PRECEDENTS = 8
MOST_SETTLEABLE = 5
MOST_OTHERS = 8
_HEIGHT = (Verdict.POOR, Verdict.NEUTRAL, Verdict.PROMISING)


class AssessDesk:
    """One assessment. memory_snapshot: the state that this conversation began with; None at its first turn.

    A cycle can settle the hypothesis that its design named before there were results, and those that earlier cycles
    left about this very strategy: whatever is chosen after the results could be chosen to fit them.
    Errors, when it is made: invalid_strategy (the file is gone), data_unavailable (no such snapshot), internal_error
    (no results), store_unavailable.
    """

    def __init__(self, status: CycleStatus, memory_snapshot: str | None, store: Store, files: StrategyFiles) -> None:
        if status.training is None or status.backtest is None or status.strategy is None:
            raise ResearchError(ErrorCode.INTERNAL_ERROR, "an assessment needs a strategy and results of both phases")
        self._status = status
        self._store = store
        self._facts = files.facts(status.strategy)
        self._memory = store.snapshot(status.request.symbol, status.request.timeframe, memory_snapshot)
        self._most = assess(status.training, status.backtest, status.gates)

    @property
    def memory_snapshot(self) -> str:
        """The state of the store that everything is told as of; to be given again at the next turn."""
        return self._memory.id

    @cached_property
    def system(self) -> str:
        """The same for every cycle."""
        return prompts_assess.system()

    @cached_property
    def opening(self) -> str:
        """This cycle."""
        return prompts_assess.opening(
            self._status, self._facts.text, self._most, self._precedents, self._settleable, self._others
        )

    @property
    def tools(self) -> tuple[Tool, ...]:
        """The same for every cycle."""
        return TOOLS

    def use(self, name: str, arguments: JsonValue) -> Outcome:
        """Run the tool; only store_unavailable is raised."""
        if name != "submit_assessment":
            return failure(f"There is no tool {inline(name, 80)!r}; there is submit_assessment.")
        said = read_arguments(SubmitAssessment, arguments)
        if isinstance(said, Outcome):
            return said
        against = [*self._too_high(said), *self._not_to_be_settled(said)]
        if against:
            return failure("\n".join(["The assessment is not taken:", *(f"- {each}" for each in against)]))
        return Outcome(text="Taken.", memory_snapshot=self._memory.id, assessment=self._assessment(said))

    @cached_property
    def _precedents(self) -> Sequence[Precedent]:
        """The most alike of the newest backtested cycles on the symbol."""
        found = self._store.precedents(self._status.request.symbol, self._status.cycle_id, self._memory.id)
        own = features_of(load_strategy(self._facts.text).strategy)
        return sorted(found, key=lambda each: -_alike(own, each.experiment.strategy_text))[:MOST_PRECEDENTS]

    @cached_property
    def _settleable(self) -> Sequence[HypothesisRecord]:
        notes = DesignNotes.among(self._facts.parameters)
        named = notes.tests_hypothesis if notes else None
        return (
            *self._open(ids=[named] if named else []),
            *(h for h in self._open(strategy_hash=self._facts.strategy_hash) if h.id != named),
        )[:MOST_SETTLEABLE]

    @cached_property
    def _others(self) -> Sequence[HypothesisRecord]:
        settleable = {each.id for each in self._settleable}
        found = self._open(symbol=self._status.request.symbol)
        return [each for each in found if each.id not in settleable][:MOST_OTHERS]

    def _open(
        self, symbol: str | None = None, ids: Sequence[str] | None = None, strategy_hash: str | None = None
    ) -> tuple[HypothesisRecord, ...]:
        return self._store.hypotheses(
            symbol, OPEN_STATUSES, ids=ids, strategy_hash=strategy_hash, up_to=self._memory.id, limit=20
        )

    def _too_high(self, said: SubmitAssessment) -> list[str]:
        most = self._most.verdict
        if _HEIGHT.index(said.verdict) <= _HEIGHT.index(most):
            return []
        return [
            f"verdict {said.verdict.value}: the figures allow {most.value} at most ({'; '.join(self._most.decided_by)})"
        ]

    def _not_to_be_settled(self, said: SubmitAssessment) -> list[str]:
        able = [each.id for each in self._settleable]
        ids = [each.hypothesis_id for each in said.settled]
        can = f"it can settle {', '.join(able) or 'none: leave settled empty'}"
        against = [f"settled: this cycle did not test {each}; {can}" for each in ids if each not in able]
        if len(set(ids)) < len(ids):
            against.append("settled: a hypothesis stands there twice")
        return against

    def _assessment(self, said: SubmitAssessment) -> Assessment:
        decided = self._most.decided_by
        if said.verdict is not self._most.verdict:
            lower = f"{said.verdict.value}: the assessor's own, below what the figures allow"
            decided = (lower, *decided)
        return Assessment(
            verdict=said.verdict,
            decided_by=decided,
            strengths=tuple(said.strengths),
            weaknesses=tuple(said.weaknesses),
            suggestions=tuple(said.suggestions),
            hypotheses=tuple(
                Hypothesis(text=self._without_others(each.text), rationale=each.rationale) for each in said.hypotheses
            ),
            settled=tuple(
                Settlement(hypothesis_id=each.hypothesis_id, status=HypothesisStatus(each.status), why=each.why)
                for each in said.settled
            ),
        )

    def _without_others(self, text: str) -> str:
        """Without figures of the other backtests that were told here.

        Those of this one stand in its record, by which the store leaves them out when a designer reads the text.
        """
        told = {each.sharpe_ratio for each in self._precedents} | {each.total_trades for each in self._precedents}
        return blinded(text, {abs(float(figure)) for figure in told if figure})[:1000]


def _alike(own: frozenset[str], strategy_text: str | None) -> float:
    """How much of what the two have is in both, a fraction."""
    try:
        other = features_of(_loaded(strategy_text))
    except StrategyInvalid:
        return 0.0
    return len(own & other) / len(own | other)


def _loaded(strategy_text: str | None) -> Strategy:
    return load_strategy(strategy_text or "").strategy
