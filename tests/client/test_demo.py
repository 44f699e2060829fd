"""How the demo ends; that it runs is for `make demo` itself to show."""

import os
import subprocess
import sys

import pytest

from client.demo import tells_apart
from domain.results import Verdict
from settings import PROJECT

TROUBLES = {
    "a setting out of its bounds": ({"TRAINING_GATE_MIN_SKILL": "5"}, 4, "TRAINING_GATE_MIN_SKILL"),
    "a profile that is not there": ({"TEMPORAL_PROFILE": "nowhere"}, 4, "Profile 'nowhere' not found"),
    "a server that does not answer": ({"TEMPORAL_ADDRESS": "127.0.0.1:1"}, 6, "no Temporal server answers"),
}


@pytest.mark.parametrize(("variables", "code", "told"), TROUBLES.values(), ids=TROUBLES)
def test_trouble_ends_the_demo_with_a_sentence_and_its_exit_code(tmp_path, variables, code, told):
    environment = os.environ | {"RESEARCH_HOME": str(tmp_path)} | variables

    ran = subprocess.run(
        [sys.executable, "-m", "client.demo"], cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=60
    )

    assert ran.returncode == code
    assert told in ran.stderr
    assert "Traceback" not in ran.stderr


def test_the_control_holds_only_where_the_planted_edge_alone_is_promising(completed):
    def judged(verdict):
        return completed.model_copy(update={"assessment": completed.assessment.model_copy(update={"verdict": verdict})})

    assert tells_apart(judged(Verdict.PROMISING), judged(Verdict.POOR))
    assert not tells_apart(judged(Verdict.POOR), judged(Verdict.POOR))
    assert not tells_apart(judged(Verdict.PROMISING), judged(Verdict.PROMISING))
    assert not tells_apart(completed.model_copy(update={"assessment": None}), judged(Verdict.POOR))
