"""Asks a peer for its figures."""

import asyncio
import os
import signal
import sys
from importlib.util import find_spec
from pathlib import Path

from benchmarks.peers.figures import Name, NotInstalled, PeerFigures, Plan

ROOT = Path(__file__).parents[2]


async def peer_figures(name: Name, plan: Plan) -> PeerFigures | NotInstalled:
    """The peer's figures, from a process of its own that has ended by then. RuntimeError: it failed, with its words."""
    python = _python(name)
    if python is None:
        return NotInstalled(name=name, why=f"{name} is not installed: `make bench` installs it")
    asked = await asyncio.create_subprocess_exec(
        *(str(python), "-m", f"benchmarks.peers.{name}_peer", plan.model_dump_json()),
        cwd=ROOT,
        # What the user has set for their own Prefect or DBOS is not what is measured.
        env={key: value for key, value in os.environ.items() if not key.startswith(("PREFECT_", "DBOS_", "OTEL_"))},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        said, words = await asked.communicate()
    finally:
        if asked.returncode is None:
            # With its server and whatever else it has started.
            os.killpg(asked.pid, signal.SIGKILL)
            await asked.wait()
    if asked.returncode:
        raise RuntimeError(f"{name} failed:\n{words.decode(errors='replace')[-4000:]}")
    return PeerFigures.model_validate_json(said)


def _python(name: Name) -> Path | None:
    """The interpreter that has this peer, if there is one."""
    if name == "prefect":
        own = Path(sys.prefix) / "prefect" / "bin" / "python"
        return own if own.exists() else None
    return Path(sys.executable) if name == "plain" or find_spec(name) else None
