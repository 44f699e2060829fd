"""Takes the ledger's guards away, one at a time, and runs schedules until one breaks a promise.

The guards stand in ledger_guards/*.txt, divided by empty lines: what the guard is for, the file in domain/, and the
lines to change as a patch has them. `python -m tests.domain.ledger_mutants PART OF` tries every OF-th guard from PART
on, and prints for each the seed and the promise by which it was missed, or that it was not. The schedule that missed a
guard before is tried first: ledger_guards/first_seeds.tsv, which only saves time.
"""

import compileall
import os
import re
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
DOMAIN = HERE.parent.parent / "domain"
SEEDS = 1_500
SECONDS = 2
"""For one schedule, which takes some milliseconds: without an end is missed, too."""


class Guard(NamedTuple):
    """One condition, and the code without it."""

    why: str
    file: str
    text: str
    without: str


def guards() -> list[Guard]:
    """Every guard in the tables."""
    rows = []
    for table in sorted((HERE / "ledger_guards").glob("*.txt")):
        for block in re.split(r"\n\n(?=\S)", table.read_text().rstrip("\n")):
            why, file, *lines = block.split("\n")
            text = [line[1:] for line in lines if not line.startswith("+")]
            without = [line[1:] for line in lines if not line.startswith("-")]
            rows.append(Guard(why, file.removeprefix("@ "), "\n".join(text), "\n".join(without)))
    return rows


def first_seeds() -> dict[str, int]:
    """For each guard the schedule to begin with."""
    rows = (line.split("\t") for line in (HERE / "ledger_guards" / "first_seeds.tsv").read_text().splitlines())
    return {why: int(seed) for seed, why in rows}


def missed(home: Path, first: int) -> str:
    """What becomes of the promises with the domain at home."""
    import domain.ledger

    from .ledger_schedules import collect_seldom, run

    assert Path(domain.ledger.__file__).parent == home, "the domain that is tried is not the changed one"
    collect_seldom()
    for seed in (first, *range(SEEDS)):
        signal.alarm(SECONDS)
        try:
            run(seed)
        except BaseException as error:  # pytest's own failures are no Exceptions
            said = (str(error) or type(error).__name__).splitlines()[0]
            return f"missed by seed {seed}: {said[:100]}"
    return "NOT MISSED"


def main(part: int, of: int, home: Path) -> None:
    """Tries every guard of the part with a copy of the domain at home, each in a process of its own: a module is loaded
    once. What no guard stands in is loaded before, once for all.
    """
    shutil.copytree(DOMAIN, home, ignore=shutil.ignore_patterns("__pycache__", "grammar"))
    compileall.compile_dir(home, quiet=1)
    sys.path.insert(0, str(home.parent))
    sys.dont_write_bytecode = True  # A file that changes twice in a second would be taken for its first form.
    import pytest  # noqa: F401

    import domain.cycle  # noqa: F401

    first = first_seeds()
    for guard in guards()[part::of]:
        whole, before = (home / guard.file).read_text(), (home / guard.file).stat()
        (home / guard.file).write_text(whole.replace(guard.text, guard.without))
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            try:
                sys.stdout.write(f"{guard.why}: {missed(home, first.get(guard.why, 0))}\n")
                sys.stdout.flush()
            finally:
                os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            sys.stdout.write(f"{guard.why}: missed by {SECONDS} s without an end\n")
        (home / guard.file).write_text(whole)
        os.utime(home / guard.file, ns=(before.st_atime_ns, before.st_mtime_ns))  # as it was compiled


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(int(sys.argv[1]), int(sys.argv[2]), Path(folder) / "domain")
