"""What a cycle says of itself in the Web UI: whatever a brief holds stays text, and within what servers take."""

import pytest

from client.description import MAX_DETAILS, MAX_SUMMARY, details, memo, summary
from domain.cycle import MAX_BRIEF, CycleRequest, DesignerKind, StrategyRef

LONGEST_NAME = "s" * 80


def asked(brief: str, **changes: object) -> CycleRequest:
    usual = {"symbol": "S" * 32, "timeframe": "15m", "designer": DesignerKind.OFFLINE, "seed": 2**31 - 1}
    strategy = StrategyRef(name=LONGEST_NAME, sha256="ab" * 32, path=f"{LONGEST_NAME}.yaml")
    return CycleRequest.model_validate(usual | {"strategy": strategy, "brief": brief} | changes)


@pytest.mark.parametrize("letter", ["a", "*", "é", "\N{GRINNING FACE}", "\n", "a\n"], ids=ascii)
def test_the_longest_brief_fits_where_the_server_keeps_it(letter: str) -> None:
    request = asked((letter * MAX_BRIEF)[:MAX_BRIEF], model="m" * 80)

    assert len(summary(request).encode()) <= MAX_SUMMARY
    assert "\n" not in summary(request)
    assert len(details(request).encode()) <= MAX_DETAILS
    assert "`backtest_min_trades`" in details(request)
    assert (
        sum(len(str(value).encode()) for value in memo(request).values()) < 2048 - 500
    )  # room for why it is cancelled


def test_a_brief_stays_text() -> None:
    brief = "Is *this* a [link](/x)?\n![picture](/y) | <b>cell</b> {runId}\n\n# No heading"

    told = details(asked(brief))

    assert told.startswith(
        "> Is \\*this\\* a \\[link\\](/x)?\n>\n"
        "> \\!\\[picture\\](/y) \\| \\<b\\>cell\\</b\\> \\{runId\\}\n>\n"
        "> \\# No heading\n\n| asked"
    )
    assert summary(asked("Is *this* so?")).endswith(": Is \\*this\\* so?")


def test_the_memo_has_who_designs_and_what_was_asked_as_it_was_typed() -> None:
    request = CycleRequest(
        symbol="EURUSD", timeframe="1h", designer=DesignerKind.CLAUDE, model="claude-x", seed=7, brief="Is *this*\nso?"
    )

    assert memo(request) == {"designer": "claude", "model": "claude-x", "seed": 7, "brief": "Is *this* so?"}
    assert "to be designed" in details(request)


def test_without_a_brief_there_is_none() -> None:
    assert details(asked("")).startswith("| asked")
    assert summary(asked("")).endswith("seed 2147483647")
    assert "brief" not in memo(asked(" \n"))
