"""The measurement of the command's first screens runs; how quick they are is for a person to read."""

import subprocess
import sys
from pathlib import Path

from benchmarks.figures import Section
from settings import PROJECT


def test_it_measures_each_of_its_own_screens(tmp_path: Path) -> None:
    asked = [sys.executable, "-m", "benchmarks.cli", "--quick", "--json", str(tmp_path / "found")]
    ran = subprocess.run(asked, cwd=PROJECT, capture_output=True, text=True, timeout=120, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    [screens] = Section.model_validate_json((tmp_path / "found").read_text()).groups
    assert [row.what for row in screens.rows] == [
        *("research --help", "research --help", "research start --help", "research status")
    ]
    assert [row.goal for row in screens.rows] == [1.0, None, None, None]
