"""Ctrl-C during the demo: it says so, ends all that it started, and leaves nothing half-written."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from domain.cycle import Outcome
from engine.model import load_model
from settings import Settings
from store.cycles import Store
from store.strategies import StrategyFiles

PATIENCE = 120.0


@dataclass
class Demo:
    """The demo in a process group of its own, as a terminal would start it, with all that it says in one file."""

    process: subprocess.Popen[bytes]
    home: Path
    output: Path

    def said(self) -> str:
        return self.output.read_text()

    def until(self, condition: Callable[[], bool]) -> None:
        """Waits for something that it has to bring about."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.05)

    def trainings(self) -> int:
        """How many trainings have begun."""
        return len(list(self.home.glob("artifacts/*/.attempts/training-*.current")))

    def interrupt(self) -> tuple[int, list[psutil.Process]]:
        """Ctrl-C. The exit code, and what is still alive of all that it had started."""
        family = psutil.Process(self.process.pid).children(recursive=True)
        os.killpg(self.process.pid, signal.SIGINT)
        code = self.process.wait(PATIENCE)
        _, alive = psutil.wait_procs(family, timeout=10)
        return code, alive


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    home, output = tmp_path / "home", tmp_path / "output.log"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TEMPORAL_", "RESEARCH_"))}
    with output.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "client.demo"],
            env=environment | {"RESEARCH_HOME": str(home)},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Demo(process, home, output)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.wait(PATIENCE)


def test_ctrl_c_in_mid_training_keeps_what_had_ended_and_leaves_nothing_broken_or_running(demo: Demo) -> None:
    demo.until(lambda: demo.trainings() == 2)
    code, alive = demo.interrupt()

    assert code == 130
    assert not alive
    assert "Traceback" not in demo.said()
    assert "is cancelled." in demo.said()
    assert not (demo.home / "dev.json").exists()
    for path in demo.home.rglob("*.json"):
        json.loads(path.read_text())
    for name in ("research.db", "temporal.db"):
        with closing(sqlite3.connect(demo.home / name)) as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert_first_cycle_is_whole(Settings(home=demo.home))


def test_ctrl_c_while_the_demo_is_still_starting_leaves_nothing_running(demo: Demo) -> None:
    demo.until(lambda: "Temporal server" in demo.said())
    code, alive = demo.interrupt()

    assert code == 130
    assert not alive
    assert "Traceback" not in demo.said()


def assert_first_cycle_is_whole(settings: Settings) -> None:
    """The interrupted cycle is recorded as cancelled; the first one's files are the bytes that its record names."""
    store = Store.open(settings.store_url)
    try:
        last, *_, first = store.list()
    finally:
        store.close()
    assert last.outcome is Outcome.CANCELLED
    assert first.outcome in (Outcome.COMPLETED, Outcome.REJECTED)
    assert first.training is not None
    assert load_model(settings.artifacts / str(first.training.model_path), first.training.model_id)
    assert first.strategy is not None
    assert StrategyFiles(settings.strategies).read(first.strategy)
