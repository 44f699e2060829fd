"""How tests wait for other processes: for conditions, never for a time."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

PATIENCE = 60.0
"""Seconds after which a condition is taken as never coming true."""


async def until(condition: Callable[[], bool], patience: float = PATIENCE) -> None:
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end, f"still not so after {patience:.0f} s"
        await asyncio.sleep(0.005)


def gone(pid: int) -> bool:
    """Whether a process runs no more. A zombie does not run: where nobody reaps orphans it stays in the table."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def stopped(pid: int) -> bool:
    return psutil.Process(pid).status() == psutil.STATUS_STOPPED


@contextmanager
def start_host(function: str, *arguments: str, module: str = "process_jobs") -> Iterator[subprocess.Popen[str]]:
    """A process of its own that calls `function` of a test module with these words as its arguments, killed
    at the end."""
    with subprocess.Popen(
        [sys.executable, "-c", f"import sys, {module}; {module}.{function}(*sys.argv[1:])", *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
        stdout=subprocess.PIPE,
        text=True,
    ) as host:
        try:
            yield host
        finally:
            host.kill()
