"""Five million bars are imported and loaded within four gigabytes; by default a smaller share of both."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

CHILD = r"""
import re, sys
from pathlib import Path
from engine.bars import load_bars
from engine.bars_import import import_bars
data = Path(sys.argv[2])
import_bars(Path(sys.argv[1]), data, "BIG", "1m", "index")
print(len(load_bars("BIG", "1m", data).frame), re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])
"""
MOST = 4 * 1024**2
"""In KiB, at the child's peak: not ru_maxrss, which knows what the parent had."""
LIBRARIES = 400 * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_millions_of_bars_fit_into_four_gigabytes(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    bars = 5_000_000 if request.config.getoption("--chaos") else 100_000
    rng = np.random.default_rng(1)
    close = np.round(np.exp(np.cumsum(rng.normal(0, 1e-4, bars))), 5)
    minutes = pd.date_range("2010-01-01", periods=bars, freq="min", tz="UTC").strftime("%Y-%m-%dT%H:%M:%SZ")
    frame = pd.DataFrame({"open": close, "high": close, "low": close, "close": close, "volume": 1.0}, index=minutes)
    frame.to_csv(tmp_path / "big.csv", index_label="timestamp")

    child = [sys.executable, "-c", CHILD, str(tmp_path / "big.csv"), str(tmp_path / "data")]
    ran = subprocess.run(child, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[2])

    found, kib = map(int, ran.stdout.split())
    assert found == bars
    assert kib < LIBRARIES + (MOST - LIBRARIES) * bars / 5_000_000
