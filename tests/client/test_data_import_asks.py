"""`data import` at a terminal: a file whose times carry no offset is imported once a person has said their zone."""

import os
import pty
import subprocess
import sys
from pathlib import Path

BARS = [
    f"2024-01-{day:02d} {hour:02d}:00:00,1.1,1.2,1.0,1.15,1"
    for day in (*range(2, 6), *range(8, 13))
    for hour in range(9, 22)
]


def test_at_a_terminal_the_time_zone_is_asked_for_and_the_answer_is_the_files(tmp_path: Path) -> None:
    (tmp_path / "bars.csv").write_text("\n".join(["timestamp,open,high,low,close,volume", *BARS]))
    words = ["data", "import", str(tmp_path / "bars.csv"), "--symbol", "ASKED", "--timeframe", "1h"]
    ours, theirs = pty.openpty()
    os.write(ours, b"Europe/Berlin\n")  # as one who types ahead
    ran = subprocess.Popen(
        [sys.executable, "-c", "from client.main import main; main()", *words, "--asset-class", "equity"],
        env={**os.environ, "RESEARCH_HOME": str(tmp_path / "home"), "TERM": "xterm", "COLUMNS": "200"},
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    out, _ = ran.communicate(timeout=120)
    told = _read(ours)
    assert "What zone are they in?" in told, told
    assert "time zone:" in told, told
    assert ran.returncode == 0, told
    (kept,) = (tmp_path / "home").rglob("ASKED_1h*")
    assert kept.is_file()
    assert b"2024-01-02 08:00" in out, out  # nine o'clock in Berlin


def _read(terminal: int) -> str:
    """All that was written there."""
    found = b""
    try:
        while chunk := os.read(terminal, 4096):
            found += chunk
    except OSError:  # its other end is closed and everything read
        pass
    finally:
        os.close(terminal)
    return found.decode()
