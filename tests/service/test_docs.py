"""What the documentation says of the contract is what the code reads and sends."""

import re

import pytest
from pydantic import BaseModel

from engine.service import results
from engine.service.client import MAX_ANSWER, PATIENCE
from engine.service.engine import COSTS, POLL_INTERVAL
from engine.service.following import MISSES
from settings import PROJECT, Settings
from worker import JOBS_AT_SERVICE

DOCS = (PROJECT / "docs" / "http-backend.md").read_text()
ROWS = [line.split("|") for line in DOCS.splitlines() if line.startswith("|")]
WORDS = set(re.findall(r"[A-Za-z_]+", DOCS))


@pytest.mark.parametrize(
    "answer",
    [results._TrainingMetrics, results._TrainingSummary, results._Epoch, results._BacktestMetrics],
    ids=lambda answer: answer.__name__,
)
def test_every_field_that_is_read_stands_there_and_is_required_as_it_says(answer: type[BaseModel]) -> None:
    for name, field in answer.model_fields.items():
        if name == "training_metrics":
            continue
        said = next((row[2].split(",")[0].strip() for row in ROWS if f"{name}`" in row[1]), "nothing")
        assert said == ("required" if field.is_required() else "optional"), name


def test_every_setting_of_the_backend_stands_there() -> None:
    names = {field.validation_alias for name, field in Settings.model_fields.items() if name.startswith("ktrdr_")}
    names |= {field.validation_alias for name, field in Settings.model_fields.items() if name.endswith("_date")}
    assert len(names) == 7
    assert names <= WORDS


def test_the_numbers_are_the_codes() -> None:
    assert f"{COSTS[0]} and {COSTS[1]}" in DOCS
    assert (MISSES, PATIENCE, POLL_INTERVAL, JOBS_AT_SERVICE, MAX_ANSWER) == (5, 30, 5, 10, 1_000_000)
    assert Settings.model_fields["ktrdr_poll_interval"].default == POLL_INTERVAL
    assert f"{results.INITIAL_CAPITAL:,.0f}" in DOCS
    assert f"{results.UNBOUNDED:.0f}" in DOCS
