"""`research show CYCLE --transcript`: what was said, in the order in which it was said."""

from io import StringIO
from pathlib import Path

from rich.console import Console
from temporalio.client import WorkflowHistory

from client.render_transcript import render_transcript
from client.transcript import Transcript, Turn, turns_in
from domain.turns import Message

KEPT = Path(__file__).parent.parent / "workflows" / "histories"


def text_of(transcript: Transcript) -> str:
    out = StringIO()
    Console(file=out, width=120, markup=False, highlight=False, emoji=False).print(render_transcript(transcript))
    return out.getvalue()


def kept(name: str) -> Transcript:
    """Of a kept history."""
    history = WorkflowHistory.from_json(name, (KEPT / f"{name}.json").read_text())
    return Transcript(cycle_id=name, turns=turns_in(list(history.events)))


def test_a_transcript_has_every_turn_with_its_tools_their_answers_and_its_bill() -> None:
    transcript = kept("claude_completed")
    assert [(turn.phase, turn.turn) for turn in transcript.turns] == [
        *(("design", turn) for turn in (1, 2, 3)),
        *(("assess", turn) for turn in (1, 2)),
    ]
    assert all(turn.usage for turn in transcript.turns)
    told = text_of(transcript)
    places = [
        told.find(words)
        for words in (
            "design, turn 1  claude-sonnet-5-5:",
            "Design one strategy for EURUSD at 1h",
            "calls get_indicator",
            "name: rsi",
            "is told",
            "design, turn 3",
            "calls submit_strategy",
            "assess, turn 1",
            "assess, turn 2",
            "calls submit_assessment",
            "verdict: poor",
        )
    ]
    assert -1 not in places, places
    assert places == sorted(places)


def test_a_cycle_that_talked_to_no_model_says_so() -> None:
    assert text_of(kept("completed")) == "completed talked to no model\n"


def test_what_a_model_says_commands_no_terminal() -> None:
    blocks = ({"type": "text", "text": "\x1b[2Jgone"}, {"type": "tool_use", "name": "\x07", "input": {"a": "\x1b"}})
    turn = Turn(phase="design", turn=1, messages=(Message(role="assistant", blocks=blocks),), failure="\x1b]0;x")
    told = text_of(Transcript(cycle_id="c", turns=(turn,)))
    assert "gone" in told
    assert not {"\x1b", "\x07"} & set(told)
