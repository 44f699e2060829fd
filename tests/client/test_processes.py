"""Programs beside this one: kept alive, and ended, however often and however rudely somebody asks."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from client.processes import Program, kept, spawn, stop

SLEEPER = "import time; time.sleep(600)"
SLOW_TO_END = (
    "import signal, time\n"
    "def end(*_): time.sleep(0.7); raise SystemExit(0)\n"
    "signal.signal(signal.SIGTERM, end)\n"
    "print('here', flush=True)\n"
    "time.sleep(600)"
)
PARENT = (
    "import asyncio, sys\n"
    "from pathlib import Path\n"
    "from client.processes import Program, kept\n"
    "async def main():\n"
    "    sleeper = Program('x', (sys.executable, '-c', sys.argv[1]), {}, Path(sys.argv[2]), '', '', '')\n"
    "    async with kept(sleeper, lambda line: print(line, flush=True)):\n"
    "        await asyncio.sleep(600)\n"
    "asyncio.run(main())\n"
)


def program(tmp_path: Path, script: str) -> Program:
    return Program(
        name="sleeper",
        command=(sys.executable, "-c", script),
        environment=os.environ,
        log=tmp_path / "logs" / "sleeper.log",
        headline="Sleeper ",
        remark="sleeps",
        meanwhile="Dreams go on.",
    )


class Told:
    """What was told, line by line, and a way to wait for the next line."""

    def __init__(self) -> None:
        self.lines: asyncio.Queue[str] = asyncio.Queue()

    def __call__(self, line: str) -> None:
        self.lines.put_nowait(line)

    async def next(self) -> str:
        async with asyncio.timeout(30):
            return await self.lines.get()


async def test_a_killed_program_is_told_and_started_again_and_ends_with_the_block(tmp_path) -> None:
    told = Told()

    async with kept(program(tmp_path, SLEEPER), told) as broken:
        first = int((await told.next()).split()[2])
        os.kill(first, signal.SIGKILL)
        killed = await told.next()
        second = int((await told.next()).split()[2])
        assert not broken.is_set()

    assert killed == "The sleeper was killed by SIGKILL; starting it again. Dreams go on."
    assert second != first
    assert not psutil.pid_exists(second)


async def test_a_program_that_ends_with_an_error_is_broken_and_its_last_words_are_there(tmp_path) -> None:
    told = Told()
    failing = program(tmp_path, "import sys; print('no such thing'); sys.exit(3)")

    async with kept(failing, told) as broken:
        async with asyncio.timeout(30):
            await broken.wait()
        await told.next()
        ended = await told.next()

    assert ended.startswith("The sleeper ended with code 3: see ")
    assert failing.ending().splitlines()[-1] == "no such thing"


async def test_a_program_that_is_not_there_is_told(tmp_path) -> None:
    told = Told()
    absent = Program("absent", (str(tmp_path / "absent"),), {}, tmp_path / "log", "", "", "")

    async with kept(absent, told) as broken:
        line = await told.next()
        assert broken.is_set()

    assert line.startswith("The absent cannot be started")


@pytest.mark.parametrize("cancels", [1, 3])
async def test_however_often_it_is_cancelled_a_stop_goes_through_to_the_end(tmp_path, cancels) -> None:
    slow = program(tmp_path, SLOW_TO_END)
    slow.log.parent.mkdir()
    process = await spawn(slow)
    async with asyncio.timeout(30):
        while "here" not in slow.log.read_text():
            await asyncio.sleep(0.02)

    stopping = asyncio.create_task(stop(process))
    for _ in range(cancels):
        await asyncio.sleep(0.05)
        assert process.returncode is None
        stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping

    assert process.returncode == 0


def test_a_child_ends_with_its_parent_by_kill_9_too(tmp_path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, SLEEPER, str(tmp_path / "log")], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline().split()[1]))

    parent.kill()
    parent.wait()

    child.wait(10)
