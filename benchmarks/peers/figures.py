"""What is asked of a peer, and what it found."""

from typing import Literal, get_args

from pydantic import Field

from domain.results import Frozen

Name = Literal["dbos", "prefect", "plain"]
NAMES: tuple[Name, ...] = get_args(Name)


class Plan(Frozen):
    """How much of everything. patience: seconds after which no run is begun or, of many at once, waited for."""

    latency: int = Field(20, ge=1, description="runs in sequence")
    at_once: tuple[int, ...] = (50, 200)
    killed: int = Field(20, ge=1, description="runs that stand in their second step when their process is killed")
    patience: float = Field(20.0, gt=0)


QUICK = Plan(latency=2, at_once=(3,), killed=2, patience=120)
"""Shows only that everything runs, on a busy machine too."""


class Killed(Frozen):
    """What `kill -9` cost, once its runs were released, the process was started again, and every run had ended."""

    runs: int = Field(description="stood in their second step, the first one done")
    finished: int = Field(description="went on by themselves after the restart, and ended")
    lost: int = Field(description="stayed where they were until somebody started them again by hand")
    steps_run_twice: int = Field(description="over all runs, those that were started again by hand included")
    budget_lost: int = Field(description="steps without an entry in the budget's file")
    budget_doubled: int = Field(description="entries beyond one a step")
    note: str = ""


class PeerFigures(Frozen):
    """A peer's figures. Seconds, runs per second, and seconds of processor time of its process and its server.

    throughput: by how many were started at once; of those that ended well, whose number is `ended`.
    cpu_per_run, bytes_per_run: over those phases whose runs all ended well.
    """

    name: Name
    version: str
    latency_median: float
    latencies: tuple[float, ...]
    throughput: dict[int, float]
    ended: dict[int, int]
    cpu_per_run: float
    bytes_per_run: float
    killed: Killed
    notes: tuple[str, ...] = Field((), description="whole sentences: how durable it was, and what did not go well")


class NotInstalled(Frozen):
    """A peer that is not there. why: with what to type next."""

    name: Name
    why: str
