"""How much longer a phase takes: told from what was seen of this attempt, and not before enough was."""

import pytest

from client.pace import Pace
from client.pending import Live
from client.render_cycle import render_cycle
from client.views import view
from domain.cycle import CycleStatus


def at(status: CycleStatus, fraction: float | None, attempt: int = 1, *, started: bool = True):
    return view(status, Live(activity="train", attempt=attempt, started=started, fraction=fraction, step="epoch"))


def test_the_rest_goes_at_the_pace_seen(queued):
    pace = Pace()
    assert pace.left(at(queued, 0.2), 100) is None
    assert pace.left(at(queued, 0.205), 110) is None
    assert pace.left(at(queued, 0.3), 101) is None
    assert pace.left(at(queued, 0.4), 110) == pytest.approx(30)
    assert pace.left(at(queued, 1.0), 150) == 0


def test_another_attempt_is_timed_anew_from_its_checkpoint(queued):
    pace = Pace()
    pace.left(at(queued, 0.0), 0)
    assert pace.left(at(queued, 0.5), 10) == pytest.approx(10)
    assert pace.left(at(queued, None, 2, started=False), 20) is None
    assert pace.left(at(queued, 0.5, 2), 60) is None
    assert pace.left(at(queued, 0.6, 2), 62) == pytest.approx(8)
    # A service that has lost its operation begins anew in the same attempt.
    assert pace.left(at(queued, 0.1, 2), 70) is None
    assert pace.left(at(queued, 0.2, 2), 72) == pytest.approx(16)


def test_the_screen_tells_it_beside_the_step(queued):
    from rich.console import Console

    console = Console(record=True, width=100)
    console.print(render_cycle(at(queued, 0.4), left=95))
    console.print(render_cycle(at(queued, 0.9), left=4))
    told = console.export_text()
    assert "Step: epoch; about 1 min 35 s left" in told
    assert "Step: epoch; a few seconds left" in told
