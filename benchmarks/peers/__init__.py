"""Other ways to run the four steps of a cycle, where no step does any work: DBOS, Prefect, and plain asyncio.

Each runs in a process of its own, `python -m benchmarks.peers.NAME_peer`, which prints its figures as JSON. Prefect
runs in an environment of its own: its bounds on other packages do not go together with ours.
"""

from benchmarks.peers.asking import peer_figures
from benchmarks.peers.figures import NAMES, QUICK, Killed, Name, NotInstalled, PeerFigures, Plan

__all__ = ["NAMES", "QUICK", "Killed", "Name", "NotInstalled", "PeerFigures", "Plan", "peer_figures"]
