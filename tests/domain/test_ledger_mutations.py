"""Every guard of the ledger is needed: taken away alone, a schedule breaks a promise."""

import subprocess
import sys
from pathlib import Path

from .ledger_mutants import DOMAIN, guards

ROOT = Path(__file__).parents[2]
PROCESSES = 2


def test_every_guard_stands_once_where_its_table_says() -> None:
    times = {guard.why: (DOMAIN / guard.file).read_text().count(guard.text) for guard in guards()}
    assert len(times) == len(guards())
    assert {why: number for why, number in times.items() if number != 1} == {}
    for guard in guards():
        compile((DOMAIN / guard.file).read_text().replace(guard.text, guard.without), guard.file, "exec")


def test_no_guard_can_be_taken_away_unnoticed() -> None:
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.domain.ledger_mutants", str(part), str(PROCESSES)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for part in range(PROCESSES)
    ]
    said = [process.communicate() for process in running]
    assert [process.returncode for process in running] == [0] * PROCESSES, said
    found = [line for out, _ in said for line in out.splitlines()]
    assert len(found) == len(guards())
    assert [line for line in found if ": missed by " not in line] == []
