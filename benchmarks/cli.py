"""How long the command's first screens take, as whole processes, beside those of others.

Run from the project's root: `python -m benchmarks.cli [--quick] [--json FILE]`. Others that are not on PATH are left
out. `status` is asked of a server that is not there, so that nothing but the command is measured; beside it stands what
any command that speaks to Temporal from Python pays for its client alone.
"""

import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.figures import Group, Row, command
from domain.results import Frozen

HERE = Path(sys.executable).parent
OTHERS = ("temporal", "llm", "prefect", "gh", "uv")
GOAL = 0.25
"""Seconds, for `research --help` on an idle machine."""

RUNS = 10
"""Of each command."""

HELP, BARE, FLOOR = "research --help", "python -c pass", "import temporalio.client"


class Screen(Frozen):
    """A command and the seconds that it took: the median, and the quickest."""

    command: str
    median: float
    best: float


def commands(others: tuple[str, ...] = OTHERS) -> dict[str, list[str]]:
    """By the name under which each is told."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{probe.getsockname()[1]}"
    research = str(HERE / "research")
    beside = {
        f"{name} --help": found
        for name in others
        if (found := shutil.which(name, path=f"{HERE}{os.pathsep}{os.environ.get('PATH', '')}"))
    }
    return {
        BARE: [sys.executable, "-c", "pass"],
        FLOOR: [sys.executable, "-c", "import temporalio.client"],
        HELP: [research, "--help"],
        "research start --help": [research, "start", "--help"],
        "research status": [research, "--address", nobody, "status"],
        **{name: [found, "--help"] for name, found in beside.items()},
    }


def measured(asked: dict[str, list[str]], runs: int) -> list[Screen]:
    """So many runs of each, in turn, after one that does not count."""
    taken: dict[str, list[float]] = {name: [] for name in asked}
    for run in range(runs + 1):
        for name, words in asked.items():
            began = time.perf_counter()
            subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
            if run:
                taken[name].append(time.perf_counter() - began)
    return [Screen(command=name, median=statistics.median(all_), best=min(all_)) for name, all_ in taken.items()]


def groups(quick: bool) -> list[Group]:
    """The first screens beside what any Python program pays, and beside other commands' help."""
    found = measured(commands(()), 1) if quick else measured(commands(), RUNS)
    by_name = {screen.command: screen for screen in found}
    own, bare, floor = by_name[HELP], by_name[BARE], by_name[FLOOR]
    screens = [
        _row(own, "the goal", Screen(command="", median=GOAL, best=GOAL), goal=1.0),
        _row(own, BARE, bare),
        _row(by_name["research start --help"], BARE, bare),
        _row(by_name["research status"], FLOOR, floor),
    ]
    known = {HELP, BARE, FLOOR, "research start --help", "research status"}
    others = [_row(own, name, screen) for name, screen in by_name.items() if name not in known]
    note = "Whole processes, files in the page cache; `status` asks a server that is not there."
    return [Group(title="First screens", rows=(*screens, *others), notes=(note,))]


def _row(screen: Screen, name: str, other: Screen, goal: float | None = None) -> Row:
    return Row(
        what=screen.command,
        ours=f"{screen.median:.3f} s",
        beside=name,
        theirs=f"{other.median:.3f} s",
        ratio=screen.median / other.median,
        goal=goal,
    )


main = command("cli", __doc__ or "", ("typer", "temporalio"), groups)

if __name__ == "__main__":
    raise SystemExit(main(None))
