"""`research dev` as a person uses it: worker and server killed, two starts at once, Ctrl-C at any moment."""

import asyncio
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from client.dev import DevError, dev_stack
from settings import Settings

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

    environment: dict[str, str]
    told: Path
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.call()

    @property
    def home(self) -> Path:
        return Path(self.environment["RESEARCH_HOME"])

    def call(self) -> None:
        """Type the command, for the first time or once more."""
        with self.told.open("wb") as log:
            self.process = subprocess.Popen(
                [RESEARCH, "dev", "--port", str(free_port())],
                # A configuration for another server, which is none of this stack's.
                env=self.environment | {"TEMPORAL_API_KEY": "another server's"},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def until_ready(self) -> None:
        until(lambda: "ready:" in self.told.read_text() or self.process.poll() is not None)
        assert self.process.poll() is None, self.told.read_text()

    def stop(self, how: signal.Signals) -> None:
        """Ask it to stop, and wait until it and all that it has started are gone."""
        family = self.family()
        assert len(family) >= 3  # the server, the worker, an engine process
        self.process.send_signal(how)
        assert self.process.wait(PATIENCE) == 0
        _, alive = psutil.wait_procs(family, timeout=10)
        assert not alive

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

    def child(self, word: str) -> psutil.Process | None:
        """The child that has this word in its command line, once there is one."""
        for child in psutil.Process(self.process.pid).children():
            if any(word in part for part in child.cmdline()):
                return child
        return None

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


def until(condition: Callable[[], Any]) -> Any:
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
def starting(tmp_path: Path) -> Iterator[Dev]:
    """`research dev`, only just called."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TEMPORAL_", "RESEARCH_"))}
    environment |= {"RESEARCH_HOME": str(tmp_path / "home")}
    dev = Dev(environment, tmp_path / "dev.log")
    try:
        yield dev
    finally:
        dev.process.send_signal(signal.SIGINT)
        dev.process.wait(PATIENCE)


@pytest.fixture
def dev(starting: Dev) -> Dev:
    """`research dev`, ready."""
    starting.until_ready()
    return starting


def test_a_worker_killed_in_mid_training_and_a_stack_stopped_twice_in_it_change_nothing(
    dev: Dev, tmp_path: Path
) -> None:
    strategy = tmp_path / "long.yaml"
    strategy.write_text(STRATEGY.read_text().replace("epochs: 300", "epochs: 60"))
    start = ["start", "--strategy", str(strategy), "--designer", "offline", "--seed", "7", *OPEN]
    code, first = dev.research(*start)
    assert code == 0
    cycle, worker_log = dev.home / "artifacts" / first["cycle_id"], dev.home / "logs" / "worker.log"

    reached = frozen_in_training(dev, cycle)
    killed = dev.child("worker.py")
    assert killed is not None
    orphans = killed.children(recursive=True)
    code, refused = dev.research(*start)
    assert (code, refused["error"]["code"]) == (8, "active_operation_exists")
    assert first["cycle_id"] in json.dumps(refused)
    killed.kill()
    psutil.wait_procs(orphans, timeout=10)
    assert not [process for process in orphans if process.is_running()]

    for number, how in enumerate((signal.SIGTERM, signal.SIGINT), 1):
        reached = frozen_in_training(dev, cycle, reached)
        dev.stop(how)  # leaves no process
        assert not (dev.home / "dev.json").exists()
        assert worker_log.read_text().count("handed over at ") == number
        dev.call()
        dev.until_ready()
    code, ended = dev.research("status", first["cycle_id"], "--watch")
    assert (code, ended["cycle"]["outcome"]) == (0, "completed")

    code, undisturbed = dev.research(*start, "--wait")
    assert code == 0
    for path in (("training", "model_id"), ("backtest", "sharpe_ratio"), ("backtest", "total_trades")):
        assert ended["cycle"][path[0]][path[1]] == undisturbed["cycle"][path[0]][path[1]]
    assert len(list(cycle.glob("training-*"))) == 1


def frozen_in_training(dev: Dev, cycle: Path, earlier: dict[Path, int] | None = None) -> dict[Path, int]:
    """Wait until an attempt other than the earlier ones is among its epochs, and stop its process there, so that it
    does not end meanwhile. The epochs that the attempts have come to.
    """
    before = earlier or {}
    begun_at = until(lambda: next((epoch for folder, epoch in epochs(cycle).items() if folder not in before), None))
    for child in psutil.Process(until(lambda: dev.child("worker.py")).pid).children(recursive=True):
        child.suspend()
    assert begun_at >= max(before.values(), default=0)  # from a checkpoint, not from the first epoch
    return epochs(cycle)


def epochs(cycle: Path) -> dict[Path, int]:
    """By attempt's folder, the epoch of its checkpoint; not of attempts that were moved aside for a later one."""
    found: dict[Path, int] = {}
    for path in cycle.glob(".attempts/*/checkpoint-[0-9]*"):
        if path.parent.suffix != ".aside":
            found[path.parent] = max(int(path.name.removeprefix("checkpoint-")), found.get(path.parent, 0))
    return found


def test_a_server_killed_is_started_again_on_its_port_with_its_data(dev: Dev) -> None:
    assert dev.research("budget", "set", "--tokens", "12345")[0] == 0
    note = (Path(dev.environment["RESEARCH_HOME"]) / "dev.json").read_text()
    server = dev.child("start-dev")
    assert server is not None

    server.kill()
    until(lambda: dev.told.read_text().count("Temporal server  ") == 2)

    assert "The Temporal server was killed by SIGKILL; starting it again." in dev.told.read_text()
    assert (Path(dev.environment["RESEARCH_HOME"]) / "dev.json").read_text() == note
    # The ledger is in the server's data, and the worker that answers for it is the one from before.
    answer = until(lambda: budget if (budget := dev.research("budget"))[0] == 0 else None)
    assert answer[1]["daily_budget"] == 12_345
    assert dev.research("budget", "set", "--tokens", "54321")[0] == 0
    assert dev.told.read_text().count("Worker  ") == 1


def test_ctrl_c_while_it_starts_leaves_no_process(starting: Dev) -> None:
    until(lambda: "process" in starting.told.read_text())
    family = starting.family()
    assert family

    starting.process.send_signal(signal.SIGINT)
    starting.process.send_signal(signal.SIGINT)

    assert starting.process.wait(PATIENCE) == 0
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive
    assert "ready:" not in starting.told.read_text()
    assert "Traceback" not in starting.told.read_text()


async def test_a_stack_that_ends_without_a_word_is_taken_over(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    with (tmp_path / "dev.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        entering = asyncio.create_task(started_here(settings))
        await asyncio.sleep(0.3)
        assert not entering.done()
    assert await entering


async def test_a_stack_that_never_says_where_it_is_is_told_with_its_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("client.dev.SERVER_READY", 0.2)
    with (tmp_path / "dev.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        held.write("4711\n")
        held.flush()
        with pytest.raises(DevError, match=r"process 4711 holds .*dev\.lock"):
            await started_here(Settings(home=tmp_path))


async def started_here(settings: Settings) -> bool:
    async with dev_stack(settings, lambda _: None, free_port()) as stack:
        return stack.started_here
