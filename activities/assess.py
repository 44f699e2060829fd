"""The assess activity: one turn of the assessor. The offline assessor applies stated rules in one turn."""

import asyncio
from dataclasses import dataclass

from temporalio import activity

from activities.faults import translated
from activities.fence import check_envelope
from activities.heartbeat import beating
from domain.cycle import CycleStatus, DesignerKind
from domain.errors import ErrorCode, ResearchError
from domain.turns import AssessAnswer, AssessTurn
from domain.verdict import assess


@dataclass(frozen=True)
class AssessActivity:
    """Assesses what a cycle's training and backtest have shown."""

    @activity.defn(name="assess")
    async def assess(self, turn: AssessTurn) -> AssessAnswer:
        """One turn. Errors: envelope_stale, internal_error."""
        with translated():
            check_envelope(turn.granted_run_id)
            if turn.status.request.designer is not DesignerKind.OFFLINE:
                raise ResearchError(
                    ErrorCode.INTERNAL_ERROR,
                    f"this worker has no assessor {turn.status.request.designer.value!r}; use --designer offline",
                )
            async with beating("assessing the results"):
                return await asyncio.to_thread(_assess_offline, turn.status)


def _assess_offline(status: CycleStatus) -> AssessAnswer:
    if status.training is None or status.backtest is None:
        raise ResearchError(ErrorCode.INTERNAL_ERROR, "an assessment needs the results of training and backtest")
    return AssessAnswer(assessment=assess(status.training, status.backtest, status.gates))
