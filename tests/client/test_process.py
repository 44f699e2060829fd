"""The command as a whole process: what it imports, and how it ends."""

import subprocess
import sys

HEAVY = ("temporalio", "pandas", "numpy", "jax", "sqlmodel", "sqlalchemy", "pydantic", "rich", "settings")


def test_the_first_screen_imports_nothing_heavy():
    script = (
        "import sys\nfrom client.main import run\ncode = run(['--help'])\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)\nsys.exit(code)"
    )

    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert ran.stderr.strip() == "[]"
    assert "research" in ran.stdout


def test_a_server_that_cannot_be_reached_leaves_the_exit_code_whole():
    script = "from client.main import main; main()"

    for _ in range(2):
        ran = subprocess.run(
            [sys.executable, "-c", script, "list", "--address", "127.0.0.1:1"], capture_output=True, text=True
        )
        assert (ran.returncode, ran.stdout) == (6, "")


def test_text_off_a_terminal_has_no_escape_sequences():
    script = "from client.main import main; main()"

    ran = subprocess.run([sys.executable, "-c", script, "data", "list"], capture_output=True, text=True, check=True)

    assert "EURUSD" in ran.stdout
    assert "\x1b" not in ran.stdout + ran.stderr
