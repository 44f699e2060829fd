"""A worker's observer: by an interceptor it watches activities, and it is told of what is recorded. What it sees is
counted and traced. Nothing of it runs in workflow code, so no replay repeats it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from temporalio import activity, worker
from temporalio.exceptions import ApplicationError

from domain.cycle import CycleRequest, CycleStatus, DesignerKind, Phase
from domain.errors import HANDED_OVER, LEFT_RUNNING, ErrorCode
from domain.turns import Answer, AssessTurn, DesignTurn
from observability.metrics import BY_THE_CYCLE, CALL_CODES, OK, Metrics
from observability.propagation import attempt_by_the_cycle

if TYPE_CHECKING:
    from observability.spans import Tracing

LEDGER = "ledger"
"""Stands for the phase of what the budget ledger does."""

PHASE_OF = {
    "ensure_budget": Phase.QUEUED,
    "inherit": Phase.DESIGNING,
    "design": Phase.DESIGNING,
    "train": Phase.TRAINING,
    "count_trials": Phase.BACKTESTING,
    "backtest": Phase.BACKTESTING,
    "assess": Phase.ASSESSING,
    "record": Phase.DONE,
}
"""By the activity's name. Others belong to no phase, or to several."""

NO_FAILURES = frozenset({HANDED_OVER, LEFT_RUNNING})
"""By these an activity tells its cycle something, and ends as it should."""


@dataclass(frozen=True)
class Observer:
    """What a worker sees of its own work. tracing: None where this process writes no traces."""

    metrics: Metrics
    tracing: "Tracing | None" = None

    @property
    def interceptors(self) -> "list[worker.Interceptor]":
        """For workers."""
        return [_Watching(self)]

    def recorded(self, cycle: CycleStatus, *, new: bool) -> None:
        """A cycle's record has been written; new: its row was not there before."""
        if new:
            self.metrics.cycle_recorded(cycle)
        if self.tracing:
            self.tracing.cycle_ended(cycle)


class _Watching(worker.Interceptor):
    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def intercept_activity(self, next: worker.ActivityInboundInterceptor) -> worker.ActivityInboundInterceptor:
        return _Watched(next, self._observer)


class _Watched(worker.ActivityInboundInterceptor):
    def __init__(self, next: worker.ActivityInboundInterceptor, observer: Observer) -> None:
        super().__init__(next)
        self._observer = observer

    async def execute_activity(self, input: worker.ExecuteActivityInput) -> object:
        asked = _asked_of_claude(input.args)
        began = datetime.now(UTC)  # the server's word of it is of another clock, which may be ahead
        try:
            result = await super().execute_activity(input)
        except Exception as error:
            self._failed(error, asked, began)
            raise
        if asked and isinstance(result, Answer) and result.usage:
            code = result.ended.code.value if result.ended else OK
            self._observer.metrics.answered(_phase(), asked.model, result.usage, code if code in CALL_CODES else OK)
        return result

    def _failed(self, error: Exception, asked: CycleRequest | None, began: datetime) -> None:
        told = error.type if isinstance(error, ApplicationError) else None
        if told in NO_FAILURES:
            return
        code = told if told in set(ErrorCode) else ErrorCode.INTERNAL_ERROR.value
        info = activity.info()
        if asked and code in CALL_CODES:
            self._observer.metrics.unanswered(_phase(), asked.model, code)
        if code not in BY_THE_CYCLE:
            self._observer.metrics.error(PHASE_OF.get(info.activity_type, LEDGER), code)
        if self._observer.tracing:
            message = error.message if isinstance(error, ApplicationError) else str(error)
            number = attempt_by_the_cycle() or info.attempt
            self._observer.tracing.attempt_failed(began, info.activity_type, number, code, message)


def _asked_of_claude(arguments: Sequence[object]) -> CycleRequest | None:
    """The cycle's request, where the activity is a turn that may call Claude."""
    turn = arguments[0] if arguments else None
    request = (
        turn.request if isinstance(turn, DesignTurn) else turn.status.request if isinstance(turn, AssessTurn) else None
    )
    return request if request and request.designer is DesignerKind.CLAUDE else None


def _phase() -> Phase:
    return PHASE_OF[activity.info().activity_type]
