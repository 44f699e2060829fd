"""What the tests with malformed input share: how often an input is tried, the command as it is typed, and its home."""

import io
import json
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from client.exits import ExitCode
from client.main import run

CHAOS = 10
"""How many times as many inputs the long form tries."""

Tried = Callable[..., None]


@pytest.fixture
def tried(request: pytest.FixtureRequest) -> Tried:
    """Calls a function with so many inputs. One that fails is made smaller, and told with how to repeat it."""

    def trying(check: Callable[..., None], *inputs: st.SearchStrategy[Any], examples: int) -> None:
        times = CHAOS if request.config.getoption("--chaos") else 1
        often = settings(
            max_examples=examples * times,
            deadline=None,
            print_blob=True,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        )
        often(given(*inputs)(check))()

    return trying


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def is_told(self) -> bool:
        """Whether it ended with one of the codes and without a traceback: 1 only for what it names itself."""
        return self.code in set(ExitCode) and "Traceback" not in self.out + self.err

    @property
    def error(self) -> dict[str, Any]:
        """Its error; fails unless stdout is JSON and nothing else."""
        told: dict[str, Any] = json.loads(self.out)["error"]
        return told


def typed(*arguments: str) -> Ran:
    """`research` with these arguments, in this process; its output can hold what a terminal can."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    with redirect_stdout(out), redirect_stderr(err):
        code = run(arguments)
    for stream in (out, err):
        stream.seek(0)
    return Ran(code, out.read(), err.read())


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of commands without a key, a server, or another configuration; whatever is relative lies beside it."""
    (tmp_path / "temporal.toml").touch()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    monkeypatch.setenv("TEMPORAL_CONFIG_FILE", str(tmp_path / "temporal.toml"))
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
    monkeypatch.setenv("RESEARCH_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def files(folder: Path) -> dict[Path, bytes]:
    """Every file below a folder, hidden ones too, with what it holds."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
