"""What an engine's job costs beside its work: the start of its process, and the memory at its peak."""

import asyncio
import hashlib
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path, PurePosixPath

from benchmarks.figures import Group, Row
from domain.cycle import StrategyRef
from domain.results import BacktestResult, TrainingResult
from engine.backtest import run_backtest
from engine.embedded import EmbeddedEngine
from engine.interface import BacktestJob, Places, Progress, Report, TrainJob
from engine.pool import JobPool
from engine.training import run_training

IMPORTS = "import engine.training, engine.backtest"


def jobs(strategy: str, rounds: int) -> Group:
    """Start and memory. strategy: of EURUSD 1h, as YAML."""
    rows = [_started(rounds)]
    if sys.platform == "linux":  # /proc is Linux's
        asked = f"{IMPORTS}; from benchmarks.engine_jobs import peak; print(peak())"
        alone = subprocess.run([sys.executable, "-c", asked], check=True, capture_output=True, text=True).stdout
        rows += asyncio.run(_remembered(strategy, int(alone)))
    notes = ("Memory is the most that was resident, libraries included.",)
    return Group(title="A job's process", rows=tuple(rows), notes=notes)


def nothing(report: Report) -> None:
    """A job that has nothing to do."""


def train(
    job: TrainJob, places: Places, workdir: Path, final: PurePosixPath, report: Report, resume_from: Path | None
) -> TrainingResult:
    """A training that leaves word of its process's peak."""
    result = run_training(job, places, workdir, final, report, resume_from)
    (places.data / "training").write_text(str(peak()))
    return result


def backtest(job: BacktestJob, places: Places, workdir: Path, final: PurePosixPath, report: Report) -> BacktestResult:
    """A backtest that leaves word of its process's peak."""
    result = run_backtest(job, places, workdir, final, report)
    (places.data / "backtest").write_text(str(peak()))
    return result


def peak() -> int:
    """MiB that this process had resident at the most. Not ru_maxrss, which knows what its parent had."""
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    return int(found[1]) // 1024 if found else 0


def _started(rounds: int) -> Row:
    """A process that is forked, against one that imports the engine by itself."""
    fresh: list[float] = []
    for _ in range(rounds):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", IMPORTS], check=True)
        fresh.append(time.perf_counter() - began)
    ours, theirs = statistics.median(asyncio.run(_forked(rounds))), statistics.median(fresh)
    return Row(
        what="start", ours=f"{ours:.3f} s", beside="its imports alone", theirs=f"{theirs:.2f} s", ratio=ours / theirs
    )


async def _forked(rounds: int) -> list[float]:
    taken: list[float] = []
    with tempfile.TemporaryDirectory() as folder, JobPool(1, Path(folder)) as pool:
        for number in range(rounds + 1):
            began = time.perf_counter()
            await pool.run("benchmarks.engine_jobs:nothing", {}, _unheard)
            if number:  # the first waits for the imports
                taken.append(time.perf_counter() - began)
    return taken


async def _remembered(strategy: str, alone: int) -> list[Row]:
    """A training's peak and its backtest's, against that of a process that has only imported the engine, in MiB."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        places = Places(artifacts=root / "artifacts", strategies=root / "strategies", data=root / "data")
        for folder in (places.artifacts, places.strategies, places.data):
            folder.mkdir()
        digest = hashlib.sha256(strategy.encode()).hexdigest()
        (places.strategies / f"{digest}.yaml").write_text(strategy)
        ref = StrategyRef(name="measured", sha256=digest, path=f"{digest}.yaml")
        job = TrainJob(cycle_id="measured", strategy=ref, symbol="EURUSD", timeframe="1h", seed=1)
        with JobPool(1, root / "cache") as pool:
            engine = EmbeddedEngine(
                pool, places, training="benchmarks.engine_jobs:train", backtest="benchmarks.engine_jobs:backtest"
            )
            model = await engine.train(job, _unheard)
            tested = BacktestJob(
                **job.model_dump(),
                model_path=model.model_path,
                model_id=model.model_id,
                data_sha256=model.data_sha256,
                trials=1,
            )
            await engine.backtest(tested, _unheard)
        peaks = {kind: int((places.data / kind).read_text()) for kind in ("training", "backtest")}
    return [
        Row(
            what=f"memory of a {kind}",
            ours=f"{most} MiB",
            beside="its imports alone",
            theirs=f"{alone} MiB",
            ratio=most / alone,
        )
        for kind, most in peaks.items()
    ]


def _unheard(progress: Progress) -> None:
    """A report that nobody reads."""
