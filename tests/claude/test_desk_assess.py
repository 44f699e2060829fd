"""The assessor's desk: what it is told of the results, and how much its assessment may claim."""

from pathlib import Path
from typing import Any

import pytest

from claude.assess_desk import AssessDesk
from claude.desk import Outcome
from domain.cycle import CycleStatus
from domain.errors import ErrorCode, ResearchError
from domain.memory import DesignNotes
from domain.results import HypothesisStatus, Verdict
from tests.claude.desks import Laboratory, backtested, completed, laboratory, strategy
from tests.domain.usual_results import backtest, backtest_at_a_service, training_at_a_service


@pytest.fixture
def lab(tmp_path: Path) -> Laboratory:
    return laboratory(tmp_path)


def cycle(lab: Laboratory, number: int = 0, cycle_id: str = "cycle-now", **changes: Any) -> CycleStatus:
    return backtested(lab.kept(strategy(number)), cycle_id, **changes)


def made_to_test(lab: Laboratory, hypothesis_id: str, number: int = 9) -> CycleStatus:
    """A cycle whose design named the hypothesis."""
    notes = DesignNotes(tests_hypothesis=hypothesis_id).model_dump_json()
    return backtested(lab.kept(strategy(number), notes), "cycle-now")


def said(desk: AssessDesk, **changes: Any) -> Outcome:
    """What handing this assessment in comes to."""
    usual = {
        "verdict": "poor",
        "strengths": ["A Sharpe ratio of 2.5."],
        "weaknesses": ["Eighty trades in three months."],
        "suggestions": [],
        "hypotheses": [],
        "settled": [],
    }
    return desk.use("submit_assessment", usual | changes)


def settled(hypothesis_id: str, status: str = "validated") -> list[dict[str, str]]:
    return [{"hypothesis_id": hypothesis_id, "status": status, "why": "The Sharpe ratio is 2.5."}]


def test_an_assessment_is_taken_with_all_that_it_says(lab: Laboratory) -> None:
    raised = [{"text": "A slower RSI tells more.", "rationale": "The fast one changes often."}]
    outcome = said(lab.assess(cycle(lab)), verdict="promising", suggestions=["Try AAPL."], hypotheses=raised)
    assert outcome.final
    assert outcome.assessment is not None
    assert outcome.assessment.verdict is Verdict.PROMISING
    assert outcome.assessment.decided_by[0] == "promising: Sharpe ratio 2.5, above 1"
    assert [h.text for h in outcome.assessment.hypotheses] == ["A slower RSI tells more."]


HIGHEST = {
    "luck is not excluded": (backtest(deflated_low=-0.1), "neutral"),
    "the bound itself": (backtest(deflated_low=0.0), "neutral"),
    "nothing is told of luck": (backtest_at_a_service(), "neutral"),
    "few trades": (backtest(total_trades=19), "poor"),
    "a Sharpe ratio below 0": (backtest(sharpe_ratio=-0.1), "poor"),
}


@pytest.mark.parametrize(("result", "highest"), HIGHEST.values(), ids=HIGHEST)
def test_a_verdict_claims_no_more_than_the_figures_allow(lab: Laboratory, result: Any, highest: str) -> None:
    desk = lab.assess(cycle(lab, backtest=result))
    order = ["poor", "neutral", "promising"]
    for verdict in order:
        outcome = said(desk, verdict=verdict)
        assert outcome.final == (order.index(verdict) <= order.index(highest))
        assert outcome.final or f"the figures allow {highest} at most" in outcome.text
    assert f"highest verdict that the figures allow: {highest}" in desk.opening


def test_a_verdict_below_what_the_figures_allow_is_the_assessors_own(lab: Laboratory) -> None:
    assessment = said(lab.assess(cycle(lab)), verdict="neutral").assessment
    assert assessment is not None
    assert assessment.decided_by[0] == "neutral: the assessor's own, below what the figures allow"


REFUSED = {
    "no strength": {"strengths": []},
    "no weakness": {"weaknesses": ["  "]},
    "a verdict that there is not": {"verdict": "excellent"},
    "a text without end": {"suggestions": ["x" * 2_000_000]},
    "hypotheses without end": {"hypotheses": [{"text": "a", "rationale": "b"}] * 100},
    "a field too many": {"run": "ls"},
    "a hypothesis that nobody raised": {"settled": settled("h5")},
    "a hypothesis settled as untested": {"settled": settled("h1", "untested")},
}


@pytest.mark.parametrize("changes", REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_told_and_not_taken(lab: Laboratory, changes: dict[str, Any]) -> None:
    outcome = said(lab.assess(cycle(lab)), **changes)
    assert outcome.is_error
    assert not outcome.final
    assert len(outcome.text) < 8_200


@pytest.mark.parametrize("arguments", [None, [], "done", 7.5, {"verdict": {"a": 1}}])
def test_arguments_of_any_shape_are_told_what_is_missing(lab: Laboratory, arguments: Any) -> None:
    assert lab.assess(cycle(lab)).use("submit_assessment", arguments).is_error


def test_what_a_service_does_not_tell_is_said_to_be_untold_and_is_no_zero(lab: Laboratory) -> None:
    learned, tested = training_at_a_service(), backtest_at_a_service()
    told = lab.assess(cycle(lab, training=learned, backtest=tested)).opening
    assert "of guessing not told by the service" in told
    assert "before costs not told by the service" in told
    assert "excess Sharpe ratio less that: not told by the service" in told
    assert "by year: not told by the service" in told
    assert "random entries with the same positions and costs at other times: not told by the service" in told
    assert " None" not in told


def test_figures_are_told_with_their_doubt(lab: Laboratory) -> None:
    told = lab.assess(cycle(lab)).opening
    assert "Sharpe ratio, annual, 2.5; 95 % interval 0.4 to 4.2" in told
    assert "of 3 backtests without skill on these bars the best would show 0.3" in told
    assert "true Sharpe ratio is above 0: 98.10%; that it is above what the trials show by luck: 97.30%" in told
    assert "96.50% of them returned less; the middle one returned -1.10%" in told
    assert "by year: 2017: 12.00%, Sharpe 2.5\n" in told
    assert "by kind of market: trend up, volatility low: 12.00%, Sharpe 2.5\n" in told
    assert "balanced accuracy: 0.48 in train, 0.45 in validation; a model without skill has 0.3333" in told


def test_the_most_alike_of_earlier_backtests_are_told_first(lab: Laboratory) -> None:
    lab.record(completed(cycle(lab, 1, "cycle-alike")))
    other = (
        strategy(2).replace("type: rsi", "type: roc").replace("type: macd", "type: adx").replace("trend.line", "trend")
    )
    lab.record(completed(backtested(lab.kept(other), "cycle-other")))
    told = lab.assess(cycle(lab)).opening
    assert 0 < told.index("cycle-alike") < told.index("cycle-other")


def test_a_cycle_settles_the_hypothesis_that_its_design_named(lab: Laboratory) -> None:
    lab.record(completed(cycle(lab, 1, "cycle-first"), None, "A slower RSI tells more.", "Another one."))
    status = made_to_test(lab, "h1")
    outcome = said(lab.assess(status), settled=settled("h1"))
    assert outcome.assessment is not None
    lab.record(completed(status, outcome.assessment))
    assert [(h.id, h.status, h.settled_by) for h in lab.store.hypotheses("EURUSD")] == [
        ("h2", HypothesisStatus.UNTESTED, None),
        ("h1", HypothesisStatus.VALIDATED, "cycle-now"),
    ]


def test_a_hypothesis_chosen_after_the_results_is_not_settled(lab: Laboratory) -> None:
    lab.record(completed(cycle(lab, 1, "cycle-first"), None, "A slower RSI tells more.", "Another one."))
    desk = lab.assess(made_to_test(lab, "h1"))
    assert "it can settle h1" in said(desk, settled=settled("h2")).text
    assert "twice" in said(desk, settled=settled("h1") * 2).text
    assert "none: leave settled empty" in said(lab.assess(cycle(lab, 5)), settled=settled("h1")).text


def test_a_strategy_given_again_settles_what_was_asked_about_it(lab: Laboratory) -> None:
    lab.record(completed(cycle(lab, 1, "cycle-first"), None, "Another seed gains too."))
    assert said(lab.assess(cycle(lab, 1, "cycle-again")), settled=settled("h1", "refuted")).final


def test_a_hypothesis_that_is_settled_is_not_settled_again(lab: Laboratory) -> None:
    lab.record(completed(cycle(lab, 1, "cycle-first"), None, "A slower RSI tells more."))
    outcome = said(lab.assess(made_to_test(lab, "h1")), settled=settled("h1"))
    lab.record(completed(made_to_test(lab, "h1"), outcome.assessment))
    assert said(lab.assess(made_to_test(lab, "h1", 10)), settled=settled("h1", "refuted")).is_error


def test_a_conversation_sees_the_same_store_at_every_turn(lab: Laboratory) -> None:
    status = cycle(lab)
    first = lab.assess(status)
    lab.record(completed(cycle(lab, 1, "cycle-between"), None, "A slower RSI tells more."))
    assert lab.assess(status, first.memory_snapshot).opening == first.opening
    assert lab.assess(status).opening != first.opening


def test_a_hypothesis_quotes_no_figure_of_another_backtest(lab: Laboratory) -> None:
    lab.record(completed(cycle(lab, 1, "cycle-first", backtest=backtest(sharpe_ratio=1.87, total_trades=133))))
    raised = [{"text": "It beats 1.87 with under 133 trades at RSI 21.", "rationale": "The other had 1.87."}]
    assessment = said(lab.assess(cycle(lab)), hypotheses=raised).assessment
    assert assessment is not None
    mask = "[figure of the backtest]"
    assert assessment.hypotheses[0].text == f"It beats {mask} with under {mask} trades at RSI 21."


def test_a_cycle_without_results_is_not_assessed(lab: Laboratory) -> None:
    with pytest.raises(ResearchError) as refused:
        lab.assess(cycle(lab).model_copy(update={"backtest": None}))
    assert refused.value.code is ErrorCode.INTERNAL_ERROR
