"""The benchmark of the ledger runs, and its figures have the shape that people read; how fast it is, is not asked."""

import asyncio
import json
import sys
from pathlib import Path

from settings import PROJECT


async def test_the_quick_benchmark_measures_everything_once(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.budget", "--quick", "--json", str(figures)),
        cwd=PROJECT,
        stdout=asyncio.subprocess.PIPE,
    )
    told, _ = await process.communicate()
    assert process.returncode == 0
    found = json.loads(figures.read_text())
    assert found["machine"]["server"].split(",")[0] in told.decode()
    assert {one["kind"] for one in found["rates"]} == {
        "ledger",
        "bare, one partner for all",
        "bare, a partner each",
    }
    assert all(one["per_second"] > 0 and 0 < one["wait_p50"] <= one["wait_p99"] for one in found["rates"])
    assert all(one["per_second"] > 0 and one["wait_p50"] > 0 and one["wait_p99"] > 0 for one in found["ratios"])
    assert [one["history_events"] >= found["plan"]["events"] for one in found["sizes"]] == [True]
    assert [one["ask"] for one in found["restarts"]] == ["query", "envelope"]
