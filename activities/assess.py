"""The assess activity: one turn of the assessor. The offline assessor applies stated rules in one turn.

Claude's turns are one request each: what went before travels with the turn, and what it adds goes back with the answer.
"""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from temporalio import activity

from activities.faults import translated
from activities.fence import Billable, billable, check_envelope
from activities.heartbeat import beating
from claude.assess_desk import AssessDesk
from claude.hand import at_hand
from domain.cycle import CycleStatus, DesignerKind
from domain.errors import ErrorCode, ResearchError
from domain.turns import AssessAnswer, AssessTurn
from domain.verdict import assess
from store.cycles import Store
from store.strategies import StrategyFiles

if TYPE_CHECKING:
    from claude.call import Claude


@dataclass(frozen=True)
class AssessActivity:
    """Assesses what a cycle's training and backtest have shown."""

    store: Store
    files: StrategyFiles
    claude: "Claude | None" = None

    @activity.defn(name="assess")
    async def assess(self, turn: AssessTurn) -> AssessAnswer:
        """One turn. Errors: envelope_stale, internal_error; Claude's: store_unavailable and those of a call too."""
        with translated():
            check_envelope(turn.granted_run_id)
            async with beating("assessing the results"):
                if turn.status.request.designer is DesignerKind.OFFLINE:
                    return await asyncio.to_thread(_assess_offline, turn.status)
                with billable(turn) as work:
                    return await self._assess_with_claude(turn, work)

    async def _assess_with_claude(self, turn: AssessTurn, work: Billable) -> AssessAnswer:
        claude = at_hand(self.claude)
        from claude.turn import take  # with the SDK, which a worker that has Claude at hand has imported

        desk = await asyncio.to_thread(AssessDesk, turn.status, turn.memory_snapshot, self.store, self.files)
        step = await take(claude, turn.status.request.model, desk, "assess", turn, work.request)
        return AssessAnswer(
            usage=step.usage,
            counted=step.counted,
            messages=step.messages,
            ended=step.ended,
            assessment=step.outcome.assessment if step.outcome else None,
            memory_snapshot=desk.memory_snapshot,
        )


def _assess_offline(status: CycleStatus) -> AssessAnswer:
    if status.training is None or status.backtest is None:
        raise ResearchError(ErrorCode.INTERNAL_ERROR, "an assessment needs the results of training and backtest")
    return AssessAnswer(assessment=assess(status.training, status.backtest, status.gates))
