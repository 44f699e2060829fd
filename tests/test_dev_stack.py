"""`research dev` as a person uses it: a worker killed in mid-training, two starts at once, Ctrl-C."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

STRATEGY = Path(__file__).parent / "activities" / "long_training.yaml"
OPEN = [
    *(
        "--set",
        "training_min_skill=0",
        "--set",
        "training_max_loss_ratio=100",
        "--set",
        "training_min_loss_decrease=-1",
    ),
    *("--set", "backtest_min_win_rate=0", "--set", "backtest_max_drawdown=1", "--set", "backtest_min_sharpe=-1000"),
    *("--set", "backtest_min_trades=0"),
]
PATIENCE = 120.0
RESEARCH = str(Path(sys.executable).with_name("research"))


@dataclass
class Dev:
    """A running `research dev` in a session of its own, with a home of its own."""

    process: subprocess.Popen[bytes]
    environment: dict[str, str]

    def research(self, *arguments: str) -> tuple[int, dict]:
        """A command with its exit code and its JSON."""
        done = subprocess.run(
            [RESEARCH, "-o", "json", *arguments],
            env=self.environment,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
        return done.returncode, json.loads(done.stdout)

    def worker(self) -> psutil.Process | None:
        """The worker process, once there is one."""
        for child in psutil.Process(self.process.pid).children():
            if any("worker.py" in word for word in child.cmdline()):
                return child
        return None

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


def until(condition: Callable[[], object]) -> object:
    """What the condition gives, as soon as it gives something."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(min(probe.getsockname()[1], 60_000))


@pytest.fixture
def dev(tmp_path: Path) -> Iterator[Dev]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TEMPORAL_", "RESEARCH_"))}
    environment |= {"RESEARCH_HOME": str(tmp_path / "home")}
    log = (tmp_path / "dev.log").open("wb")
    process = subprocess.Popen(
        [RESEARCH, "dev", "--port", str(free_port())],
        env=environment,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        until(lambda: "ready:" in (tmp_path / "dev.log").read_text() or process.poll() is not None)
        assert process.poll() is None, (tmp_path / "dev.log").read_text()
        yield Dev(process, environment)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE)
        log.close()


def test_a_worker_killed_in_mid_training_changes_nothing(dev: Dev, tmp_path: Path) -> None:
    strategy = tmp_path / "long.yaml"
    strategy.write_text(STRATEGY.read_text().replace("epochs: 300", "epochs: 600").replace("size: 64", "size: 32"))
    start = ["start", "--strategy", str(strategy), "--designer", "offline", "--seed", "7", *OPEN]
    code, first = dev.research(*start)
    assert code == 0

    def in_mid_training() -> bool:
        _, status = dev.research("status", first["cycle_id"])
        live = status["cycles"][0]["live"] if status["cycles"] else None
        return bool(live and "epoch" in json.dumps(live))

    until(in_mid_training)
    killed = dev.worker()
    assert killed is not None
    orphans = killed.children(recursive=True)
    code, refused = dev.research(*start)
    assert (code, refused["error"]["code"]) == (8, "active_operation_exists")
    assert first["cycle_id"] in json.dumps(refused)

    killed.kill()
    psutil.wait_procs(orphans, timeout=10)
    assert not [process for process in orphans if process.is_running()]
    code, ended = dev.research("status", first["cycle_id"], "--watch")
    assert (code, ended["cycle"]["outcome"]) == (0, "completed")

    code, undisturbed = dev.research(*start, "--wait")
    assert code == 0
    for path in (("training", "model_id"), ("backtest", "sharpe_ratio"), ("backtest", "total_trades")):
        assert ended["cycle"][path[0]][path[1]] == undisturbed["cycle"][path[0]][path[1]]
    trained = list((Path(dev.environment["RESEARCH_HOME"]) / "artifacts" / first["cycle_id"]).glob("training-*"))
    assert len(trained) == 1


def test_ctrl_c_leaves_no_process_and_the_next_dev_finds_everything(dev: Dev, tmp_path: Path) -> None:
    family = dev.family()
    assert len(family) >= 3  # the server, the worker, an engine process
    dev.process.send_signal(signal.SIGINT)
    assert dev.process.wait(PATIENCE) == 0
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive
    assert not (tmp_path / "home" / "dev.json").exists()
