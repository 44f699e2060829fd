"""Cycles to report on: one that the real engine trained and tested, and others that ended early, or at a service."""

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path, PurePosixPath

# As engine processes run: one thread each. Before JAX is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

from domain.cycle import (
    CycleRequest,
    CycleStatus,
    DesignerKind,
    Failure,
    Outcome,
    Phase,
    PhaseUsage,
    StrategyRef,
    folder_name,
)
from domain.errors import ErrorCode
from domain.gates import GateThresholds, backtest_gate, training_gate
from domain.results import ServiceRun
from domain.verdict import assess
from engine.backtest import run_backtest
from engine.bars import SAMPLES
from engine.interface import BacktestJob, Places, TrainJob
from engine.training import run_training
from settings import Settings
from store.cycles import Store
from store.strategies import StrategyFiles

T0 = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HOSTILE = '<script>alert("brief")</script> & </script><img src=x onerror=alert(1)>'
COMMENT = "# a comment that </script><script>alert('strategy')</script> ends nothing\n"
LIMITS = GateThresholds()


def request(**changes) -> CycleRequest:
    asked = {"symbol": "PLANTED", "timeframe": "1h", "designer": DesignerKind.OFFLINE, "seed": 1, "brief": HOSTILE}
    return CycleRequest.model_validate(asked | changes)


@dataclass(frozen=True)
class House:
    """A home with recorded cycles, as a worker leaves it. No server is near."""

    settings: Settings
    cycles: dict[str, CycleStatus]

    @property
    def flags(self) -> tuple[str, ...]:
        return ("--home", str(self.settings.home), "--address", "127.0.0.1:1")


def house(home: Path) -> House:
    settings = Settings(home=home, temporal_address="127.0.0.1:1")
    files = StrategyFiles(settings.strategies)
    # Smaller than the sample: what takes time is to compile the network, layer by layer.
    text = (SAMPLES / "planted_edge.yaml").read_text().replace("[16, 8]", "[8]").replace("epochs: 20", "epochs: 8")
    text = COMMENT + text
    real = real_cycle(settings, files.save("planted_edge", text))
    cycles = {one.cycle_id: one for one in (real, *others(real))}
    store = Store.open(settings.store_url, migrate=True)
    for one in cycles.values():
        if one.outcome:
            store.record(one, files.facts(one.strategy) if one.strategy else None)
    store.close()
    return House(settings, cycles)


def real_cycle(settings: Settings, strategy: StrategyRef) -> CycleStatus:
    """What a cycle on the planted edge comes to, by the engine itself, without the workflow around it."""
    places = Places(artifacts=settings.artifacts, strategies=settings.strategies, data=settings.data)
    cycle_id = "cycle-real"
    told = {"cycle_id": cycle_id, "strategy": strategy, "symbol": "PLANTED", "timeframe": "1h", "seed": 1}
    folders = {kind: PurePosixPath(folder_name(cycle_id)) / kind for kind in ("training", "backtest")}
    for folder in folders.values():
        (settings.artifacts / folder).mkdir(parents=True)
    trained = run_training(
        TrainJob(**told), places, settings.artifacts / folders["training"], folders["training"], lambda _: None
    )
    job = BacktestJob(
        **told, model_path=trained.model_path, model_id=trained.model_id, data_sha256=trained.data_sha256, trials=12
    )
    tested = run_backtest(job, places, settings.artifacts / folders["backtest"], folders["backtest"], lambda _: None)
    gates = (training_gate(trained, LIMITS), backtest_gate(tested, LIMITS))
    return CycleStatus(
        cycle_id=cycle_id,
        run_id="run-real",
        request=request(),
        phase=Phase.DONE,
        outcome=Outcome.COMPLETED,
        strategy=strategy,
        hypothesis="After a sharp move the next hours go on.",
        memory_snapshot="m11-0a1b2c3d",
        training=trained,
        backtest=tested,
        gates=gates,
        assessment=assess(trained, tested, gates),
        tokens=18_400,
        usage={
            "design": PhaseUsage(calls=3, input=2_100, cache_write=6_000, cache_read=4_000, output=3_900),
            "assess": PhaseUsage(calls=1, input=1_100, output=1_300),
        },
        cost_usd=Decimal("0.1042"),
        started_at=T0,
        ended_at=T0 + timedelta(minutes=4),
    )


def others(real: CycleStatus) -> list[CycleStatus]:
    """Cycles that have only parts of it."""
    assert real.training is not None
    assert real.backtest is not None
    bare = CycleStatus(
        cycle_id="cycle-running", run_id="run-running", request=request(), phase=Phase.DESIGNING, started_at=T0
    )

    def ended(name: str, outcome: Outcome, stopped_in: Phase | None, **more) -> CycleStatus:
        found = {"cycle_id": f"cycle-{name}", "run_id": f"run-{name}", "outcome": outcome, "stopped_in": stopped_in}
        return bare.model_copy(update=found | {"ended_at": T0 + timedelta(minutes=1), **more})

    strict = training_gate(real.training, GateThresholds(training_min_skill=0.6))
    failure = Failure(phase=Phase.TRAINING, code=ErrorCode.TRAINING_FAILED, message="the loss is no number")
    service = ServiceRun(operation_id="op-1", model_path="/models/<b>one</b>")
    untold = {"service": service, "data_sha256": None}
    trained = real.training.model_copy(
        update=untold
        | {"model_id": "op-1", "model_path": None, "history_path": None, "baseline_loss": None}
        | {"balanced": False, "class_balance": {}, "bars_used": None}
    )
    tested = real.backtest.model_copy(
        update=untold
        | {"gross": None, "equity_path": None, "trades_path": None, "benchmark_return": None}
        | {"sharpe_interval": None, "excess_sharpe": None, "excess_sharpe_interval": None, "deflated_low": None}
        | {"probabilistic_sharpe": None, "deflated_sharpe": None, "luck_percentile": None, "luck_median_return": None}
        | {"luck_draws": 0, "by_year": (), "by_regime": (), "regime_rule": None}
        | {"exposure": None, "turnover": None, "sortino_ratio": None, "win_rate": 0.4, "sharpe_ratio": 0.4}
    )
    gates = (training_gate(trained, LIMITS), backtest_gate(tested, LIMITS))
    return [
        bare,
        ended(
            "rejected",
            Outcome.REJECTED,
            Phase.TRAINING,
            strategy=real.strategy,
            training=real.training,
            gates=(strict,),
            reason=strict.reason,
        ),
        ended("failed", Outcome.FAILED, Phase.TRAINING, strategy=real.strategy, failure=failure, reason=HOSTILE),
        ended("cancelled", Outcome.CANCELLED, Phase.DESIGNING, reason=HOSTILE),
        ended("refused", Outcome.REFUSED, Phase.QUEUED, reason="budget_exhausted"),
        ended(
            "service",
            Outcome.COMPLETED,
            None,
            strategy=real.strategy,
            training=trained,
            backtest=tested,
            gates=gates,
            assessment=assess(trained, tested, gates),
            phase=Phase.DONE,
        ),
    ]
