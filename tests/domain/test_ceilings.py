"""What the next turn of a conversation may take: never more than is free, and always enough left to end it."""

from hypothesis import given
from hypothesis import strategies as st

from domain.ceilings import (
    ANSWER_ROOM,
    INPUT_MARGIN,
    LONGEST_ANSWER,
    MAX_TURNS,
    TopUpNeeded,
    TurnBounds,
    TurnFunds,
    grown,
    next_turn,
    with_margin,
)

BOUNDS = TurnBounds(most=30_000, closing=20_000)


def test_a_first_turn_takes_the_most_that_one_turn_may() -> None:
    assert next_turn(BOUNDS, turn=1, cap=90_000, settled=0, free=90_000) == TurnFunds(tokens=30_000, closing=False)


def test_a_turn_shrinks_so_that_a_closing_one_can_follow() -> None:
    assert next_turn(BOUNDS, turn=3, cap=90_000, settled=45_000, free=45_000) == TurnFunds(tokens=25_000, closing=False)


def test_a_turn_after_which_none_can_be_paid_has_to_close() -> None:
    assert next_turn(BOUNDS, turn=4, cap=90_000, settled=60_000, free=30_000) == TurnFunds(tokens=30_000, closing=True)


def test_what_lost_answers_took_is_asked_for_again() -> None:
    assert next_turn(BOUNDS, turn=1, cap=30_000, settled=0, free=0) == TopUpNeeded(tokens=30_000)


def test_more_is_asked_for_than_a_turn_that_has_to_close_at_once() -> None:
    assert next_turn(BOUNDS, turn=2, cap=90_000, settled=5_000, free=10_000) == TopUpNeeded(tokens=40_000)
    assert next_turn(BOUNDS, turn=2, cap=90_000, settled=5_000, free=50_000) == TurnFunds(tokens=30_000, closing=False)


def test_what_the_conversation_used_itself_is_not() -> None:
    assert next_turn(BOUNDS, turn=5, cap=90_000, settled=80_000, free=10_000) is None


def test_a_conversation_that_calls_no_model_takes_nothing() -> None:
    assert next_turn(BOUNDS, turn=1, cap=0, settled=0, free=0) == TurnFunds(tokens=0, closing=False)


@given(
    turn=st.integers(1, MAX_TURNS),
    cap=st.integers(1, 200_000),
    settled=st.integers(0, 250_000),
    lost=st.integers(0, 250_000),
)
def test_no_turn_takes_more_than_is_free_or_leaves_too_little_to_close(
    turn: int, cap: int, settled: int, lost: int
) -> None:
    free = max(0, cap - settled - lost)
    funds = next_turn(BOUNDS, turn, cap, settled, free)
    closing = min(BOUNDS.closing, cap)
    if isinstance(funds, TurnFunds):
        assert closing <= funds.tokens <= min(free, BOUNDS.most)
        assert funds.closing or free - funds.tokens >= closing
        assert funds.closing or turn < MAX_TURNS
    elif isinstance(funds, TopUpNeeded):
        assert closing <= free + funds.tokens <= min(BOUNDS.most + closing, cap - settled)
    else:
        assert cap - settled < closing


def test_an_estimate_that_was_enough_leaves_the_margin_as_it_is() -> None:
    assert grown(INPUT_MARGIN, counted=10_000, billed=with_margin(10_000, INPUT_MARGIN)) == INPUT_MARGIN
    assert grown(INPUT_MARGIN, counted=0, billed=10_000) == INPUT_MARGIN


@given(counted=st.integers(1, 100_000), billed=st.integers(0, 1_000_000), margin=st.floats(INPUT_MARGIN, 5))
def test_a_margin_only_grows_and_then_covers_what_it_did_not(counted: int, billed: int, margin: float) -> None:
    wider = grown(margin, counted, billed)
    assert wider >= margin
    assert with_margin(counted, wider) >= billed


@given(tokens=st.integers(1, 100_000), margin=st.floats(0, 5))
def test_a_turn_has_room_for_an_answer_and_for_none_that_could_not_be_written(tokens: int, margin: float) -> None:
    bounds, prompt = BOUNDS.for_prompt(tokens, margin), with_margin(tokens, margin)
    assert bounds.most >= bounds.closing >= max(BOUNDS.closing, prompt + ANSWER_ROOM)
    assert bounds.most in (bounds.closing, prompt + LONGEST_ANSWER)


def test_a_prompt_that_nobody_knows_leaves_the_bounds_as_they_are() -> None:
    assert BOUNDS.for_prompt(0, INPUT_MARGIN) == BOUNDS
