"""Staying with a cycle: what is shown, when, and how it ends."""

from collections.abc import Awaitable, Callable, Iterator

import pytest

from client.exits import CommandError, ExitCode
from client.live import exit_of, watch
from client.output import OutputFormat, Screen
from client.pending import Live
from client.views import CycleView, view
from domain.cycle import CycleStatus, Failure, Outcome, Phase
from domain.errors import ErrorCode

TEXT, JSON, JSONL = Screen(), Screen(OutputFormat.JSON), Screen(OutputFormat.JSONL)


def looking(*seen: CycleView | Exception) -> Callable[[], Awaitable[CycleView]]:
    """Looks that see these, one after the other, and the last one for ever."""
    moments: Iterator[CycleView | Exception] = iter(seen)
    last: list[CycleView | Exception] = []

    async def look() -> CycleView:
        found = next(moments, None) or last[-1]
        last.append(found)
        if isinstance(found, Exception):
            raise found
        return found

    return look


def training_at(status: CycleStatus, fraction: float) -> CycleView:
    live = Live(activity="train", attempt=1, started=True, fraction=fraction, step=f"epoch {fraction * 100:.0f} of 100")
    return view(status.model_copy(update={"phase": Phase.TRAINING}), live)


async def test_off_a_terminal_only_what_changed_is_told(queued, completed, capsys):
    seen = [training_at(queued, fraction) for fraction in (0.0, 0.01, 0.02, 0.5, 0.51)]

    last = await watch(looking(*seen, view(completed)), TEXT, period=0)

    lines = capsys.readouterr().out.splitlines()
    assert last.cycle == completed
    assert [line.split()[0] for line in lines if "%  " in line] == ["20%", "42%", "100%"]
    assert sum("gate passed" in line for line in lines) == 2


async def test_json_holds_nothing_before_the_end(queued, completed, capsys):
    await watch(looking(view(queued), view(completed)), JSON, period=0)

    assert capsys.readouterr().out == ""


async def test_jsonl_is_a_view_a_change(queued, completed, capsys):
    await watch(looking(view(queued), view(queued), view(completed)), JSONL, period=0)

    lines = capsys.readouterr().out.splitlines()
    assert [CycleView.model_validate_json(line).cycle.outcome for line in lines] == [None, Outcome.COMPLETED]


async def test_a_worker_that_is_away_is_told_once_and_waited_for(queued, completed, capsys):
    away = CommandError(ExitCode.NO_TEMPORAL_OR_WORKER, "no_worker", "no worker answers")

    await watch(looking(view(queued), away, away, view(completed)), TEXT, period=0)

    assert capsys.readouterr().out.count("no answer at the moment, trying again: no worker answers") == 1


async def test_a_cycle_that_nobody_knows_is_not_waited_for():
    unknown = CommandError(ExitCode.USAGE, "not_found", "there is no cycle x")

    with pytest.raises(CommandError, match="there is no cycle x"):
        await watch(looking(unknown), TEXT, period=0)


async def test_a_timeout_is_exit_code_7_and_says_how_to_come_back(queued):
    with pytest.raises(CommandError) as raised:
        await watch(looking(view(queued)), TEXT, quiet=True, seconds=0.05, period=0.01)

    assert raised.value.exit_code == ExitCode.WAIT_TIMED_OUT
    assert f"research status {queued.cycle_id} --watch" in (raised.value.next_step or "")


async def test_an_end_is_waited_for_until_it_is_recorded(queued, completed, capsys):
    recording = view(completed, running=True)

    last = await watch(looking(view(queued), recording, recording, view(completed)), TEXT, period=0)

    assert not last.recording
    captured = capsys.readouterr()
    assert "being recorded" in captured.out
    assert captured.err == ""


async def test_an_end_that_is_not_recorded_in_time_is_given_and_said_to_be_so(completed, capsys):
    recording = view(completed, running=True)

    last = await watch(looking(recording), TEXT, quiet=True, period=0.01, record_patience=0.05)

    assert last.cycle.outcome is Outcome.COMPLETED
    assert "still being recorded" in capsys.readouterr().err


async def test_a_timeout_while_an_end_is_recorded_does_not_hide_the_outcome(completed, capsys):
    last = await watch(looking(view(completed, running=True)), TEXT, quiet=True, seconds=0.05, period=0.01)

    assert last.cycle.outcome is Outcome.COMPLETED
    assert f"research status {completed.cycle_id}" in capsys.readouterr().err


FAILED_FOR_FUNDS = Failure(phase=Phase.ASSESSING, code=ErrorCode.BUDGET_EXHAUSTED, message="no funds")
ENDS = {
    "completed": ({"outcome": Outcome.COMPLETED}, 0),
    "failed": ({"outcome": Outcome.FAILED}, 1),
    "failed for want of funds": ({"outcome": Outcome.FAILED, "failure": FAILED_FOR_FUNDS}, 3),
    "refused by the budget": ({"outcome": Outcome.REFUSED, "reason": "budget_exhausted"}, 3),
    "rejected": ({"outcome": Outcome.REJECTED}, 5),
    "refused for another cycle": ({"outcome": Outcome.REFUSED, "reason": "active_operation_exists"}, 8),
    "cancelled": ({"outcome": Outcome.CANCELLED}, 9),
}


@pytest.mark.parametrize(("changes", "code"), ENDS.values(), ids=ENDS)
def test_each_end_of_a_cycle_has_its_exit_code(queued, changes, code):
    assert exit_of(queued.model_copy(update=changes)) == code
