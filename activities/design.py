"""The design activity: one turn of the designer. The offline designer needs one turn and calls no model."""

import asyncio
from dataclasses import dataclass

from temporalio import activity

from activities.faults import translated
from activities.fence import check_envelope
from activities.heartbeat import beating
from domain.cycle import CycleRequest, DesignerKind
from domain.errors import ErrorCode, ResearchError
from domain.turns import DesignAnswer, DesignTurn
from engine.bars import load_bars
from engine.interface import Places
from engine.offline_designer import propose
from store.cycles import Store
from store.strategies import StrategyFiles


@dataclass(frozen=True)
class DesignActivity:
    """Designs with what the store remembers, and keeps the strategy as a file."""

    store: Store
    files: StrategyFiles
    places: Places

    @activity.defn(name="design")
    async def design(self, turn: DesignTurn) -> DesignAnswer:
        """One turn. Errors: data_unavailable, envelope_stale, store_unavailable."""
        with translated():
            check_envelope(turn.granted_run_id)
            if turn.request.designer is not DesignerKind.OFFLINE:
                raise ResearchError(
                    ErrorCode.INTERNAL_ERROR,
                    f"this worker has no designer {turn.request.designer.value!r}; use --designer offline",
                )
            async with beating(f"designing for {turn.request.symbol} {turn.request.timeframe}"):
                return await asyncio.to_thread(self._design_offline, turn.request)

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
