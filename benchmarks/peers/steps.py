"""The four steps, which do nothing, and the evidence that they leave where somebody wants to see what really ran.

The evidence lies in a folder, `held`: a line in `log` and an entry in `budget.json` for each step that begins, and the
second step ends only once there is a file `go`.
"""

import asyncio
import json
import os
from collections import Counter
from pathlib import Path

STEPS = ("design", "train", "backtest", "assess")

Answer = dict[str, str]


async def work(step: str, run: str, held: str) -> Answer:
    """One step of one run. held: the folder for its evidence, or nothing for a step that leaves none."""
    if held:
        folder = Path(held)
        # Before the log, so that who waits for the log's lines can kill between no two writes.
        charge(folder / "budget.json", run, step)
        _log(folder / "log", f"{run} {step}\n")
        while step == STEPS[1] and not (folder / "go").exists():
            await asyncio.sleep(0.02)
    return {"step": step, "run": run}


def charge(budget: Path, run: str, step: str) -> None:
    """Add an entry to the file, by a new file in its place; nobody else writes it meanwhile. It is not synced."""
    entries = json.loads(budget.read_text()) if budget.exists() else []
    entries.append({"run": run, "step": step, "tokens": 1})
    written = budget.with_suffix(".new")
    written.write_text(json.dumps(entries))
    written.replace(budget)


def _log(log: Path, line: str) -> None:
    """Append it in one write, and have it on the disk."""
    file = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
    try:
        os.write(file, line.encode())
        os.fsync(file)
    finally:
        os.close(file)


def begun(held: Path) -> Counter[tuple[str, str]]:
    """How often each step of each run began, by the log: (run, step)."""
    log = held / "log"
    lines = log.read_text().splitlines() if log.exists() else []
    return Counter((run, step) for run, step in (line.split(" ") for line in lines))


def charged(held: Path) -> Counter[tuple[str, str]]:
    """How often each step of each run was charged: (run, step)."""
    budget = held / "budget.json"
    entries = json.loads(budget.read_text()) if budget.exists() else []
    return Counter((entry["run"], entry["step"]) for entry in entries)
