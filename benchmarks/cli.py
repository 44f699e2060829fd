"""How long the command's first screens take, as whole processes, beside those of others.

Run from the project's root: `python -m benchmarks.cli [--runs N] [--quick]`. Others that are not on PATH are left out.
`status` is asked of a server that is not there, so that nothing but the command is measured; `floor` is what any
command that speaks to Temporal from Python pays for its client alone.
"""

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from domain.results import Frozen

HERE = Path(sys.executable).parent
OTHERS = ("temporal", "llm", "prefect", "gh", "uv")
GOAL = 0.25
"""Seconds, for `research --help` on an idle machine."""


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
        "python -c pass": [sys.executable, "-c", "pass"],
        "floor: import temporalio.client": [sys.executable, "-c", "import temporalio.client"],
        "research --help": [research, "--help"],
        "research start --help": [research, "start", "--help"],
        "research status": [research, "--address", nobody, "status"],
        **{name: [found, "--help"] for name, found in beside.items()},
    }


def measured(asked: dict[str, list[str]], runs: int) -> list[Screen]:
    """So many runs of each, in turn, after one that does not count."""
    taken: dict[str, list[float]] = {name: [] for name in asked}
    for run in range(runs + 1):
        for name, command in asked.items():
            began = time.perf_counter()
            subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
            if run:
                taken[name].append(time.perf_counter() - began)
    return [Screen(command=name, median=statistics.median(all_), best=min(all_)) for name, all_ in taken.items()]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10, help="of each command")
    parser.add_argument("--quick", action="store_true", help="one run, of its own alone: shows that it works")
    options = parser.parse_args()
    found = measured(commands(()), 1) if options.quick else measured(commands(), options.runs)
    own = next(screen.median for screen in found if screen.command == "research --help")
    table = Table("command", "median, s", "best, s", "research --help is", box=None)
    for screen in found:
        goal = f"goal <= {GOAL}" if screen.command == "research --help" else f"{own / screen.median:.2f} of it"
        table.add_row(screen.command, f"{screen.median:.3f}", f"{screen.best:.3f}", goal)
    Console().print(table)


if __name__ == "__main__":
    main()
