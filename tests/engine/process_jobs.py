"""Jobs for the tests of processes, attempts and activities: top-level functions, so that a child finds them.

`train` is a training in small: epochs, a checkpoint after each, a model that depends on every epoch. A test stops it at
an epoch with `hold`, and reads from the journal which process did which epoch.
"""

import asyncio
import ctypes
import errno
import hashlib
import json
import os
import signal
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath

from domain.cycle import StrategyRef
from domain.errors import ErrorCode, ResearchError
from domain.results import BacktestResult, Costs, Figures, LossCurve, Part, PartName, Task, TrainingResult
from engine.embedded import EmbeddedEngine
from engine.interface import BacktestJob, Places, Progress, Report, TrainJob
from engine.pool import JobPool

EPOCHS = 6


class Unpicklable(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")
        self.hook = lambda: None


def add(a: int, b: int, report: Report) -> int:
    for step in range(4):
        report(Progress(fraction=step / 4, step=f"step {step}"))
    return a + b


def environment(report: Report) -> dict[str, str]:
    return dict(os.environ)


def process_facts(report: Report) -> tuple[int, int]:
    return os.getpid(), os.getpgid(0)


def parent(report: Report) -> int:
    return os.getppid()


def summed_by_jax(report: Report) -> float:
    # Not imported above: most jobs here run where JAX is not warm.
    import jax.numpy as jnp

    return float(jnp.sum(jnp.arange(4.0)))


def warm_modules(report: Report) -> bool:
    return "fractions" in sys.modules


def noisy(report: Report) -> str:
    sys.stdout.write("a library prints\n")
    os.write(1, b"and native code writes\n")
    return "answer"


def refuse(report: Report) -> None:
    raise ResearchError(ErrorCode.DATA_UNAVAILABLE, "no bars of EURUSD 1h")


def break_down(report: Report) -> None:
    raise Unpicklable(1, 2)


def fill_disk(report: Report) -> None:
    raise OSError(errno.ENOSPC, "No space left on device", "/some/where")


def get_killed(report: Report) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def crash(report: Report) -> None:
    ctypes.string_at(0)


def write_for_ever(path: Path, report: Report) -> None:
    report(Progress(fraction=0.0, step=str(os.getpid())))
    with path.open("a") as file:
        while True:
            file.write("x")
            file.flush()


def hold(places: Places, epoch: int) -> Path:
    """The file that makes a training wait before this epoch, for as long as it is there."""
    return places.data / f"hold-{epoch}"


def journal(places: Places) -> list[tuple[int, int]]:
    """(process id, epoch) of every epoch that was begun, in order."""
    path = places.data / "journal"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(int(pid), int(epoch)) for pid, epoch in (line.split() for line in lines)]


def train(
    job: TrainJob, places: Places, workdir: Path, final: PurePosixPath, report: Report, resume_from: Path | None
) -> TrainingResult:
    epoch, state = 0, str(job.seed)
    if resume_from is not None:
        epoch, state = json.loads((resume_from / "checkpoint-1").read_text())
    while epoch < EPOCHS:
        epoch += 1
        with (places.data / "journal").open("a") as lines:
            lines.write(f"{os.getpid()} {epoch}\n")
        while hold(places, epoch).exists():
            time.sleep(0.005)
        state = hashlib.sha256(f"{state} {epoch}".encode()).hexdigest()
        (workdir / "checkpoint-spare").write_text(json.dumps([epoch, state]))
        (workdir / "checkpoint-spare").replace(workdir / "checkpoint-1")
        report(Progress(fraction=epoch / EPOCHS, step=f"epoch {epoch} of {EPOCHS}"))
    (workdir / "model.npz").write_text(state)
    (workdir / "history.json").write_text("[]")
    return result(state, final, job.seed)


def result(state: str, final: PurePosixPath, seed: int) -> TrainingResult:
    curve = LossCurve(initial=1.0, final=0.9, best=0.9)
    now = datetime(2024, 1, 1, tzinfo=UTC)
    return TrainingResult(
        model_id=hashlib.sha256(state.encode()).hexdigest(),
        model_path=str(final / "model.npz"),
        history_path=str(final / "history.json"),
        task=Task.CLASSIFICATION,
        classes=3,
        epochs=EPOCHS,
        best_epoch=EPOCHS,
        train_loss=curve,
        validation_loss=curve,
        model_loss=0.9,
        baseline_loss=1.0,
        train_accuracy=0.5,
        validation_accuracy=0.5,
        features=("rsi",),
        parts=(Part(name=PartName.TRAIN, start=now, end=now, bars=1),),
        bars_used=1,
        data_sha256="0" * 64,
        seed=seed,
        seconds=0.1,
    )


def backtest(job: BacktestJob, places: Places, workdir: Path, final: PurePosixPath, report: Report) -> BacktestResult:
    with (places.data / "journal").open("a") as lines:
        lines.write(f"{os.getpid()} 1\n")
    while hold(places, 1).exists():
        time.sleep(0.005)
    for name in ("equity.parquet", "trades.parquet"):
        (workdir / name).write_text("one line")
    now = datetime(2024, 1, 1, tzinfo=UTC)
    return BacktestResult(
        total_return=0.1,
        annual_return=0.1,
        sharpe_ratio=1.0,
        sharpe_interval=None,
        sortino_ratio=None,
        max_drawdown=0.1,
        win_rate=0.5,
        profit_factor=1.1,
        total_trades=10,
        exposure=0.5,
        turnover=3.0,
        costs=Costs(commission=0.00002, half_spread=0.00003, total=0.001),
        gross=Figures(total_return=0.1, annual_return=0.1, sharpe_ratio=1.0, sortino_ratio=None, max_drawdown=0.1),
        benchmark_return=0.0,
        excess_sharpe=None,
        excess_sharpe_interval=None,
        trials=job.trials,
        expected_max_sharpe=0.0,
        deflated_low=None,
        minimum_provable_sharpe=0.5,
        equity_path=str(final / "equity.parquet"),
        trades_path=str(final / "trades.parquet"),
        part=Part(name=PartName.BACKTEST, start=now, end=now + timedelta(days=365), bars=1),
        data_sha256=job.data_sha256,
        seconds=0.1,
    )


def backtest_broken(**_: object) -> None:
    raise ValueError("no such shape")


def places_in(root: Path) -> Places:
    places = Places(artifacts=root / "artifacts", strategies=root / "strategies", data=root / "data")
    for folder in (places.artifacts, places.strategies, places.data):
        folder.mkdir(exist_ok=True)
    return places


def train_job(seed: int = 7) -> TrainJob:
    strategy = StrategyRef(name="small", sha256="0" * 64, path="small.yaml")
    return TrainJob(cycle_id="cycle-1", strategy=strategy, symbol="EURUSD", timeframe="1h", seed=seed)


def backtest_job(trials: int = 1) -> BacktestJob:
    return BacktestJob(
        **train_job().model_dump(),
        model_path="cycle-1/training/model.npz",
        model_id="0" * 64,
        data_sha256="0" * 64,
        trials=trials,
    )


def engine_in(
    root: Path, pool: JobPool, training: str = "process_jobs:train", backtest: str = "process_jobs:backtest"
) -> EmbeddedEngine:
    return EmbeddedEngine(pool, places_in(root), training=training, backtest=backtest)


def host_writer(path: str) -> None:
    """Be a process whose pool runs `write_for_ever`; the child's process id goes to standard output."""
    asyncio.run(_write(Path(path)))


async def _write(path: Path) -> None:
    with JobPool(1, path.parent / "cache", warm=()) as pool:
        await pool.run("process_jobs:write_for_ever", {"path": path}, lambda progress: _tell(progress.step))


def host_training(root: str) -> None:
    """Be a process that trains `train_job()`; the error's code, or "done", goes to standard output."""
    asyncio.run(_train(Path(root)))


async def _train(root: Path) -> None:
    with JobPool(1, root / "cache", warm=()) as pool:
        try:
            await engine_in(root, pool).train(train_job(), lambda progress: None)
            _tell("done")
        except ResearchError as error:
            _tell(error.code.value)


def _tell(word: str) -> None:
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


def train_refused(**_: object) -> None:
    raise ResearchError(ErrorCode.INVALID_STRATEGY, "BUY has 3 of 900 labels")


def train_broken(**_: object) -> None:
    raise ValueError("no such shape")


def train_disk_full(**_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def train_out_of_memory(**_: object) -> None:
    raise MemoryError


def train_killed(places: Places, **_: object) -> None:
    with (places.data / "journal").open("a") as lines:
        lines.write(f"{os.getpid()} 1\n")
    os.kill(os.getpid(), signal.SIGKILL)


def held_for_ever(places: Places, **_: object) -> None:
    """A training or backtest that goes on until its process is killed."""
    with (places.data / "journal").open("a") as lines:
        lines.write(f"{os.getpid()} 1\n")
    while True:
        time.sleep(60)
