"""All benchmarks, each in a process of its own, one after the other; then docs/benchmarks.md from what they found.

Run it by `make bench`, or `python -m benchmarks [--quick] [NAME ...]`. With names only those are run, and the page
keeps the others' figures as they are. The figures themselves lie in benchmarks/measured.json. --quick shows only that
everything runs, and writes nothing.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter

from benchmarks.figures import Section
from benchmarks.page import page
from settings import PROJECT

NAMES = ("orchestration", "budget", "engine", "observability", "cli", "growth", "spread", "soak")
"""In the order of the page."""

MEASURED = PROJECT / "benchmarks" / "measured.json"
PAGE = PROJECT / "docs" / "benchmarks.md"
SECTIONS = TypeAdapter(dict[str, Section])


def run(name: str, quick: bool) -> Section | None:
    """The benchmark's section, or None where it failed; it has said why by then."""
    with tempfile.TemporaryDirectory() as scratch:
        found = Path(scratch) / "section.json"
        words = [sys.executable, "-m", f"benchmarks.{name}", "--json", str(found), *(["--quick"] if quick else [])]
        if subprocess.run(words, cwd=PROJECT, check=False).returncode != 0:
            return None
        return Section.model_validate_json(found.read_text())


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Its exit code is 1 where a benchmark failed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="little of everything; writes nothing")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of: {', '.join(NAMES)}; all without it")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    kept = SECTIONS.validate_json(MEASURED.read_text()) if MEASURED.exists() else {}
    failed: list[str] = []
    for name in options.names or NAMES:
        sys.stdout.write(f"\n{name}\n")
        sys.stdout.flush()
        if (section := run(name, options.quick)) is None:
            failed.append(name)
        elif not options.quick:
            kept[name] = section
            # After each, since a later one may be cut off.
            MEASURED.write_text(SECTIONS.dump_json(kept, indent=1).decode() + "\n")
            lacking = [known for known in NAMES if known not in kept]
            PAGE.write_text(page([kept[known] for known in NAMES if known in kept], lacking))
    if failed:
        sys.stderr.write(f"failed: {', '.join(failed)}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
