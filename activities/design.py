"""The design activity: one turn of the designer. The offline designer needs one turn and calls no model.

Claude's turns are one request each: what went before travels with the turn, and what it adds goes back with the answer.
"""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from temporalio import activity

from activities.faults import translated
from activities.fence import Billable, billable, check_envelope
from activities.heartbeat import beating
from claude.design_desk import DesignDesk
from claude.hand import at_hand
from domain.cycle import CycleRequest, DesignerKind
from domain.turns import DesignAnswer, DesignTurn
from engine.bars import load_bars
from engine.interface import Places
from engine.offline_designer import propose
from store.cycles import Store
from store.strategies import StrategyFiles

if TYPE_CHECKING:
    from claude.call import Claude


@dataclass(frozen=True)
class DesignActivity:
    """Designs with what the store remembers, and keeps the strategy as a file."""

    store: Store
    files: StrategyFiles
    places: Places
    claude: "Claude | None" = None

    @activity.defn(name="design")
    async def design(self, turn: DesignTurn) -> DesignAnswer:
        """One turn. Errors: data_unavailable, envelope_stale, store_unavailable; Claude's: those of a call too."""
        with translated():
            check_envelope(turn.granted_run_id)
            async with beating(f"designing for {turn.request.symbol} {turn.request.timeframe}"):
                if turn.request.designer is DesignerKind.OFFLINE:
                    return await asyncio.to_thread(self._design_offline, turn.request)
                with billable(turn) as work:
                    return await self._design_with_claude(turn, work)

    async def _design_with_claude(self, turn: DesignTurn, work: Billable) -> DesignAnswer:
        claude = at_hand(self.claude)
        from claude.turn import take  # with the SDK, which a worker that has Claude at hand has imported

        desk = await asyncio.to_thread(
            DesignDesk, turn.request, turn.memory_snapshot, self.store, self.files, self.places.data
        )
        step = await take(claude, turn.request.model, desk, "design", turn, work.request)
        return DesignAnswer(
            usage=step.usage,
            counted=step.counted,
            messages=step.messages,
            ended=step.ended,
            strategy=step.outcome.strategy if step.outcome else None,
            hypothesis=step.outcome.hypothesis if step.outcome else None,
            memory_snapshot=desk.memory_snapshot,
        )

    def _design_offline(self, request: CycleRequest) -> DesignAnswer:
        bars = load_bars(request.symbol, request.timeframe, self.places.data)
        memory = self.store.snapshot(request.symbol, request.timeframe, request.memory_snapshot)
        proposal = propose(
            symbol=request.symbol,
            timeframe=request.timeframe,
            seed=request.seed,
            memory=memory,
            bars=bars,
            is_known=lambda known: self.store.strategy_known(known, memory.id) is not None,
        )
        ref = self.files.save(proposal.name, proposal.strategy_text, proposal.parameters_json)
        return DesignAnswer(strategy=ref, hypothesis=proposal.hypothesis, memory_snapshot=memory.id)
