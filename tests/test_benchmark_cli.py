"""The measurement of the command's first screens runs; how quick they are is for a person to read."""

import re
import subprocess
import sys

from settings import PROJECT


def test_it_measures_each_of_its_own_screens() -> None:
    asked = [sys.executable, "-m", "benchmarks.cli", "--quick"]
    ran = subprocess.run(asked, cwd=PROJECT, capture_output=True, text=True, timeout=120, check=False)

    assert (ran.returncode, ran.stderr) == (0, "")
    told = [" ".join(line.split()) for line in ran.stdout.splitlines()]
    for screen in ("python -c pass", "research --help", "research start --help", "research status"):
        assert any(re.match(rf"{re.escape(screen)} \d+\.\d+ \d+\.\d+ ", line) for line in told), ran.stdout
    assert "goal" in ran.stdout
