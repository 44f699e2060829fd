"""`research replay`: kept and living histories through today's code."""

import asyncio
import json
from pathlib import Path

import pytest

HISTORY = Path(__file__).parent.parent / "workflows" / "histories" / "completed.json"
BAD = {
    "no json": ("nope", "is no history"),
    "another json": ("[]", "is no history"),
    "no events": ('{"events": []}', "no history from its first event on"),
    "no event": ('{"events": [{"eventId": "a"}]}', "is no history"),
    "the end of one": (
        json.dumps({"events": json.loads(HISTORY.read_text())["events"][3:]}),
        "from its first event on",
    ),
    "one with a gap": (
        json.dumps({"events": [e for e in json.loads(HISTORY.read_text())["events"] if e["eventId"] != "9"]}),
        "events are missing",
    ),
    "one of another workflow": (HISTORY.read_text().replace("ResearchCycleWorkflow", "Theirs"), "but of 'Theirs'"),
}


def test_a_kept_history_replays_and_nothing_is_written(command, tmp_path):
    ran = command("replay", "--file", str(HISTORY), "-o", "json")

    assert (ran.code, ran.err) == (0, "")
    assert (ran.json["replays"], ran.json["events"]) == (True, 62)
    assert not (tmp_path / "home").exists()


def test_a_history_of_other_code_is_told_with_what_differs(command, tmp_path):
    file = tmp_path / "other.json"
    file.write_text(HISTORY.read_text().replace('"name": "train"', '"name": "retrain"'))

    ran, told = command("replay", "--file", str(file)), command("replay", "--file", str(file), "-o", "json")

    assert (ran.code, ran.out, told.code, told.err) == (1, "", 1, "")
    assert "'retrain' does not match activity type of activity command 'train'" in ran.err
    assert "Traceback" not in ran.err
    assert told.json["error"]["replayed"]["replays"] is False


@pytest.mark.parametrize(("text", "words"), BAD.values(), ids=BAD)
def test_what_is_no_whole_history_of_a_cycle_is_refused(command, tmp_path, text, words):
    file = tmp_path / "bad.json"
    file.write_text(text)

    ran = command("replay", "--file", str(file))

    assert (ran.code, ran.out) == (2, "")
    assert words in ran.err


def test_either_a_cycle_or_a_file_is_named(command):
    assert command("replay").code == command("replay", "x", "--file", str(HISTORY)).code == 2


async def test_a_cycle_on_the_server_replays_while_it_runs_and_after_its_end(reaching):
    await asyncio.to_thread(reaching, "budget", "pause", "holidays")
    try:
        line = ["start", "--designer", "offline", "--queue", "-o", "json"]
        cycle = (await asyncio.to_thread(reaching, *line)).json["cycle_id"]
        running = await asyncio.to_thread(reaching, "replay", cycle)
        await asyncio.to_thread(reaching, "cancel", cycle)
    finally:
        await asyncio.to_thread(reaching, "budget", "resume")
    ended = await asyncio.to_thread(reaching, "replay", cycle)
    unknown = await asyncio.to_thread(reaching, "replay", f"{cycle}x")
    ledger = await asyncio.to_thread(reaching, "replay", "budget")

    assert (running.code, ended.code) == (0, 0)
    assert f"{cycle} replays: " in ended.out
    assert (unknown.code, f"did you mean {cycle}?" in unknown.err) == (2, True)
    assert (ledger.code, "no history of a cycle" in ledger.err) == (2, True)
