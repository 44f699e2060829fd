"""Any order of messages, crashes, days and limits: the ledger never falls under the provider's bill, nor over a limit.

The world and its moves stand in ledger_cycles and ledger_world, what must hold in ledger_promises, the provider in
ledger_biller. Here many fixed schedules are run, and hypothesis looks for others and shrinks what it finds.
"""

import ast
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from .ledger_promises import Promises
from .ledger_schedules import MOVES, finish
from .ledger_world import World

ROOT = Path(__file__).parents[2]
SHORT, LONG = 2_000, 10_000
"""Schedules in the usual run, and with --chaos."""

PROCESSES = 2


def test_thousands_of_schedules_keep_every_promise(request: pytest.FixtureRequest) -> None:
    schedules = LONG if request.config.getoption("chaos") else SHORT
    share = schedules // PROCESSES
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.domain.ledger_schedules", str(first), str(first + share)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for first in range(0, schedules, share)
    ]
    said = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0] * PROCESSES, "\n".join(said)
    assert said == [f"{share} schedules of 50 steps kept every promise\n"] * PROCESSES


def test_the_provider_s_bill_is_made_by_code_that_knows_nothing_of_ours() -> None:
    tree = ast.parse((Path(__file__).parent / "ledger_biller.py").read_text())
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [node.module or "."]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else []
        )
    }
    assert imported <= set(sys.stdlib_module_names)


class LedgerMachine(RuleBasedStateMachine):
    """The same world, with moves and chances chosen by hypothesis."""

    @initialize(chance=st.randoms(use_true_random=False))
    def a_world_begins(self, chance: Random) -> None:
        self.world = World(chance)
        self.promises = Promises(self.world)

    @rule(move=st.sampled_from(MOVES), chance=st.randoms(use_true_random=False))
    def something_happens(self, move, chance: Random) -> None:
        self.world.seen.served = False
        move(self.world, chance)

    @invariant()
    def every_promise_holds(self) -> None:
        if hasattr(self, "promises"):
            self.promises.hold()

    def teardown(self) -> None:
        if hasattr(self, "promises"):
            finish(self.world, self.promises, Random(0))


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(
    max_examples=30,
    stateful_step_count=50,
    deadline=None,
    print_blob=True,
    phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
